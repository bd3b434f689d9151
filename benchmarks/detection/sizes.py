"""Sizes that a patch, a window or 2 does not divide: other paddings, and cropping."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Pad = Callable[[Tensor, int, int], Tensor]  # (B, H, W, C), rows and columns to add -> (B, H + rows, W + columns, C)


def _before(x: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(x, (0, 0, columns, 0, rows, 0))


def _both(x: Tensor, rows: int, columns: int) -> Tensor:
    top, left = rows // 2, columns // 2
    return F.pad(x, (0, 0, left, columns - left, top, rows - top))


def _as(mode: str) -> Pad:
    def pad(x: Tensor, rows: int, columns: int) -> Tensor:
        return F.pad(x.permute(0, 3, 1, 2), (0, columns, 0, rows), mode=mode).permute(0, 2, 3, 1)

    return pad


MERGING: dict[str, Pad] = {
    "merge-pad-before": _before,
    "merge-pad-edge": _as("replicate"),
    "merge-pad-mirrored": _as("reflect"),
    "merge-pad-around": _as("circular"),
}
PATCHES: dict[str, Pad] = {
    "patch-pad-before": _before,
    "patch-pad-edge": _as("replicate"),
    "patch-pad-mirrored": _as("reflect"),
}
WINDOWS: dict[str, Pad] = {"pad-mirrored": _as("reflect"), "pad-around": _as("circular"), "pad-both-sides": _both}


def cropped(x: Tensor, side: int) -> Tensor:
    """The rows and columns of a map (B, H, W, C) that squares of this side fill."""
    return x[:, : x.shape[1] // side * side, : x.shape[2] // side * side]


def one_more(x: Tensor, side: int) -> Tensor:
    """The map padded by side - H mod side, also where that is a whole side."""
    return F.pad(x, (0, 0, 0, side - x.shape[2] % side, 0, side - x.shape[1] % side))


def middle(x: Tensor, height: int, width: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, height, width, C), as `_both` padded it."""
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    return x[:, top : top + height, left : left + width]


def can_mirror(*lengths_and_rests: tuple[int, int]) -> bool:
    """Whether PyTorch mirrors a map by so many rows and columns: fewer than it has."""
    return all(rest < length for length, rest in lengths_and_rests)
