"""A comparison as one page: the model drawn as a graph, agreement coloured, each tensor's pictures beside the key's.

The page is `page.html` with its style, its scripts, and the data as JSON in it. It loads nothing: it opens from a disk,
without a network.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from npswin.verify.graph import GRADIENT, Graph, Node
from npswin.verify.page.groups import Group, Windows, model_groups
from npswin.verify.page.planes import full_cost, tensor_planes
from npswin.verify.page.views import View, tensor_view
from npswin.verify.port.comparison import AGREES, INHERITED, Comparer, Comparison, Row
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.measure import Distance
from npswin.verify.port.report import comparison_summary, diagnosis_text
from npswin.verify.port.tolerance import Tolerance

SCRIPTS = ("model.js", "graph.js", "details.js", "pictures.js", "start.js")
LARGEST = 8_000_000  # bytes of a page: what its words and numbers leave is for pictures
LONGEST = 400  # letters of a name or note that is not npswin's own


def comparison_page(comparer: Comparer, comparison: Comparison, diagnosis: Diagnosis | None = None) -> str:
    """A page to look at.

    Args:
        comparer: the key and the port.
        comparison: what `comparer.compare()` found.
        diagnosis: which mistakes it comes from, where that was looked for.

    Returns:
        HTML, self-contained: at most about eight megabytes, however large the model.
    """
    template = _part("page.html").replace("{{ STYLE }}", _part("page.css"))
    template = template.replace("{{ SCRIPT }}", "\n".join(_part(name) for name in SCRIPTS))
    before, after = template.split("{{ DATA }}")
    data = page_data(comparer, comparison)
    if diagnosis is not None:
        data["causes"] = [_short(line) for line in diagnosis_text(diagnosis).splitlines()]
    room = LARGEST - len(template) - len(script_json(data))
    return before + script_json({**data, "planes": page_planes(comparer, comparison, room)}) + after


def _part(name: str) -> str:
    return files("npswin.verify.page").joinpath(name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in, in ASCII."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page_data(comparer: Comparer, comparison: Comparison) -> dict[str, Any]:
    """What the page shows beside pictures; docstrings of the functions below tell the parts."""
    graph, shapes = comparer.key.graph, comparer.key.shapes
    groups = model_groups(graph)
    first = [None if row is None else row.name for row in (comparison.first(), comparison.first(backward=True))]
    return {
        "summary": [_short(line) for line in comparison_summary(comparison).splitlines()],
        "agrees": comparison.ok,
        "precision": comparison.precision,
        "counts": Counter(row.verdict for row in comparison.rows),
        "notDumped": comparison.not_dumped,
        "backward": any(name.startswith(GRADIENT) for name in shapes),
        "first": first,
        "groups": [_group(group, graph, shapes) for group in groups],
        "views": {name: _view(view) for name, view in _views(comparer).items()},
        "rows": {row.name: _row(row) for row in comparison.rows},
    }


def _group(group: Group, graph: Graph, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """A box of the graph: its title, and its tensors as nodes."""
    cuts_itself = any(node.operation is not None and node.operation.name == "cut_windows" for node in group.nodes)
    return {
        "name": group.name,
        "title": group.title,
        "stage": group.stage,
        "block": cuts_itself,
        "windows": None if group.windows is None else _windows(group.windows),
        "nodes": [_node(node, graph, shapes[node.name]) for node in group.nodes],
    }


def _windows(windows: Windows) -> dict[str, Any]:
    return {"size": windows.size, "shift": windows.shift, "grid": windows.grid, "heads": windows.heads}


def _node(node: Node, graph: Graph, shape: tuple[int, ...]) -> dict[str, Any]:
    uses = [use for use in graph.consumers[node.name] if use in graph.differentiable]
    return {
        "name": node.name,
        "parameter": node.operation is None and node.axes == "parameter",
        "axes": "" if node.axes == "parameter" else node.axes,
        "shape": shape,
        "operation": None if node.operation is None else node.operation.name,
        "settings": ", ".join(f"{name} = {value}" for name, value in node.settings.items()),
        "formula": node.formula,
        "paper": node.source,
        "inputs": node.inputs,
        "uses": graph.consumers[node.name],
        "gradientFrom": uses,
        "differentiable": node.name in graph.differentiable,
    }


def _views(comparer: Comparer) -> dict[str, View]:
    shapes = comparer.key.shapes
    groups = model_groups(comparer.key.graph)
    return {node.name: tensor_view(node, shapes[node.name], group.windows) for group in groups for node in group.nodes}


def _view(view: View) -> dict[str, Any]:
    cuts = [list(edges) for edges in view.cuts]
    return {"kind": view.kind, "shape": view.shape, "cuts": cuts, "tile": view.tile[0]}


def _row(row: Row) -> dict[str, Any]:
    """What was found of one tensor; a number that JSON does not have is a word."""
    return {
        "verdict": row.verdict,
        "note": _short(row.note),
        "found": _distance(row.found, row.tolerance),
        "local": _distance(row.local, row.local_tolerance),
    }


def _distance(found: Distance | None, tolerance: Tolerance | None) -> dict[str, Any] | None:
    if found is None or tolerance is None:
        return None
    numbers = {name: getattr(found, name) for name in ("largest", "relative", "peak", "cosine", "wrong", "right")}
    numbers |= {"relativeTolerance": tolerance.relative, "peakTolerance": tolerance.peak}
    return {
        "where": found.where,
        **{name: value if math.isfinite(value) else str(value) for name, value in numbers.items()},
    }


def _short(text: str) -> str:
    """Text that is not npswin's own: of bounded length, and such that it can be written as UTF-8."""
    text = text[: LONGEST + 1].encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class _Wish:
    """What a tensor's pictures would take in full, and how much they matter."""

    name: str
    bits: int
    need: int
    weight: float


def page_planes(comparer: Comparer, comparison: Comparison, room: int) -> dict[str, Any]:
    """The pictures of each tensor whose shape is right: all if so many bytes hold them, otherwise the worst ones."""
    views = _views(comparer)
    rows = [row for row in comparison.rows if row.name in comparer.candidate.tensors]
    view = {row.name: views[row.name.removeprefix(GRADIENT)] for row in rows}
    wishes = [_Wish(row.name, 16, full_cost(view[row.name], 16), 1.0) for row in rows]
    if sum(wish.need for wish in wishes) > room:
        parameters = set(comparer.key.graph.parameters)
        wishes = [_thinned(row, view[row.name], row.name.removeprefix(GRADIENT) in parameters) for row in rows]
    rooms = _shares(wishes, room)
    planes = {}
    for wish in wishes:
        port = comparer.candidate.tensors[wish.name]
        key = comparer.exact.value(wish.name)  # of a thinned tensor, too, all of it
        planes[wish.name] = tensor_planes(view[wish.name], key, port, wish.bits, rooms[wish.name])
    return planes


def _thinned(row: Row, view: View, parameter: bool) -> _Wish:
    weight = {AGREES: 1.0, INHERITED: 3.0}.get(row.verdict, 12.0) * (0.4 if parameter else 1.0)
    bits = 16 if row.born else 8
    return _Wish(row.name, bits, full_cost(view, bits), weight)


def _shares(wishes: list[_Wish], room: int) -> dict[str, int]:
    """The room given out by weight; what one does not need is left to the others."""
    left, weights = float(room), sum(wish.weight for wish in wishes)
    shares = {}
    for wish in sorted(wishes, key=lambda wish: wish.need / wish.weight):
        shares[wish.name] = min(wish.need, int(left * wish.weight / weights))
        left, weights = left - shares[wish.name], weights - wish.weight
    return shares
