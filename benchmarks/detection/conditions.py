"""Whether a mistake makes a difference in a block."""

import itertools
from collections.abc import Callable

import torch

from benchmarks.detection import bias, masks, sizes, windows
from benchmarks.detection.layout import Block, Merging

Condition = Callable[[Block], bool]


def other_shift_sizes(block: Block) -> list[int]:
    return [size for size in range(1, block.side) if size != block.shift_size]


def other_orders(merging: Merging) -> list[tuple[int, ...]]:
    """Permutations of the four neighbours that exchange more than those that are padding."""
    height, width = merging.height, merging.width
    filled = [True, height > 1, width > 1, height > 1 and width > 1]
    right = [number if filled[number] else -1 for number in range(4)]
    return [order for order in itertools.permutations(range(4)) if [right[number] for number in order] != right]


def other_parts(place: str) -> list[tuple[int, ...]]:
    """Orders of q, k and v in which q is the first wrong one, or k, depending on the place."""
    orders = list(itertools.permutations(range(3)))[1:]
    return [order for order in orders if (order[0] == 0) == place.endswith(".k")]


def bias_entries_differ(reading: str) -> Condition:
    def differs(block: Block) -> bool:
        size = block.side, block.heads
        return not torch.equal(bias.entries(*size), bias.entries(*size, reading))

    return differs


def masks_differ(mistake: str) -> Condition:
    def differs(block: Block) -> bool:
        size, wrong = block.shift_size, (windows.WRONG_MASKS | masks.MASKS)[mistake]
        if not size:
            return False
        in_map = masks.in_map(block, size)[:, :, None]  # what the padding attends to is cropped
        return not torch.equal(windows.right_mask(block, size) * in_map, wrong(block, size) * in_map)

    return differs


def padding_differs(mistake: str) -> Condition:
    return lambda block: block.pads and any(windows.OTHER_AMOUNTS[mistake](block))


def other_window_padding_differs(mistake: str) -> Condition:
    """Whether the map is padded, and PyTorch can pad it so, with another result."""

    def differs(block: Block) -> bool:
        rest = [total - length for total, length in zip(block.padded, (block.height, block.width), strict=True)]
        if mistake == "pad-both-sides":
            return max(rest) > 1
        return max(rest) > 0 and sizes.can_mirror((block.height, rest[0]), (block.width, rest[1]))

    return differs


def pads_one_axis_alone(block: Block) -> bool:
    """Whether rows can be padded, and columns that fill no window be left out."""
    return block.width > block.side and block.width % block.side > 0


def odd(merging: Merging) -> bool:
    """Whether merging pads the map, and the map can be mirrored and cropped."""
    return merging.height % 2 + merging.width % 2 > 0 and min(merging.height, merging.width) > 1


def direction_matters(block: Block) -> bool:
    """Whether rolls in the two directions differ."""
    return bool(block.shift_size) and any(2 * block.shift_size % length for length in block.padded)


def roll_before_padding_differs(block: Block) -> bool:
    """Whether the map is padded, and a roll before the padding changes it."""
    return (
        block.pads
        and bool(block.shift_size)
        and any(block.shift_size % length for length in (block.height, block.width))
    )


def padded_memory_differs(block: Block) -> bool:
    """Whether the padded map's first tokens in memory are not the map."""
    return block.padded[1] > block.width and block.height > 1


def pads(block: Block) -> bool:
    return block.pads


def shifted(block: Block) -> bool:
    return block.shift_size > 0


def shifted_with_heads(block: Block) -> bool:
    """Whether the heads' masks can differ, and the windows' do."""
    return shifted(block) and block.heads > 1 and block.windows != (1, 1)


def has_other_shift_sizes(block: Block) -> bool:
    return shifted(block) and other_shift_sizes(block) != []


def could_be_shifted(block: Block) -> bool:
    return not block.shift_size and block.side > 1


def several_heads(block: Block) -> bool:
    return block.heads > 1


def several_tokens(block: Block) -> bool:
    return block.side > 1


def several_heads_and_tokens(block: Block) -> bool:
    return several_heads(block) and several_tokens(block)


def several_windows_both_ways(block: Block) -> bool:
    return min(block.windows) > 1


def several_masks(block: Block) -> bool:
    """Whether the masks of the windows differ: that of the last window has both cuts."""
    return shifted(block) and block.windows != (1, 1)


def wide_heads(block: Block) -> bool:
    return block.head_dim > 1


def scales_mask(block: Block) -> bool:
    return shifted(block) and wide_heads(block)


def wider_than_squared(block: Block) -> bool:
    """Whether a scale by all channels is neither the right one nor that of a head twice."""
    return block.channels not in (block.head_dim, block.head_dim**2)
