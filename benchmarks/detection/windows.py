"""Windows of a map, and the mask of shifted ones (section 3.2)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.detection.layout import Block

MASKED = -100.0


def pad(x: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, C) -> (B, height, width, C): zeros at the right and the bottom."""
    return F.pad(x, (0, 0, 0, width - x.shape[2], 0, height - x.shape[1]))


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, height, width, C)."""
    return x[:, :height, :width]


def roll(x: Tensor, by: int) -> Tensor:
    """The map (B, H, W, C) rolled down and right."""
    return x.roll((by, by), (1, 2))


def cut(x: Tensor, side: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, nW, N, C)."""
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def join(windows: Tensor, height: int, width: int, side: int) -> Tensor:
    """(B, nW, N, C) -> (B, height, width, C)."""
    x = windows.unflatten(1, (height // side, width // side)).unflatten(3, (side, side))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def regions(height: int, width: int, side: int, shift: int) -> Tensor:
    """(height, width): numbers of the parts that the roll brings together, after it."""
    bands = slice(0, -side), slice(-side, -shift), slice(-shift, None)
    numbers = torch.zeros(height, width)
    for row, rows in enumerate(bands):
        for column, columns in enumerate(bands):
            numbers[rows, columns] = 3 * row + column
    return numbers


def mask_of(numbers: Tensor, side: int) -> Tensor:
    """(Hp, Wp) region numbers -> (nW, N, N): MASKED for pairs of different regions, else 0."""
    numbers = cut(numbers[None, :, :, None], side)[0, :, :, 0]
    return torch.where(numbers[:, :, None] != numbers[:, None, :], MASKED, 0.0)


def right_mask(block: Block, shift: int) -> Tensor:
    """(nW, N, N)."""
    return mask_of(regions(*block.padded, block.side, shift), block.side)


def transposed_mask(block: Block, shift: int) -> Tensor:
    """(nW, N, N), the windows of a map of (Wp, Hp), in their order."""
    return mask_of(regions(*block.padded[::-1], block.side, shift), block.side)


def unpadded_mask(block: Block, shift: int) -> Tensor:
    """(nW, N, N), of the regions of the map before padding; padding is region 0."""
    numbers = regions(block.height, block.width, block.side, shift)
    numbers = pad(numbers[None, :, :, None], *block.padded)[0, :, :, 0]
    return mask_of(numbers, block.side)


def mask_of_other_bands(block: Block, shift: int) -> Tensor:
    """(nW, N, N), of regions that end where those of a shift by M - shift do."""
    return mask_of(regions(*block.padded, block.side, block.side - shift), block.side)


WRONG_MASKS: dict[str, Callable[[Block, int], Tensor]] = {
    "mask-transposed": transposed_mask,
    "mask-unpadded": unpadded_mask,
    "mask-bands": mask_of_other_bands,
}
