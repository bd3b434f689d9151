"use strict";

// Whoever opens the page without looking at it, such as a test, finds here whether it worked.
addEventListener("error", event => {
  document.body.dataset.error = event.message;
  document.getElementById("failure").textContent = "The page failed: " + event.message;
});

const data = JSON.parse(document.getElementById("data").textContent);
const GRADIENT = "grad/";
const byId = id => document.getElementById(id);
const forwardOf = name => name.startsWith(GRADIENT) ? name.slice(GRADIENT.length) : name;

// ---------------------------------------------------------------- verdicts

const VERDICTS = {
  "agrees": ["agrees", "✓", "agrees with the key"],
  "inherited": ["inherited", "↓", "inherited: its operation is right for the port's own inputs, which were wrong already"],
  "BORN HERE": ["born", "✗", "born here: its operation makes something else of the port's own inputs"],
  "SHAPE": ["broken", "S", "wrong shape"],
  "UNREADABLE": ["broken", "U", "cannot be read"],
  "NOT FINITE": ["broken", "N", "NaN or infinity that its own inputs do not explain"],
  "": ["absent", "·", "not dumped"],
  "none": ["none", "", "has no gradient"],
};
const ORDER = ["BORN HERE", "NOT FINITE", "SHAPE", "UNREADABLE", "inherited", "agrees", "", "none"];

function verdictOf(name) {
  if (data.rows[name]) return data.rows[name].verdict;
  const node = nodes.get(forwardOf(name));
  return name.startsWith(GRADIENT) && !(data.backward && node.differentiable) ? "none" : "";
}
const style = verdict => VERDICTS[verdict] || ["broken", "?", verdict];
const worst = names => names.map(verdictOf).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b))[0];
const isWrong = name => !["agrees", "", "none"].includes(verdictOf(name));

// ---------------------------------------------------------------- the model

const nodes = new Map();
for (const group of data.groups) for (const node of group.nodes) nodes.set(node.name, Object.assign(node, {group}));
const names = [...nodes.keys()];
const opened = new Set();
let chosen = null;

function shortName(node) {
  if (node.group.block && node.name === node.group.name) return "output";
  const prefix = node.group.name + ".";
  let name = node.name.startsWith(prefix) ? node.name.slice(prefix.length) : node.name;
  return name.replace(/^attn\./, "");
}
// A parameter's last word is enough beside the box of what it goes into.
const chipName = node => node.name.split(".").pop().replace(/relative_position_bias_table/, "table").replace(/absolute_pos_embed/, "embedding");
