// ---------------------------------------------------------------- pictures

const VALUES = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const ERRORS = ["#08040f", "#250c3a", "#51127c", "#822681", "#b73779", "#e75263", "#fc8961", "#fec488", "#fcfdbf"];
const ramp = colours => Array.from({length: 256}, (_, i) => {
  const at = i / 255 * (colours.length - 1), low = Math.min(Math.floor(at), colours.length - 2);
  const part = (index, from) => parseInt(colours[index].slice(from, from + 2), 16);
  return [1, 3, 5].map(from => Math.round(part(low, from) * (low + 1 - at) + part(low + 1, from) * (at - low)));
});
const VALUE_RAMP = ramp(VALUES), ERROR_RAMP = ramp(ERRORS);

function decode([low, high, text], bits, count) {
  const values = new Float64Array(count).fill(low);
  if (!text) return values;
  const raw = atob(text), top = 2 ** bits - 4;
  for (let i = 0; i < count; i++) {
    const code = bits === 8 ? raw.charCodeAt(i) : raw.charCodeAt(2 * i) + 256 * raw.charCodeAt(2 * i + 1);
    values[i] = code <= top ? low * (1 - code / top) + high * (code / top) : [NaN, Infinity, -Infinity][code - top - 1];
  }
  return values;
}

let picture = null;  // the picture on the page: view, plane, three arrays of numbers, the cell under the cursor

function sliceName(node, view, slice) {
  if (slice < 0) return "root mean square over all";
  if (view.kind === "attention" || view.kind === "bias") return view.shape[1] > 1 || view.kind === "attention" ? `head ${slice}` : "all heads";
  if (view.kind === "heads") { const width = node.shape[4]; return `head ${Math.floor(slice / width)}, d = ${slice % width}`; }
  if (node.axes.includes("head, d") && node.group.windows) {
    const heads = node.group.windows.heads, parts = node.axes.includes("q|k|v") ? 3 : 1, width = node.shape[3] / heads / parts;
    const part = Math.floor(slice / width / heads), head = Math.floor(slice / width) % heads;
    return `channel ${slice} (${parts > 1 ? "qkv"[part] + ", " : ""}head ${head}, d = ${slice % width})`;
  }
  return `channel ${slice}`;
}

const partOf = plane => plane.blocks ? "blocks" : plane.rows.concat(plane.columns).join();

function partName(view, plane) {
  const [, , height, width] = view.shape, last = list => list[list.length - 1];
  if (plane.blocks) return view.cuts[0].length + view.cuts[1].length ? "whole: root mean square of each window" : "whole: root mean square of blocks";
  if (last(plane.rows) - plane.rows[0] === height && last(plane.columns) - plane.columns[0] === width) return "whole";
  return `rows ${plane.rows[0]}–${last(plane.rows) - 1}, columns ${plane.columns[0]}–${last(plane.columns) - 1}`;
}

function chooser(parent, text, options, value, change) {
  const select = add(add(parent, "label", {}, text + " "), "select", {"aria-label": text});
  for (const [key, label] of options) add(select, "option", {value: String(key)}, label);
  select.value = String(value);
  select.disabled = options.length < 2;
  select.addEventListener("change", () => change(select.value));
}

function pictures(parent) {
  picture = null;
  const planes = data.planes[chosen], row = data.rows[chosen];
  if (!row) { add(parent, "p", {class: "note"}, "The port did not dump this tensor, so there is nothing to draw."); return; }
  if (!planes || !planes.length) { add(parent, "p", {class: "note"}, "There are no numbers in the key's shape to draw."); return; }
  const box = add(parent, "div", {id: "pictures"});
  showPlane(box, planes[0]);
}

