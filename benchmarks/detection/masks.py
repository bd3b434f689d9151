"""Masks of shifted windows as people write them, with a mistake."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.detection.layout import Block
from benchmarks.detection.windows import MASKED, cut, mask_of, pad, regions, right_mask, roll


def _slices(block: Block, shift_size: int) -> tuple[slice, slice, slice]:
    return slice(0, -block.side), slice(-block.side, -shift_size), slice(-shift_size, None)


def _numbered(block: Block, rows: Sequence[slice], columns: Sequence[slice], step: tuple[int, int] = (0, 1)) -> Tensor:
    """(Hp, Wp): the counter goes up by step[0] after each slice of rows and by step[1] after each of columns."""
    image, count = torch.zeros(block.padded), 0
    for h in rows:
        for w in columns:
            image[h, w] = count
            count += step[1]
        count += step[0]
    return image


def counter_in_outer_loop(block: Block, shift_size: int) -> Tensor:
    """The counter goes up once a slice of rows: regions of one row of regions are alike."""
    slices = _slices(block, shift_size)
    return mask_of(_numbered(block, slices, slices, (1, 0)), block.side)


def counter_started_again(block: Block, shift_size: int) -> Tensor:
    """The counter begins at 0 for each slice of rows: regions of one column of regions are alike."""
    slices = _slices(block, shift_size)
    return mask_of(_numbered(block, slices, slices, (-3, 1)), block.side)


def two_slices(block: Block, shift_size: int) -> Tensor:
    """The last slice is forgotten: its tokens keep 0."""
    slices = _slices(block, shift_size)[:2]
    return mask_of(_numbered(block, slices, slices), block.side)


def sum_of_bands(block: Block, shift_size: int) -> Tensor:
    """Regions are numbered h + w."""
    image = torch.zeros(block.padded)
    for (i, h), (j, w) in itertools.product(enumerate(_slices(block, shift_size)), repeat=2):
        image[h, w] = i + j
    return mask_of(image, block.side)


def slices_exchanged(block: Block, shift_size: int) -> Tensor:
    """window_size and shift_size are exchanged in the slices."""
    slices = slice(0, -shift_size), slice(-shift_size, -block.side), slice(-block.side, None)
    return mask_of(_numbered(block, slices, slices), block.side)


def of_square(block: Block, shift_size: int) -> Tensor:
    """The mask of a square map as high as this one, of which the first windows are taken."""
    side = max(block.padded)
    mask = mask_of(regions(side, side, block.side, shift_size), block.side)
    return mask[: block.windows[0] * block.windows[1]]


def rolled_as_the_map(block: Block, shift_size: int) -> Tensor:
    """The numbers are rolled like the map."""
    numbers = regions(*block.padded, block.side, shift_size)
    return mask_of(roll(numbers[None, :, :, None], -shift_size)[0, :, :, 0], block.side)


def in_one_direction(block: Block, shift_size: int) -> Tensor:
    """masked_fill(difference > 0) instead of != 0."""
    numbers = cut(regions(*block.padded, block.side, shift_size)[None, :, :, None], block.side)[0, :, :, 0]
    difference = numbers[:, None, :] - numbers[:, :, None]
    return torch.zeros_like(difference).masked_fill(difference > 0, MASKED)


def last_for_all(block: Block, shift_size: int) -> Tensor:
    """The last window's mask for every window."""
    mask = right_mask(block, shift_size)
    return mask[-1:].expand_as(mask).clone()


def inverted(block: Block, shift_size: int) -> Tensor:
    """Neighbours are masked."""
    return torch.where(right_mask(block, shift_size) == 0, MASKED, 0.0)


def other_corner(block: Block, shift_size: int) -> Tensor:
    """Slices counted from the start: those of a map rolled the other way."""
    slices = slice(0, shift_size), slice(shift_size, block.side), slice(block.side, None)
    return mask_of(_numbered(block, slices, slices), block.side)


def padding_apart(block: Block, shift_size: int) -> Tensor:
    """The map's regions before padding, padded with -1."""
    numbers = regions(block.height, block.width, block.side, shift_size)
    rows, columns = (total - length for total, length in zip(block.padded, numbers.shape, strict=True))
    return mask_of(F.pad(numbers, (0, columns, 0, rows), value=-1), block.side)


def in_map(block: Block, shift_size: int) -> Tensor:
    """(nW, N): 1 for tokens of the map, 0 for padding."""
    ones = pad(torch.ones(1, block.height, block.width, 1), *block.padded)
    return cut(roll(ones, -shift_size), block.side)[0, :, :, 0]


def padding_masked(block: Block, shift_size: int) -> Tensor:
    """Keys in the padding are masked as well."""
    keys = in_map(block, shift_size)[:, None, :]
    return torch.minimum(right_mask(block, shift_size), torch.where(keys == 0, MASKED, 0.0))


MASKS: dict[str, Callable[[Block, int], Tensor]] = {
    "mask-rows-alone": counter_in_outer_loop,
    "mask-columns-alone": counter_started_again,
    "mask-two-slices": two_slices,
    "mask-sum-of-bands": sum_of_bands,
    "mask-slices-exchanged": slices_exchanged,
    "mask-of-square": of_square,
    "mask-rolled": rolled_as_the_map,
    "mask-one-direction": in_one_direction,
    "mask-last-for-all": last_for_all,
    "mask-inverted": inverted,
    "mask-other-corner": other_corner,
    "mask-padding-apart": padding_apart,
    "mask-padding-too": padding_masked,
}


def _multiplied(scores: Tensor, mask: Tensor) -> Tensor:
    return scores * mask[:, None]


def _subtracted(scores: Tensor, mask: Tensor) -> Tensor:
    return scores - mask[:, None]


def _first_image(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.cat([scores[:1] + mask[:, None], scores[1:]])


def _first_head(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.cat([scores[:, :, :1] + mask[:, None], scores[:, :, 1:]], 2)


def _repeated(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores as (B·nW·heads, N, N), and the mask repeated, not repeated for each head."""
    flat = scores.flatten(0, 2)
    return (flat + mask.repeat(len(flat) // len(mask), 1, 1)).view_as(scores)


USES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mask-multiplied": _multiplied,
    "mask-subtracted": _subtracted,
    "mask-first-image": _first_image,
    "mask-first-head": _first_head,
    "mask-not-for-heads": _repeated,
}
