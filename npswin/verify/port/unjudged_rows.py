"""The rows of tensors that have no distance: of another shape than the key's, or with NaN or infinite numbers.

What is computed from such a tensor has a wrong shape or NaN as well. It is no error of its own.
"""

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph
from npswin.verify.port.comparison import INHERITED, NOT_FINITE, SHAPE, Row
from npswin.verify.port.distance import Distance
from npswin.verify.port.tolerance import Tolerance


def shape_row(name: str, shape: tuple[int, ...], wanted: tuple[int, ...], graph: Graph, origin: str) -> Row:
    """The row of a tensor of another shape than the key's.

    Args:
        name: the tensor's.
        shape, wanted: the port's and the key's.
        graph: the key's.
        origin: the first tensor of another size, if this one was computed from it, or "".
    """
    axes = graph.nodes[name.removeprefix(GRADIENT_PREFIX)].axes
    note = f"shape {_shape_text(shape)}, the key has {_shape_text(wanted)}{axes and f': {axes}'}"
    if origin:
        return Row(name, INHERITED, note=f"{note}; follows from the shape of {origin}", origin=origin)
    return Row(name, SHAPE, note=note)


def non_finite_row(name: str, array: Array, expected: Array | None, found: Distance, tolerance: Tolerance) -> Row:
    """The row of a tensor with NaN or infinite numbers where the key has others.

    Args:
        name: the tensor's.
        array: the port's.
        expected: its operation's result on the port's own inputs; None for a source.
        found, tolerance: the distance from the key, and the tolerance for it.
    """
    indices = np.argwhere(~np.isfinite(array))
    first = ", ".join(map(str, indices[0]))
    note = f"{len(indices)} of {array.size} numbers are NaN or infinite, the first at ({first})"
    inherited = (
        expected is not None
        and expected.shape == array.shape
        and bool(np.isnan(expected[np.isnan(array)]).all())
        and not np.isfinite(expected[np.isinf(array)]).any()
    )
    return Row(name, INHERITED if inherited else NOT_FINITE, found, tolerance, note=note)


def _shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "()"