function showPlane(box, plane) {
  const planes = data.planes[chosen], node = nodes.get(forwardOf(chosen)), view = data.views[node.name];
  const height = plane.rows.length - 1, width = plane.columns.length - 1;
  const rows = plane.blocks ? height : plane.rows[1] - plane.rows[0], columns = plane.blocks ? width : plane.columns[1] - plane.columns[0];
  const arrays = ["key", "port", "difference"].map(name => decode(plane[name], plane.bits, rows * columns));
  let worstCell = 0;
  arrays[2].forEach((value, i) => { if (!(value <= arrays[2][worstCell])) worstCell = i; });
  picture = {node, view, plane, rows, columns, arrays, cell: [Math.floor(worstCell / columns), worstCell % columns], frames: []};

  box.replaceChildren();
  const choosers = add(box, "div", {class: "choosers"});
  const unique = key => [...new Map(planes.map(one => [key(one), one])).entries()];
  const pick = (...conditions) => showPlane(box, planes.find(one => conditions.every(holds => holds(one))) || planes.find(conditions[0]));
  const sameImage = one => one.image === plane.image, samePart = one => partOf(one) === partOf(plane), sameSlice = one => one.slice === plane.slice;
  if (view.shape[0] > 1) {
    const images = unique(one => one.image).map(([image]) => [image, String(image)]).sort((a, b) => a[0] - b[0]);
    chooser(choosers, "image", images, plane.image, value => pick(one => String(one.image) === value, samePart, sameSlice));
  }
  if (view.shape[1] > 1) {
    const slices = planes.filter(one => sameImage(one) && samePart(one)).map(one => [one.slice, sliceName(node, view, one.slice)]);
    chooser(choosers, view.kind === "attention" || view.kind === "bias" ? "head" : "slice", slices, plane.slice,
      value => pick(one => String(one.slice) === value, sameImage, samePart));
  }
  const parts = unique(partOf).map(([part, one]) => [part, partName(view, one)]);
  if (parts.length > 1) chooser(choosers, "part", parts, partOf(plane), value => pick(one => partOf(one) === value, sameImage, sameSlice));

  const figures = add(box, "div", {class: "pictures", style: "margin-top:10px"});
  const ranges = arrays.map(range);
  const joint = [Math.min(ranges[0][0], ranges[1][0]), Math.max(ranges[0][1], ranges[1][1])];
  const keyRange = ranges[0][1] - ranges[0][0];
  const both = widened(joint);
  const sameScale = !keyRange || both[1] - both[0] <= 8 * keyRange;  // else the key would be one colour
  const scales = sameScale ? [both, both, [0, ranges[2][1]]] : [widened(ranges[0]), widened(ranges[1]), [0, ranges[2][1]]];
  const titles = [["key", ""], ["port", sameScale ? " same scale" : " its own scale"], ["|difference|", ""]];
  titles.forEach(([text, more], i) => figure(figures, text, more, i, scales[i]));
  add(box, "p", {id: "readout", style: "margin-top:12px", "aria-live": "polite"});
  add(box, "p", {class: "note", style: "margin-top:6px"}, caption(view, plane, planes));
  moveTo(...picture.cell);
}

function caption(view, plane, planes) {
  const sentences = [];
  const {windows} = picture.node.group, seam = view.cuts[0].length + view.cuts[1].length;
  if (view.tile) sentences.push(`A tile is a window of ${windows.size}×${windows.size} tokens, ${windows.grid[0]}×${windows.grid[1]} windows at their position on the ` +
    (windows.shiftSize ? `map rolled by (−${windows.shiftSize}, −${windows.shiftSize}).` : "map.") + (view.tile > windows.size || view.kind === "attention" || view.kind === "mask" ? " In a tile rows are queries, columns are keys." : ""));
  else if (view.kind === "map" && seam) sentences.push(`Gaps are where the map is cut into windows of ${windows.size}×${windows.size}` +
    (windows.shiftSize && view.cuts[0][0] === windows.shiftSize ? `, shifted by ${windows.shiftSize}: parts of windows at opposite edges belong together.` : "."));
  else if (view.kind === "bias") sentences.push("Rows are queries, columns are keys.");
  if (plane.bits === 8) sentences.push("Numbers under the cursor are rounded to 250 steps of the scale.");
  const [images, slices, height, width] = view.shape, part = partName(view, plane);
  if (part.startsWith("rows")) sentences.push(`The picture shows ${part}, around the largest difference, of ${height}×${width}.`);
  if (planes.length < images * (slices + (slices > 1))) sentences.push("The page holds the pictures with the largest differences, not all.");
  sentences.push("Hatched: NaN or infinity.");
  return sentences.join(" ");
}

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (Number.isFinite(value)) { if (value < low) low = value; if (value > high) high = value; }
  return low <= high ? [low, high] : [0, 0];
}

