"use strict";

// Shows an error of the scripts on the page, and in an attribute for a test.
addEventListener("error", event => {
  document.body.dataset.error = event.message;
  document.getElementById("failure").textContent = "The page failed: " + event.message;
});

const data = JSON.parse(document.getElementById("data").textContent);
const GRADIENT = "grad/";
const byId = id => document.getElementById(id);
const forwardOf = name => name.startsWith(GRADIENT) ? name.slice(GRADIENT.length) : name;

// ---------------------------------------------------------------- verdicts

// By verdict: the class for its colour, the letter, the description.
const VERDICTS = {
  "agrees": ["agrees", "✓", "agrees with the key"],
  "inherited": ["inherited", "↓", "inherited: right for the port's own inputs, which are wrong already"],
  "WRONG HERE": ["wrong-here", "✗", "wrong here: on the port's own inputs its operation gives another result"],
  "SHAPE": ["broken", "S", "wrong shape"],
  "UNREADABLE": ["broken", "U", "cannot be read"],
  "NOT FINITE": ["broken", "N", "NaN or infinity that the port's own inputs do not lead to"],
  "": ["absent", "·", "not dumped"],
  "none": ["none", "", "has no gradient"],
};
const ORDER = ["WRONG HERE", "NOT FINITE", "SHAPE", "UNREADABLE", "inherited", "agrees", "", "none"];

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
// A parameter is drawn next to the tensor that is computed from it, so the last part of its name is enough.
const chipName = node => node.name.split(".").pop().replace(/relative_position_bias_table/, "table").replace(/absolute_pos_embed/, "embedding");
