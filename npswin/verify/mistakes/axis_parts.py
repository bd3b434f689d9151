"""The axes of a graph's tensors, split into the parts that have a meaning: heads, rows and columns of windows."""

import math
from collections.abc import Iterable, Iterator, Sequence

from npswin.types import Array
from npswin.verify.fits.words import Axis
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run
from npswin.verify.mistakes.mistake import in_same_module

Axes = list[list[Axis]]

_NAMES = {"H": "row", "W": "column", "Hp": "row", "Wp": "column", "H/2": "row", "W/2": "column", "2C": "C"}
_PLAIN = {"c": "colour", "heads (or 1)": "head", "heads": "head", "nW": "window", "N": "token", "classes": "class"}
_SPLIT = {
    "nW": ["window row", "window column"],
    "N": ["token row", "token column"],
    "query": ["query row", "query column"],
    "key": ["key row", "key column"],
    "(q|k|v, head, d)": ["q|k|v", "head", "d"],
    "(head, d)": ["head", "d"],
    "4C": ["neighbour column", "neighbour row", "C"],
}


def axis_parts(graph: Graph, name: str, shape: Sequence[int]) -> Axes:
    """For each axis of a tensor its parts, in order; an axis without a known meaning is one part.

    Args:
        graph: which has the tensor.
        name: of a tensor or a parameter.
        shape: of the tensor.
    """
    node = graph.nodes[name]
    names = _parameter_axes(graph, name, len(shape)) if node.axes == "parameter" else split_names(node.axes)
    if len(names) != len(shape):
        names = [f"axis {place}" for place in range(len(shape))]
    return [_parts(graph, node, each, size) for each, size in zip(names, shape, strict=True)]


def with_axes(run: Run, names: Iterable[str]) -> Iterator[tuple[str, Array, Axes]]:
    """Each tensor or gradient with its value and the parts of its axes."""
    for name in names:
        value = run.value(name)
        yield name, value, axis_parts(run.graph, name.removeprefix(GRADIENT_PREFIX), value.shape)


def part_names(graph: Graph, name: str, without_last: bool = False) -> list[str]:
    """The names of the parts of a tensor's axes; none for a parameter.

    Args:
        graph: which has the tensor.
        name: of a tensor.
        without_last: whether the last axis is left out.
    """
    node = graph.nodes[name]
    if node.axes in ("", "parameter"):
        return []
    names, axes = [], split_names(node.axes)
    for axis in axes[:-1] if without_last else axes:
        names += _SPLIT.get(axis, [_PLAIN.get(axis, _NAMES.get(axis, axis))])
    return names


def split_names(axes: str) -> list[str]:
    """The names of the axes of a layout such as "B, nW, N, C"; an expression in parentheses is one name."""
    names, depth, part = [], 0, ""
    for letter in axes:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            names.append(part.strip())
            part = ""
        else:
            part += letter
    return [*names, part.strip()] if axes else []


def _parts(graph: Graph, node: Node, name: str, size: int) -> list[Axis]:
    heads = _num_heads(graph, node.name)
    if name in ("nW", "N", "query", "key"):
        sizes = _window_grid(graph, node.name) if name == "nW" else (math.isqrt(size), math.isqrt(size))
        if math.prod(sizes) == size:
            return [Axis(part, side) for part, side in zip(_SPLIT[name], sizes, strict=True)]
    if name == "(q|k|v, head, d)" and heads and size % (3 * heads) == 0:
        return [Axis("q|k|v", 3), Axis("head", heads), Axis("d", size // (3 * heads))]
    if name == "(head, d)" and heads and size % heads == 0:
        return [Axis("head", heads), Axis("d", size // heads)]
    if name == "4C" and size % 4 == 0:
        return [Axis("neighbour column", 2), Axis("neighbour row", 2), Axis("C", size // 4)]  # as GROUP_ORDER has them
    if name == "offset":
        side = math.isqrt(size)
        if side * side == size:
            return [Axis("offset row", side), Axis("offset column", side)]
    return [Axis(_PLAIN.get(name, _NAMES.get(name, name)), size)]


def _parameter_axes(graph: Graph, name: str, rank: int) -> list[str]:
    """The names of a parameter's axes, as `_parts` reads them."""
    module, _, kind = name.rpartition(".")
    last = module.rpartition(".")[2]
    if kind == "relative_position_bias_table":
        return ["offset", "heads"]
    if name == "patch_embed.proj.weight":
        return ["C", "channel", "row", "column"]
    wide = "4C" if last == "norm" and ".downsample." in name else "C"
    out = {"qkv": "(q|k|v, head, d)", "fc1": "hidden", "head": "classes"}.get(last, wide)
    if rank == 1:
        return [out]
    inner = {"proj": "(head, d)", "fc2": "hidden", "reduction": "4C"}.get(last, "C")
    return [out, inner] if rank == 2 else []


def _num_heads(graph: Graph, name: str) -> int:
    for module in (name, in_same_module(name, "x")):
        node = graph.nodes.get(in_same_module(module, "q"))
        if node is not None and "num_heads" in node.settings:
            return int(node.settings["num_heads"])
    module = name.rpartition(".")[0]
    node = graph.nodes.get(in_same_module(module, "q")) if module else None
    return int(node.settings["num_heads"]) if node is not None and "num_heads" in node.settings else 0


def _window_grid(graph: Graph, name: str) -> tuple[int, int]:
    node = graph.nodes.get(in_same_module(name, "joined"))
    if node is None or "size" not in node.settings:
        return 0, 0
    (height, width), side = node.settings["size"], node.settings["window_size"]
    return height // side, width // side
