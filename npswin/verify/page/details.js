// ---------------------------------------------------------------- the chosen tensor

function add(parent, tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") element.className = value; else element.setAttribute(key, value);
  }
  element.append(...children);
  parent.append(element);
  return element;
}

function number(value, digits = 3) {
  if (typeof value === "string") return {inf: "∞", "-inf": "−∞", nan: "NaN"}[value] || value;
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(digits))) : value.toExponential(Math.max(digits - 2, 1));
  return text.replace("-", "−").replace("e-", "e−").replace("e+", "e");
}

function link(parent, name) {
  const item = add(parent, "a", {href: "#" + encodeURIComponent(name)}, name);
  item.addEventListener("click", event => { event.preventDefault(); choose(name); });
}

function links(parent, list) {
  const box = add(parent, "div", {class: "links"});
  if (!list.length) box.textContent = "—";
  for (const name of list) {
    const item = add(box, "span", {});
    const [kind, letter] = style(verdictOf(name));
    add(item, "span", {class: "mark " + kind, "aria-hidden": "true", style: "margin-right:5px"}, letter);
    link(item, name);
  }
}

function describe() {
  const detail = byId("detail");
  detail.replaceChildren();
  const backward = chosen.startsWith(GRADIENT), node = nodes.get(forwardOf(chosen)), row = data.rows[chosen];
  const title = add(detail, "div", {class: "title"});
  add(title, "h2", {id: "name"}, chosen);
  const buttons = add(title, "div", {class: "spaced"});
  for (const [text, name] of [["value", node.name], ["gradient", GRADIENT + node.name]]) {
    const button = add(buttons, "button", {type: "button", "aria-pressed": String(name === chosen)}, text);
    button.disabled = name !== node.name && verdictOf(name) === "none";
    button.addEventListener("click", () => choose(name));
  }
  const [kind, letter, description] = style(verdictOf(chosen));
  const verdict = add(detail, "p", {class: "verdict"});
  add(verdict, "span", {class: "mark " + kind, "aria-hidden": "true"}, letter);
  const first = data.first.includes(chosen) ? ` — the first that does not agree in the ${backward ? "backward" : "forward"} pass` : "";
  add(verdict, "span", {}, description[0].toUpperCase() + description.slice(1) + first + ".");
  if (row && row.note) add(detail, "p", {class: "over", id: "note"}, row.note);

  const facts = add(detail, "dl", {});
  const fact = (term, ...text) => { add(facts, "dt", {}, term); return add(facts, "dd", {}, ...text); };
  const shape = node.shape.length ? node.shape.join(" × ") : "a single number";
  fact("layout", node.axes ? `${node.axes}: ${shape}` : shape);
  if (backward) {
    fact("is", `d loss / d ${node.name}` + (node.gradientFrom.length ? ": the sum of the derivatives from the tensors below" : ""));
    links(fact("computed from"), node.gradientFrom.map(name => GRADIENT + name));
  } else if (node.operation) {
    fact("formula", node.formula + (node.paper ? ` (${node.paper})` : ""));
    fact("operation", node.operation + (node.settings ? `, ${node.settings}` : ""));
    links(fact("computed from"), node.inputs);
  } else fact("is", node.parameter ? "a parameter" : "given");
  if (!backward) links(fact("used by"), node.uses);

  if (row && row.found) numbers(detail, row);
  pictures(detail);
}

function numbers(parent, row) {
  const table = add(parent, "table", {id: "numbers"});
  const head = add(add(table, "thead", {}), "tr", {}), body = add(table, "tbody", {});
  const columns = [row.found, row.local].filter(Boolean);
  add(head, "th", {scope: "col"}, "distance");
  add(head, "th", {scope: "col"}, "from the key");
  if (row.local) add(head, "th", {scope: "col"}, "from the operation's result on the port's own inputs");
  const line = (name, text, over) => {
    const tr = add(body, "tr", {});
    add(tr, "th", {scope: "row"}, name);
    for (const column of columns) add(tr, "td", {class: "number" + (over && over(column) ? " over" : "")}, text(column));
  };
  const against = (value, tolerance) => `${number(value)} ${value <= tolerance ? "≤" : ">"} ${number(tolerance)}`;
  line("largest", one => number(one.largest, 4));
  line("there", one => `${one.where.length ? `[${one.where.join(", ")}]: ` : ""}${number(one.wrong, 6)}, should be ${number(one.right, 6)}`);
  line("relative, tolerance", one => against(one.relative, one.relativeTolerance), one => !(one.relative <= one.relativeTolerance));
  line("peak, tolerance", one => against(one.peak, one.peakTolerance), one => !(one.peak <= one.peakTolerance));
  line("cosine", one => typeof one.cosine === "number" ? one.cosine.toFixed(9).replace("-", "−") : number(one.cosine));
}
