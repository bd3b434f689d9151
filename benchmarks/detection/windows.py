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
    """(B, Hp, Wp, C) -> (B, height, width, C), padded with zeros where a mistake made it too small."""
    return pad(x, height, width)


def pad_before(x: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, C) -> (B, height, width, C): zeros at the left and the top."""
    return F.pad(x, (0, 0, width - x.shape[2], 0, height - x.shape[1], 0))


def repeat_edge(x: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, C) -> (B, height, width, C): the last row and column are repeated."""
    rows, columns = (
        torch.arange(length).clamp(max=size - 1) for length, size in ((height, x.shape[1]), (width, x.shape[2]))
    )
    return x[:, rows][:, :, columns]


def crop_end(x: Tensor, height: int, width: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, height, width, C), from the right and the bottom."""
    return pad_before(x, height, width)


def crop_memory(x: Tensor, height: int, width: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, height, width, C), the first tokens in memory."""
    return x.flatten(1, 2)[:, : height * width].unflatten(1, (height, width))


def roll(x: Tensor, by: int, *axes: int) -> Tensor:
    """The map (B, H, W, C) rolled down and right, or along these axes."""
    axes = axes or (1, 2)
    return x.roll((by,) * len(axes), axes)


def cut(x: Tensor, side: int) -> Tensor:
    """(B, Hp, Wp, C) -> (B, nW, N, C)."""
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def join(windows: Tensor, height: int, width: int, side: int) -> Tensor:
    """(B, nW, N, C) -> (B, height, width, C)."""
    x = windows.unflatten(1, (height // side, width // side)).unflatten(3, (side, side))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def transpose_tokens(windows: Tensor, side: int) -> Tensor:
    """(B, nW, N, C) -> the same, rows and columns of each window exchanged."""
    return windows.unflatten(2, (side, side)).transpose(2, 3).flatten(2, 3)


def transpose_windows(windows: Tensor, rows: int, columns: int) -> Tensor:
    """(B, rows·columns, N, C) -> (B, columns·rows, N, C)."""
    return windows.unflatten(1, (rows, columns)).transpose(1, 2).flatten(1, 2)


def regions(height: int, width: int, side: int, shift_size: int) -> Tensor:
    """(height, width): the numbers of the regions of the rolled map."""
    bands = slice(0, -side), slice(-side, -shift_size), slice(-shift_size, None)
    numbers = torch.zeros(height, width)
    for row, rows in enumerate(bands):
        for column, columns in enumerate(bands):
            numbers[rows, columns] = 3 * row + column
    return numbers


def mask_of(numbers: Tensor, side: int) -> Tensor:
    """(Hp, Wp) region numbers -> (nW, N, N): MASKED for pairs of different regions, else 0."""
    numbers = cut(numbers[None, :, :, None], side)[0, :, :, 0]
    return torch.where(numbers[:, :, None] != numbers[:, None, :], MASKED, 0.0)


def right_mask(block: Block, shift_size: int) -> Tensor:
    """(nW, N, N)."""
    return mask_of(regions(*block.padded, block.side, shift_size), block.side)


def transposed_mask(block: Block, shift_size: int) -> Tensor:
    """(nW, N, N), the windows of a map of (Wp, Hp), in their order."""
    return mask_of(regions(*block.padded[::-1], block.side, shift_size), block.side)


def unpadded_mask(block: Block, shift_size: int) -> Tensor:
    """(nW, N, N), of the regions of the map before padding; padding is region 0."""
    numbers = regions(block.height, block.width, block.side, shift_size)
    numbers = pad(numbers[None, :, :, None], *block.padded)[0, :, :, 0]
    return mask_of(numbers, block.side)


def mask_of_other_bands(block: Block, shift_size: int) -> Tensor:
    """(nW, N, N), of the regions for a shift by M - shift_size."""
    return mask_of(regions(*block.padded, block.side, block.side - shift_size), block.side)


WRONG_MASKS: dict[str, Callable[[Block, int], Tensor]] = {
    "mask-transposed": transposed_mask,
    "mask-unpadded": unpadded_mask,
    "mask-bands": mask_of_other_bands,
}


def mask_by_image(mask: Tensor, batch: int) -> Tensor:
    """(nW, N, N) -> (B, nW, N, N): window i of the batch takes mask i // B."""
    return mask.repeat_interleave(batch, 0).unflatten(0, (batch, len(mask)))


def more_windows(block: Block) -> tuple[int, int]:
    """Rows and columns of windows that pad-amount adds."""
    return int(block.height % block.side == 0), int(block.width % block.side == 0)


def fewer_windows(block: Block) -> tuple[int, int]:
    """Rows and columns of windows that pad-missing adds, a negative number; at least one window remains."""
    height, width = (-int(length > block.side and length % block.side > 0) for length in (block.height, block.width))
    return height, width


def fewer_columns(block: Block) -> tuple[int, int]:
    """Rows are padded, and columns that fill no window left out."""
    return 0, fewer_windows(block)[1]


OTHER_AMOUNTS: dict[str, Callable[[Block], tuple[int, int]]] = {
    "pad-amount": more_windows,
    "pad-missing": fewer_windows,
    "pad-rows-alone": fewer_columns,
}
