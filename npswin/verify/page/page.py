"""A comparison as one page: the model as a graph, coloured by verdict, and pictures of each tensor and of the key's.

The page is `page.html` with its style, its scripts, and the data as JSON. It loads no other file, so that it can be
opened from a disk without a network.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node
from npswin.verify.page.groups import Group, Windows, model_groups
from npswin.verify.page.planes import full_cost, tensor_planes
from npswin.verify.page.views import View, tensor_view
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import AGREES, INHERITED, Comparison, Row, comparison_summary
from npswin.verify.port.diagnosis import Diagnosis, diagnosis_text
from npswin.verify.port.distance import Distance
from npswin.verify.port.tolerance import Tolerance

SCRIPTS = ("model.js", "graph.js", "details.js", "pictures.js", "start.js")
LARGEST = 8_000_000  # bytes of a page; the budget of the pictures is what its text leaves
LONGEST = 400  # letters of a name or note from the dump


def comparison_page(comparer: Comparer, comparison: Comparison, diagnosis: Diagnosis | None = None) -> str:
    """The HTML page of a comparison.

    Args:
        comparer: the key and the port.
        comparison: the result of `comparer.compare()`.
        diagnosis: the mistakes, if they were searched.

    Returns:
        Self-contained HTML of at most about eight megabytes for a model of any size.
    """
    template = _part("page.html").replace("{{ STYLE }}", _part("page.css"))
    template = template.replace("{{ SCRIPT }}", "\n".join(_part(name) for name in SCRIPTS))
    before, after = template.split("{{ DATA }}")
    data = page_data(comparer, comparison)
    if diagnosis is not None:
        data["causes"] = [_short(line) for line in diagnosis_text(diagnosis).splitlines()]
    budget = LARGEST - len(template) - len(script_json(data))
    return before + script_json({**data, "planes": page_planes(comparer, comparison, budget)}) + after


def _part(name: str) -> str:
    return files("npswin.verify.page").joinpath(name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """JSON in ASCII without the letters that could end its script element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page_data(comparer: Comparer, comparison: Comparison) -> dict[str, Any]:
    """The data of the page without the pictures; the functions below return its parts."""
    graph, shapes = comparer.key.graph, comparer.shapes
    groups = model_groups(graph)
    first_rows = comparison.first_error(), comparison.first_error(backward=True)
    return {
        "summary": [_short(line) for line in comparison_summary(comparison).splitlines()],
        "agrees": comparison.case_ok,
        "precision": comparison.precision,
        "counts": Counter(row.verdict for row in comparison.rows),
        "notDumped": comparison.not_dumped,
        "backward": any(name.startswith(GRADIENT_PREFIX) for name in shapes),
        "first": [None if row is None else row.name for row in first_rows],
        "groups": [_group(group, graph, shapes) for group in groups],
        "views": {name: _view(view) for name, view in _views(comparer).items()},
        "rows": {row.name: _row(row) for row in comparison.rows},
    }


def _group(group: Group, graph: Graph, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """A group of the graph: its title and its nodes."""
    is_block = any(node.operation is not None and node.operation.name == "cut_windows" for node in group.nodes)
    return {
        "name": group.name,
        "title": group.title,
        "stage": group.stage,
        "block": is_block,
        "windows": None if group.windows is None else _windows(group.windows),
        "nodes": [_node(node, graph, shapes[node.name]) for node in group.nodes],
    }


def _windows(windows: Windows) -> dict[str, Any]:
    return {"size": windows.size, "shiftSize": windows.shift_size, "grid": windows.grid, "heads": windows.heads}


def _node(node: Node, graph: Graph, shape: tuple[int, ...]) -> dict[str, Any]:
    uses = graph.differentiable_consumers(node.name)
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
    shapes = comparer.shapes
    groups = model_groups(comparer.key.graph)
    return {node.name: tensor_view(node, shapes[node.name], group.windows) for group in groups for node in group.nodes}


def _view(view: View) -> dict[str, Any]:
    cuts = [list(edges) for edges in view.cuts]
    return {"kind": view.kind, "shape": view.shape, "cuts": cuts, "tile": view.tile[0]}


def _row(row: Row) -> dict[str, Any]:
    """The result for one tensor; a number that is not finite is a string, as JSON has no such number."""
    return {
        "verdict": row.verdict,
        "note": _short(row.note),
        "found": _distance(row.distance, row.tolerance),
        "local": _distance(row.local_distance, row.local_tolerance),
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
    """Text from the dump: shortened, and without letters that cannot be written as UTF-8."""
    text = text[: LONGEST + 1].encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class _Request:
    """A tensor's pictures: bits of a number, bytes of all pictures, and the weight in sharing the budget."""

    name: str
    bits: int
    size: int
    weight: float


def page_planes(comparer: Comparer, comparison: Comparison, budget: int) -> dict[str, Any]:
    """The pictures of each tensor of the right shape: all if they fit into so many bytes, otherwise some."""
    views = _views(comparer)
    rows = [row for row in comparison.rows if row.name in comparer.candidate.tensors]
    view = {row.name: views[row.name.removeprefix(GRADIENT_PREFIX)] for row in rows}
    requests = [_Request(row.name, 16, full_cost(view[row.name], 16), 1.0) for row in rows]
    if sum(request.size for request in requests) > budget:
        parameters = set(comparer.key.graph.parameters)
        requests = [
            _reduced_request(row, view[row.name], row.name.removeprefix(GRADIENT_PREFIX) in parameters) for row in rows
        ]
    shares = _shares(requests, budget)
    planes = {}
    for request in requests:
        port = comparer.candidate.tensors[request.name]
        key = comparer.exact.value(request.name)  # all numbers, also of a tensor that is thinned in the key
        planes[request.name] = tensor_planes(view[request.name], key, port, request.bits, shares[request.name])
    return planes


def _reduced_request(row: Row, view: View, parameter: bool) -> _Request:
    weight = {AGREES: 1.0, INHERITED: 3.0}.get(row.verdict, 12.0) * (0.4 if parameter else 1.0)
    bits = 16 if row.is_local_error else 8
    return _Request(row.name, bits, full_cost(view, bits), weight)


def _shares(requests: list[_Request], budget: int) -> dict[str, int]:
    """By name a share of the budget by weight; the bytes that a tensor does not need are left to the others."""
    left, weights = float(budget), sum(request.weight for request in requests)
    shares = {}
    for request in sorted(requests, key=lambda request: request.size / request.weight):
        shares[request.name] = min(request.size, int(left * request.weight / weights))
        left, weights = left - shares[request.name], weights - request.weight
    return shares
