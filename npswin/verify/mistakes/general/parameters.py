"""Parameters that are rounded, scaled, or in another order, as conversions leave them."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import Mistake, Pair, Variants, change_node, transform_input
from npswin.verify.mistakes.not_applicable import NotApplicable


def _to_grid(bits: int, per_row: bool) -> Callable[[Array], Array]:
    def quantized(weight: Array) -> Array:
        axes = tuple(range(1, weight.ndim)) if per_row and weight.ndim > 1 else None
        largest = np.abs(weight).max(axis=axes, keepdims=True)
        step = np.where(largest, largest, 1) / (2 ** (bits - 1) - 1)
        return np.rint(weight / step) * step

    return quantized


def _in_bits(precision: str) -> Callable[[Array], Array]:
    return lambda weight: rounded(weight.astype(np.float32), precision).astype(weight.dtype)


def _largest_of_groups(kept: int, group: int) -> Callable[[Array], Array]:
    """Of each group of numbers of a row the largest are kept."""

    def pruned(weight: Array) -> Array:
        if weight.shape[-1] % group:
            raise NotApplicable(f"no groups of {group}")
        groups = weight.reshape(-1, group)
        order = np.argsort(np.argsort(-np.abs(groups), axis=1), axis=1)
        return np.where(order < kept, groups, 0).reshape(weight.shape)

    return pruned


def _without_smallest(share: float, per_row: bool) -> Callable[[Array], Array]:
    def pruned(weight: Array) -> Array:
        limit = np.quantile(np.abs(weight), share, axis=-1 if per_row else None, keepdims=True)
        return np.where(np.abs(weight) > limit, weight, 0)

    return pruned


def _median(x: Array) -> float:
    """Of an even count the lower one, as PyTorch has it."""
    return float(np.quantile(x, 0.5, method="lower"))


LIMITS: dict[str, Callable[[Array], float]] = {
    "the median of their absolute values": lambda weight: _median(np.abs(weight)),
    "the median of their absolute values, the mean of the middle two": lambda weight: float(np.median(np.abs(weight))),
    "the mean of their absolute values": lambda weight: float(np.abs(weight).mean()),
    "their standard deviation": lambda weight: float(weight.std()),
    "their median": _median,
    "0": lambda _: 0.0,
}


def _without_lower(limit: Callable[[Array], float]) -> Callable[[Array], Array]:
    """Pruned by the value in place of the absolute value."""
    return lambda weight: np.where(weight < limit(weight), 0, weight)


def _of_rank(rank: int) -> Callable[[Array], Array]:
    def approximated(weight: Array) -> Array:
        if weight.ndim != 2 or min(weight.shape) <= rank:
            raise NotApplicable(f"no matrix of a larger rank than {rank}")
        left, singular, rows = np.linalg.svd(weight, full_matrices=False)
        return np.asarray((left[:, :rank] * singular[:rank]) @ rows[:rank])

    return approximated


CHANGES: dict[str, Callable[[Array], Array]] = {
    "rounded to bfloat16": _in_bits("bfloat16"),
    "rounded to float16": _in_bits("float16"),
    "rounded to int8, one step for the whole tensor": _to_grid(8, False),
    "rounded to int8, a step for each row": _to_grid(8, True),
    "rounded to int4, one step for the whole tensor": _to_grid(4, False),
    "rounded to int4, a step for each row": _to_grid(4, True),
    **{
        f"of each {group} numbers of a row the {kept} largest kept, the others 0 ({kept}:{group})": _largest_of_groups(
            kept, group
        )
        for kept, group in ((2, 4), (1, 2), (1, 4), (4, 8))
    },
    **{
        f"its {share:.0%} smallest numbers 0{', row by row' if per_row else ''}": _without_smallest(share, per_row)
        for share in (0.25, 0.5, 0.75, 0.8, 0.9)
        for per_row in (False, True)
    },
    **{f"its numbers below {words} 0": _without_lower(one) for words, one in LIMITS.items()},
    **{f"approximated by a matrix of rank {rank}": _of_rank(rank) for rank in (1, 2, 4, 8, 16, 32)},
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


OF_MATRICES = [
    words for words in CHANGES if "smallest" in words or "below" in words or "largest" in words or "rank" in words
]


def _straight_through(function: Callable[[Array], Array]) -> Pair:
    return (lambda weight: (function(weight).astype(weight.dtype), None)), (lambda dy, _: dy)


def _changed(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is None:
        return
    for index, read in enumerate(node.inputs):
        if graph.nodes[read].axes == "parameter":
            kind = read.rpartition(".")[2]
            is_vector = kind == "bias" or node.operation.name == "layer_norm"
            for words, function in CHANGES.items():
                if is_vector and words in OF_MATRICES:
                    continue
                pair = _straight_through(function)
                yield f"{kind} {words}", change_node(node, transform_input(node.operation, index, pair))


PARAMETERS = (
    Mistake("changed-parameter", "a parameter is another one", "the parameters as the key has them", _changed),
)
