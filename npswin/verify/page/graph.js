// ---------------------------------------------------------------- drawing the graph

const graph = byId("graph");
const WIDTH = 524, LEFT = 58, BOX = 148, ROW = 32, HIGH = 22, HEADER = 42;

function draw(parent, tag, attributes, text) {
  const element = document.createElementNS(graph.namespaceURI, tag);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// Draws the verdict of the value at the left and of the gradient at the right.
function splitCell(parent, x, y, high, forward, backward, wide = 17) {
  const verdicts = data.backward ? [forward, backward] : [forward];
  verdicts.forEach((verdict, i) => {
    const [kind, letter] = style(verdict);
    const width = data.backward ? wide : 2 * wide;
    draw(parent, "rect", {class: "cell " + kind, x: x + i * width + .5, y: y + .5, width: width - 1, height: high - 1, rx: 3});
    draw(parent, "text", {class: "letter " + kind, x: x + (i + .5) * width, y: y + high / 2 + .5}, letter);
  });
}

function label(node) {
  const parts = [node.name, "value: " + style(verdictOf(node.name))[2]];
  if (data.backward) parts.push("gradient: " + style(verdictOf(GRADIENT + node.name))[2]);
  return parts.join("; ");
}

function tensorBox(parent, node, x, y, width, text) {
  const box = draw(parent, "g", {
    class: "tensor" + (node.operation === null ? " source" : ""), role: "button", tabindex: "-1",
    "aria-label": label(node), "data-name": node.name,
  });
  draw(box, "title", {}, label(node));
  draw(box, "rect", {class: "box", x: x + .5, y: y + .5, width: width - 1, height: HIGH - 1, rx: 5});
  splitCell(box, x + 2, y + 2, HIGH - 4, verdictOf(node.name), verdictOf(GRADIENT + node.name), 16);
  draw(box, "text", {x: x + 40, y: y + 15}, text);
  const first = flagText([node]);
  if (chosen && forwardOf(chosen) === node.name) {
    draw(box, "rect", {class: "ring", x: x - 2, y: y - 2, width: width + 4, height: HIGH + 4, rx: 7});
    const half = data.backward ? 16 : 32;
    draw(box, "rect", {class: "chosen", x: x + 2 + (chosen.startsWith(GRADIENT) ? half : 0), y: y + 2, width: half, height: HIGH - 4, rx: 3});
    box.setAttribute("tabindex", "0");
    box.setAttribute("aria-current", "true");
  }
  if (first) flag(box, x + width, y, first);
  box.addEventListener("click", event => {
    const x = event.clientX - box.querySelector(".box").getBoundingClientRect().left;
    const backward = data.backward && nodes.get(node.name).differentiable && x >= 18 && x < 36;
    const stayInPass = x >= 36 && chosen && chosen.startsWith(GRADIENT) && verdictOf(GRADIENT + node.name) !== "none";
    choose(backward || stayInPass ? GRADIENT + node.name : node.name);
  });
  return box;
}

// The text of the flag for the first tensors that do not agree, if they are in the list.
function flagText(list) {
  const passes = ["first", "first gradient"].filter((_, i) => list.some(node => data.first[i] === (i ? GRADIENT : "") + node.name));
  return passes.length > 1 ? "first, both" : passes[0];
}

function flag(parent, right, y, text) {
  const width = 12 + text.length * 5.2;
  draw(parent, "rect", {class: "flag", x: right - width - 6, y: y - 9, width, height: 14, rx: 7});
  draw(parent, "text", {class: "flag-text", x: right - width / 2 - 6, y: y - 1.5}, text);
}

// The row of each node, by the longest path to it; a node without an input in the group is as low as possible.
function rank(group) {
  const inGroup = new Set(group.nodes.filter(node => !node.parameter).map(node => node.name));
  const ranks = new Map(), list = group.nodes.filter(node => !node.parameter);
  const reads = node => node.inputs.filter(name => inGroup.has(name));
  const outside = [...new Set(list.flatMap(node => node.inputs.filter(name => !inGroup.has(name) && !nodes.get(name).parameter)))];
  const starts = node => !node.inputs.some(name => !nodes.get(name).parameter);
  for (const node of list) ranks.set(node.name, Math.max(-1, ...reads(node).map(name => ranks.get(name))) + 1);
  for (const node of [...list].reverse()) {
    const uses = node.uses.filter(name => inGroup.has(name)).map(name => ranks.get(name));
    if (starts(node) && uses.length) ranks.set(node.name, Math.min(...uses) - 1);
  }
  const least = Math.min(...ranks.values());
  for (const name of ranks.keys()) ranks.set(name, ranks.get(name) - least);
  return {ranks, list, outside};
}

function drawOpened(parent, group, top) {
  const {ranks, list, outside} = rank(group);
  const rows = [];
  for (const node of list) (rows[ranks.get(node.name)] ||= []).push(node);
  const spots = new Map();
  let y = top + 10;
  const edges = draw(parent, "g", {});
  for (const name of outside) {
    spots.set(name, {x: LEFT, y, width: BOX, lane: 0, rank: -1});
    const port = draw(parent, "g", {class: "tensor", role: "button", tabindex: "-1", "aria-label": "comes from " + name, "data-link": name});
    draw(port, "text", {class: "soft", x: LEFT + 4, y: y + 14}, "from " + name);
    port.addEventListener("click", () => choose(name));
    y += ROW;
  }
  rows.forEach((row, at) => {
    let x = LEFT;
    row.forEach((node, lane) => {
      const text = shortName(node);
      x = Math.max(x, [LEFT, 226, 450][lane] || x);
      const width = lane ? Math.min(WIDTH - 14 - x, 54 + Math.max(8, text.length * 5.9)) : Math.max(BOX, 54 + text.length * 6.8);
      spots.set(node.name, {x, y, width, lane, rank: at});
      tensorBox(parent, node, x, y, width, text);
      x += width + 8;
      for (const read of node.inputs) {
        const parameter = nodes.get(read);
        if (!parameter.parameter) continue;
        const name = chipName(parameter), wide = 48 + name.length * 6;
        draw(edges, "path", {class: "edge", d: `M${x} ${y + HIGH / 2}h-8`});
        tensorBox(parent, parameter, x, y, wide, name);
        x += wide + 6;
      }
    });
    y += ROW;
  });
  for (const node of list) for (const name of new Set(node.inputs)) if (spots.has(name)) connect(edges, spots.get(name), spots.get(node.name));
  return y + 4;
}

function connect(parent, from, to) {
  const middle = spot => spot.y + HIGH / 2;
  if (from.lane === 0 && to.lane === 0 && to.rank > from.rank + 1) {  // the shortcut of a residual connection
    const start = from.rank < 0 ? `M${from.x} ${middle(from)}` : `M${from.x} ${middle(from)}`;
    draw(parent, "path", {class: "edge residual", d: `${start}H32q-8 0 -8 8V${middle(to) - 8}q0 8 8 8H${to.x - 7}`});
    draw(parent, "path", {class: "residual-head", d: `M${to.x - 1} ${middle(to)}l-8 -4.5v9z`});
    return;
  }
  const x = from.lane ? from.x + from.width - (from.lane > 1 ? 6 : 22) : from.x + 74;
  const into = to.lane ? to.x + (from.lane === to.lane ? to.width / 2 : 24) : to.x + (from.lane ? 104 : 74);
  const bend = to.y - 6;
  const path = x === into ? `M${x} ${from.y + HIGH}V${to.y - 5}` : `M${x} ${from.y + HIGH}V${bend}H${into}V${to.y - 3}`;
  draw(parent, "path", {class: "edge", d: path});
  draw(parent, "path", {class: "head", d: `M${into} ${to.y}l-3.5 -6h7z`});
}

function drawHeader(parent, group, top) {
  const header = draw(parent, "g", {class: "header", role: "button", tabindex: "0", "aria-expanded": opened.has(group.name), "data-group": group.name});
  const tensors = group.nodes.map(node => node.name);
  const forward = worst(tensors), backward = worst(tensors.map(name => GRADIENT + name));
  header.setAttribute("aria-label", `${group.title}, ${group.name}: values ${style(forward)[2]}` + (data.backward ? `, gradients ${style(backward)[2]}` : ""));
  draw(header, "rect", {class: "strip", x: 12.5, y: top + .5, width: WIDTH - 25, height: HEADER - 1, rx: 6});
  draw(header, "text", {x: 24, y: top + 26, "font-size": 10}, opened.has(group.name) ? "▾" : "▸");
  draw(header, "text", {x: 40, y: top + 18, style: "font-weight:600"}, group.title);
  draw(header, "text", {class: "soft", x: 40, y: top + 33}, subtitle(group));
  const from = 214, available = 236, each = Math.min(9, available / tensors.length), high = data.backward ? 12 : 20;
  const passes = data.backward ? ["", GRADIENT] : [""];
  passes.forEach((prefix, i) => {
    const y = top + (data.backward ? 8 + 14 * i : 11);
    draw(header, "text", {class: "soft", x: from - 6, y: y + 10 - (data.backward ? 0 : -4), "text-anchor": "end", "font-size": 9}, i ? "grad" : "value");
    tensors.forEach((name, index) => {
      const verdict = verdictOf(prefix + name), [kind] = style(verdict === "" && nodes.get(name).parameter ? "none" : verdict);
      const cell = draw(header, "rect", {class: "cell " + kind, x: from + index * each, y, width: each - 1, height: high});
      if (kind === "wrong-here" || kind === "broken") draw(header, "path", {d: `M${from + (index + .5) * each - .5} ${y - 4}l-3 -0h6l-3 5z`, class: "cell " + kind});
      if (chosen === prefix + name) draw(header, "rect", {class: "chosen", x: from + index * each - 1, y: y - 1, width: each + 1, height: high + 2});
      draw(cell, "title", {}, prefix + name + ": " + style(verdictOf(prefix + name))[2]);
      cell.addEventListener("click", event => { event.stopPropagation(); choose(prefix + name); });
    });
  });
  splitCell(header, WIDTH - 58, top + 10, HEADER - 20, forward, backward, 18);
  const first = flagText(group.nodes);
  if (first && !opened.has(group.name)) flag(header, WIDTH - 14, top + 4, first);
  header.addEventListener("click", () => toggle(group.name));
}

function subtitle(group) {
  if (group.block) {
    const {size, shiftSize} = group.windows;
    return `${size}×${size} windows` + (shiftSize ? `, shift ${shiftSize}` : "");
  }
  return group.name.replace(/^patch embedding$|^head$/, group.nodes.filter(node => !node.parameter).length + " tensors");
}

function stageTitle(stage, groups) {
  const last = groups.filter(group => group.block).pop();
  const output = last && nodes.get(last.name);
  if (!output) return [`Stage ${stage + 1}`, ""];
  const [, height, width, channels] = output.shape;
  const heads = last.windows.heads;
  return [`Stage ${stage + 1}`, `layers.${stage} · map ${height}×${width} · ${channels} channels · ${heads} head${heads > 1 ? "s" : ""}`];
}

function drawGraph() {
  const focused = document.activeElement && graph.contains(document.activeElement) ? document.activeElement.dataset : null;
  graph.replaceChildren();
  let y = 4, before = null, frame = null, target = 0;
  const back = draw(graph, "g", {}), front = draw(graph, "g", {});
  const endStage = () => { if (frame) { frame.setAttribute("height", y + 8 - frame.top); y += 8; frame = null; } };
  for (const group of data.groups) {
    if (!before || group.stage !== before.stage) {
      endStage();
      if (before) y += 16;
      target = y;
      if (group.stage !== null) {
        frame = draw(back, "rect", {class: "stage", x: 2.5, y: y + .5, width: WIDTH - 5, rx: 9});
        frame.top = y;
        const [title, details] = stageTitle(group.stage, data.groups.filter(other => other.stage === group.stage));
        draw(front, "text", {class: "stage-title", x: 14, y: y + 21}, title);
        draw(front, "text", {class: "soft", x: 74, y: y + 21}, details);
        y += 32;
      }
    } else target = y += 14;
    if (before) {
      draw(back, "path", {class: "edge", d: `M132 ${before.bottom}V${target - 5}`});
      draw(back, "path", {class: "head", d: `M132 ${target}l-3.5 -6h7z`});
    }
    const top = y;
    if (opened.has(group.name)) {
      const panel = draw(front, "rect", {class: "opened", x: 12.5, y: top + .5, width: WIDTH - 25, rx: 6});
      drawHeader(front, group, top);
      y = drawOpened(front, group, top + HEADER);
      panel.setAttribute("height", y - top);
    } else {
      drawHeader(front, group, top);
      y += HEADER;
    }
    before = Object.assign(group, {bottom: y});
  }
  endStage();
  graph.setAttribute("height", y + 6);
  if (focused) {
    const same = [...graph.querySelectorAll("[tabindex]")].find(element =>
      focused.group ? element.dataset.group === focused.group : element.getAttribute("aria-current") === "true");
    if (same) same.focus({preventScroll: true});
  }
}

function toggle(name) {
  if (!opened.delete(name)) opened.add(name);
  drawGraph();
}
