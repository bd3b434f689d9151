"""Parameters that are rounded, scaled, or in another order, as conversions leave them."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import Mistake, Pair, Variants, change_node, transform_input


def _to_grid(bits: int, per_row: bool) -> Callable[[Array], Array]:
    def quantized(weight: Array) -> Array:
        axes = tuple(range(1, weight.ndim)) if per_row and weight.ndim > 1 else None
        largest = np.abs(weight).max(axis=axes, keepdims=True)
        step = np.where(largest, largest, 1) / (2 ** (bits - 1) - 1)
        return np.rint(weight / step) * step

    return quantized


def _in_bits(precision: str) -> Callable[[Array], Array]:
    return lambda weight: rounded(weight.astype(np.float32), precision).astype(weight.dtype)


CHANGES: dict[str, Callable[[Array], Array]] = {
    "rounded to bfloat16": _in_bits("bfloat16"),
    "rounded to float16": _in_bits("float16"),
    "rounded to int8, one step for the whole tensor": _to_grid(8, False),
    "rounded to int8, a step for each row": _to_grid(8, True),
    "rounded to int4, one step for the whole tensor": _to_grid(4, False),
    "rounded to int4, a step for each row": _to_grid(4, True),
    "all 0": np.zeros_like,
    "all 1": np.ones_like,
    "multiplied by -1": lambda weight: -weight,
    "doubled": lambda weight: 2 * weight,
    "halved": lambda weight: weight / 2,
    "its rows in reversed order": lambda weight: weight[::-1],
    "its columns in reversed order": lambda weight: weight[..., ::-1],
    "the last row 0": lambda weight: np.concatenate([weight[:-1], 0 * weight[-1:]]),
    "the last column 0": lambda weight: np.concatenate([weight[..., :-1], 0 * weight[..., -1:]], axis=-1),
}


def _straight_through(function: Callable[[Array], Array]) -> Pair:
    return (lambda weight: (function(weight).astype(weight.dtype), None)), (lambda dy, _: dy)


def _changed(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is None:
        return
    for index, read in enumerate(node.inputs):
        if graph.nodes[read].axes == "parameter":
            kind = read.rpartition(".")[2]
            for words, function in CHANGES.items():
                pair = _straight_through(function)
                yield f"{kind} {words}", change_node(node, transform_input(node.operation, index, pair))


PARAMETERS = (
    Mistake("changed-parameter", "a parameter is another one", "the parameters as the key has them", _changed),
)
