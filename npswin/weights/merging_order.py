"""Patch merging in the order of `nn.Unfold`, brought to the official one.

Officially a merged token is the channels of four neighbours side by side: (0, 0), (1, 0), (0, 1), (1, 1), by row and
column. Unfold has the four neighbours of each channel side by side, row by row: (0, 0), (0, 1), (1, 0), (1, 1).
"""

from npswin.types import Array


def official_merging_weight(name: str, weight: Array) -> Array:
    """A reduction's weight (2C, 4C) with columns by (channel, row, column), ordered by (column, row, channel).

    Raises:
        ValueError: it has another shape.
    """
    if weight.ndim != 2 or weight.shape[1] % 4:
        raise ValueError(f"{name}: got {weight.shape}, expected (2C, 4C)")
    grouped = weight.reshape(len(weight), weight.shape[1] // 4, 2, 2)
    return grouped.transpose(0, 3, 2, 1).reshape(weight.shape)


def official_merging_vector(name: str, vector: Array) -> Array:
    """The gain or bias (4C,) of the norm before the reduction, ordered in the same way.

    Raises:
        ValueError: it has another shape.
    """
    if vector.ndim != 1 or len(vector) % 4:
        raise ValueError(f"{name}: got {vector.shape}, expected (4C,)")
    return vector.reshape(len(vector) // 4, 2, 2).transpose(2, 1, 0).reshape(vector.shape)
