// ---------------------------------------------------------------- choosing

// The name of the tensor in the page's address.
function nameInAddress() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
}

function choose(name) {
  if (!nodes.has(forwardOf(name))) return;
  chosen = name;
  const group = nodes.get(forwardOf(name)).group;
  opened.add(group.name);
  drawGraph();
  describe();
  document.body.dataset.chosen = name;
  if (nameInAddress() !== name) history.replaceState(null, "", "#" + encodeURIComponent(name));
  byId("status").textContent = name + ": " + style(verdictOf(name))[2];
  scrollToChosen(false);
}

// Scrolls the graph to the chosen tensor, without scrolling the page.
function scrollToChosen(middle) {
  const pane = byId("model"), box = graph.querySelector('[aria-current="true"]');
  if (!box) return;
  const area = pane.getBoundingClientRect(), spot = box.getBoundingClientRect(), margin = 24;
  if (middle) pane.scrollTop += spot.top - area.top - area.height / 2;
  else if (spot.top < area.top + margin) pane.scrollTop += spot.top - area.top - margin;
  else if (spot.bottom > area.bottom - margin) pane.scrollTop += spot.bottom - area.bottom + margin;
}

const sequence = names.concat(data.backward ? [...names].reverse().map(name => GRADIENT + name) : []);

function step(by) {
  const at = names.indexOf(forwardOf(chosen)) + by;
  if (at < 0 || at >= names.length) return;
  const gradient = GRADIENT + names[at];
  choose(chosen.startsWith(GRADIENT) && verdictOf(gradient) !== "none" ? gradient : names[at]);
}

function nextError(by) {
  const from = sequence.indexOf(chosen), count = sequence.length;
  for (let i = 1; i <= count; i++) {
    const name = sequence[(from + by * i + count * 2) % count];
    if (isWrong(name)) { choose(name); return; }
  }
}

addEventListener("keydown", event => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
  if ((event.key === "Enter" || event.key === " ") && graph.contains(target)) {
    event.preventDefault();
    target.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: 1e6}));
    return;
  }
  if (event.key.startsWith("Arrow") && byId("detail").contains(target)) return;  // there arrow keys scroll
  const action = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), n: () => nextError(1), p: () => nextError(-1),
    ArrowLeft: () => choose(forwardOf(chosen)),
    ArrowRight: () => { const name = GRADIENT + forwardOf(chosen); if (verdictOf(name) !== "none") choose(name); },
  }[event.key];
  if (action) { event.preventDefault(); action(); }
});
addEventListener("hashchange", () => choose(nameInAddress()));
let waiting = null;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(describe, 150); });
byId("next").addEventListener("click", () => nextError(1));
byId("open").addEventListener("click", () => { for (const group of data.groups) opened.add(group.name); choose(chosen); });
byId("close").addEventListener("click", () => { opened.clear(); choose(chosen); });

function start() {
  const rows = Object.keys(data.rows);
  byId("verdict").textContent = data.agrees ? "All tensors agree" : "The port differs from the key";
  lines("causes", data.causes || []);
  lines("summary", data.summary);
  const known = Object.keys(VERDICTS).filter(verdict => verdict && verdict !== "none");
  const legendTexts = {"agrees": "agree", "inherited": "inherited", "WRONG HERE": "wrong here", "SHAPE": "wrong shape", "UNREADABLE": "unreadable", "NOT FINITE": "not finite"};
  for (const verdict of known) legend(verdict, `${data.counts[verdict] || 0} ${legendTexts[verdict]}`);
  legend("", `${data.notDumped} not dumped`);
  byId("next").disabled = !rows.some(isWrong);
  const forward = rows.filter(name => !name.startsWith(GRADIENT));
  const first = data.first.find(Boolean) || forward[forward.length - 1] || rows[0];
  choose(nodes.has(forwardOf(nameInAddress())) ? nameInAddress() : first);
  scrollToChosen(true);
  document.body.dataset.ready = "true";
}

function lines(list, texts) {
  for (const line of texts) add(byId(list), "li", {class: /^[ (]/.test(line) ? "further" : ""}, line.trim());
}

function legend(verdict, text) {
  const item = add(byId("legend"), "li", {});
  const [kind, letter] = style(verdict);
  add(item, "span", {class: "mark " + kind, "aria-hidden": "true"}, letter);
  add(item, "span", {}, text);
}

start();
