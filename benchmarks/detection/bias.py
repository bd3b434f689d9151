"""The entry of the relative position bias table for each head, query and key (equation 4)."""

import torch
from torch import Tensor

WRONG_READINGS = ("bias-xy", "bias-sign", "bias-table-transposed", "bias-heads-positions")


def entries(side: int, heads: int, reading: str | None = None) -> Tensor:
    """Positions in the memory of the table ((2M - 1)², h).

    Args:
        side: M.
        heads: h.
        reading: one of WRONG_READINGS.

    Returns:
        (h, N, N) of integers.
    """
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    dy, dx = (grid.flatten()[:, None] - grid.flatten()[None, :] for grid in (y, x))
    if reading == "bias-sign":
        dy, dx = -dy, -dx
    if reading == "bias-xy":
        dy, dx = dx, dy
    span = 2 * side - 1
    position = (dy + side - 1) * span + dx + side - 1
    head = torch.arange(heads)
    if reading == "bias-table-transposed":
        return head[:, None, None] * span**2 + position
    entry = position[:, :, None] * heads + head
    if reading == "bias-heads-positions":
        return entry.reshape(heads, side**2, side**2)
    return entry.permute(2, 0, 1)