// The scale for numbers that are nearly equal, on which rounding errors are not visible.
function widened([low, high]) {
  const size = Math.max(Math.abs(low), Math.abs(high));
  return high - low > 1e-4 * size ? [low, high] : [low - .05 * size, high + .05 * size];
}

// The position of each row (or column) on the canvas, for cells of `each` points and a gap before each window.
function layout(edges, cuts, count, each, gap, blocks) {
  const seams = new Set(blocks ? [] : cuts.map(cut => cut - edges[0]));
  const starts = [];
  let at = 0;
  for (let i = 0; i <= count; i++) {
    if (i > 0 && i < count && seams.has(i)) at += gap;
    starts.push(at);
    at += each;
  }
  return starts;
}

function figure(parent, title, more, index, scale) {
  const {view, plane, rows, columns, arrays} = picture;
  const box = add(parent, "figure", {});
  const caption = add(box, "figcaption", {}, title);
  if (more) add(caption, "span", {}, more);
  const frame = add(box, "div", {class: "frame", tabindex: "0", role: "img", "aria-label": `${title} of ${chosen}; arrow keys move the cursor`});
  const available = Math.max(140, Math.min(parent.clientWidth, 1500) / 3 - 18);
  const seams = (edges, cuts) => plane.blocks ? 0 : cuts.filter(cut => cut > edges[0] && cut < edges[1]).length;
  const gaps = seams(plane.columns, view.cuts[1]);
  const each = Math.max(1, Math.min(34, Math.floor(Math.min((available - 3 * gaps) / columns, 420 / rows))));
  const gap = each > 2 ? 3 : 2;
  const tops = layout(plane.rows, view.cuts[0], rows, each, gap, plane.blocks);
  const lefts = layout(plane.columns, view.cuts[1], columns, each, gap, plane.blocks);
  const canvas = add(frame, "canvas", {width: lefts[columns - 1] + each, height: tops[rows - 1] + each, id: "canvas-" + index});
  canvas.dataset.checksum = paint(canvas, arrays[index], scale, index === 2 ? ERROR_RAMP : VALUE_RAMP, {tops, lefts, each, columns});
  const cursor = add(frame, "i", {});
  picture.frames.push({canvas, cursor, tops, lefts, each});
  const point = event => {
    const area = canvas.getBoundingClientRect(), zoom = canvas.width / area.width;
    const find = (starts, count, at) => { let i = 0; while (i + 1 < count && starts[i + 1] <= at) i++; return i; };
    moveTo(find(tops, rows, (event.clientY - area.top) * zoom), find(lefts, columns, (event.clientX - area.left) * zoom));
  };
  frame.addEventListener("pointermove", point);
  frame.addEventListener("pointerdown", point);
  frame.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    moveTo(Math.min(rows - 1, Math.max(0, picture.cell[0] + step[0])), Math.min(columns - 1, Math.max(0, picture.cell[1] + step[1])));
  });
  const bar = add(box, "div", {class: "scale"});
  add(bar, "span", {class: "number"}, number(scale[0]));
  const strip = add(bar, "canvas", {width: 256, height: 1});
  paint(strip, Float64Array.from({length: 256}, (_, i) => i), [0, 255], index === 2 ? ERROR_RAMP : VALUE_RAMP,
    {tops: [0], lefts: Array.from({length: 256}, (_, i) => i), each: 1, columns: 256});
  add(bar, "span", {class: "number"}, number(scale[1]));
}

// Draws cell by cell; NaN as magenta and white stripes, infinity as orange and black ones. Returns a checksum.
function paint(canvas, values, [low, high], colours, {tops, lefts, each, columns}) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const points = image.data, span = high / 2 - low / 2;
  const hatches = [[[214, 0, 180], [255, 255, 255]], [[255, 140, 0], [0, 0, 0]]];
  values.forEach((value, i) => {
    const top = tops[Math.floor(i / columns)], left = lefts[i % columns];
    const colour = Number.isFinite(value) ? colours[span ? Math.round((value / 2 - low / 2) / span * 255) : 0] : null;
    const hatch = hatches[Number.isNaN(value) ? 0 : 1];
    for (let y = top; y < top + each; y++) for (let x = left; x < left + each; x++) {
      const stripe = Number.isNaN(value) || value > 0 ? x + y : x - y + 6000;
      const [red, green, blue] = colour || hatch[Math.floor(stripe / Math.min(3, each)) % 2];
      const at = 4 * (y * canvas.width + x);
      points[at] = red; points[at + 1] = green; points[at + 2] = blue; points[at + 3] = 255;
    }
  });
  context.putImageData(image, 0, 0);
  let sum = 0;
  for (const byte of context.getImageData(0, 0, canvas.width, canvas.height).data) sum = (sum * 31 + byte) >>> 0;
  return String(sum);
}

// The index of a cell in the tensor, and a description of its position.
function indexOf(row, column) {
  const {node, view, plane} = picture, {windows} = node.group;
  const slice = plane.slice < 0 ? "·" : plane.slice;
  const tile = view.tile || 1, grid = windows ? windows.grid : [1, 1];
  const window = Math.floor(row / tile) * grid[1] + Math.floor(column / tile), y = row % tile, x = column % tile;
  const token = index => windows ? `(${Math.floor(index / windows.size)}, ${index % windows.size})` : index;
  const where = `window ${window} (row ${Math.floor(row / tile)}, column ${Math.floor(column / tile)})`;
  switch (view.kind) {
    case "image": return [[plane.image, slice, row, column], `row ${row}, column ${column}`];
    case "map": return [[plane.image, row, column, slice], `row ${row}, column ${column}`];
    case "tokens": return [[plane.image, window, y * tile + x, slice], `${where}, token at (${y}, ${x})`];
    case "heads": {
      const width = node.shape[4], parts = plane.slice < 0 ? ["·", "·"] : [Math.floor(plane.slice / width), plane.slice % width];
      return [[plane.image, window, parts[0], y * tile + x, parts[1]], `${where}, token at (${y}, ${x})`];
    }
    case "attention": return [[plane.image, window, slice, y, x], `${where}, query at ${token(y)}, key at ${token(x)}`];
    case "mask": return [[window, y, x], `${where}, query at ${token(y)}, key at ${token(x)}`];
    case "bias": return [[slice, row, column], `query at ${token(row)}, key at ${token(column)}`];
    default: {
      let flat = row * view.shape[3] + column;
      const index = [];
      for (const side of [...node.shape].reverse()) { index.unshift(flat % side); flat = Math.floor(flat / side); }
      return [index, ""];
    }
  }
}

function moveTo(row, column) {
  picture.cell = [row, column];
  const {node, view, plane, columns, arrays, frames} = picture;
  for (const {canvas, cursor, tops, lefts, each} of frames) {
    const zoom = canvas.clientWidth / canvas.width || 1, side = Math.max(5, each * zoom + 2);
    cursor.style.cssText = `left:${(lefts[column] + each / 2) * zoom - side / 2}px;top:${(tops[row] + each / 2) * zoom - side / 2}px;width:${side}px;height:${side}px`;
  }
  const [key, port, difference] = arrays.map(values => values[row * columns + column]);
  const digits = plane.bits === 8 ? 3 : 5;
  let description;
  if (plane.blocks) {
    const span = (edges, i) => edges[i + 1] - edges[i] > 1 ? `${edges[i]}–${edges[i + 1] - 1}` : edges[i];
    description = `root mean square of rows ${span(plane.rows, row)}, columns ${span(plane.columns, column)}`;
    if (view.tile && view.cuts[0].length + view.cuts[1].length) description += `: window ${row * node.group.windows.grid[1] + column}`;
  } else {
    const [index, position] = indexOf(row + plane.rows[0], column + plane.columns[0]);
    description = (index.length ? `[${index.join(", ")}]` : node.name) + (position ? ` — ${position}` : "");
    if (plane.slice < 0) description += "; root mean square over all slices";
  }
  const readout = byId("readout");
  readout.replaceChildren(description, document.createElement("br"));
  for (const [label, value] of [["key ", key], ["port ", port], ["|difference| ", difference]]) {
    readout.append(label);
    add(readout, "b", {class: "number", style: "margin-right:18px"}, number(value, digits));
  }
}
