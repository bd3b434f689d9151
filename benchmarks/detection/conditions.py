"""Whether a mistake makes a difference in a block."""

import itertools
from collections.abc import Callable

import torch

from benchmarks.detection import bias, windows
from benchmarks.detection.layout import Block, Merging

Condition = Callable[[Block], bool]


def other_shifts(block: Block) -> list[int]:
    return [shift for shift in range(1, block.side) if shift != block.shift]


def other_orders(merging: Merging) -> list[tuple[int, ...]]:
    """Permutations of the four neighbours that do more than to exchange those that are nothing but padding."""
    height, width = merging.height, merging.width
    filled = [True, height > 1, width > 1, height > 1 and width > 1]
    right = [number if filled[number] else -1 for number in range(4)]
    return [order for order in itertools.permutations(range(4)) if [right[number] for number in order] != right]


def other_parts(place: str) -> list[tuple[int, ...]]:
    """Orders of q, k and v of which q is the first that is wrong, or k, as the place says."""
    orders = list(itertools.permutations(range(3)))[1:]
    return [order for order in orders if (order[0] == 0) == place.endswith(".k")]


def reads_otherwise(reading: str) -> Condition:
    def differs(block: Block) -> bool:
        size = block.side, block.heads
        return not torch.equal(bias.entries(*size), bias.entries(*size, reading))

    return differs


def masks_otherwise(mistake: str) -> Condition:
    def differs(block: Block) -> bool:
        shift, wrong = block.shift, windows.WRONG_MASKS[mistake]
        return bool(shift) and not torch.equal(windows.right_mask(block, shift), wrong(block, shift))

    return differs


def pads_otherwise(mistake: str) -> Condition:
    return lambda block: block.pads and any(windows.OTHER_AMOUNTS[mistake](block))


def turns(block: Block) -> bool:
    """Whether a roll to one side is not the same as to the other."""
    return bool(block.shift) and any(2 * block.shift % length for length in block.padded)


def rolls_otherwise_unpadded(block: Block) -> bool:
    """Whether the map is padded, and a roll before that moves it."""
    return block.pads and bool(block.shift) and any(block.shift % length for length in (block.height, block.width))


def memory_is_another(block: Block) -> bool:
    """Whether the padded map's first tokens in memory are not the map."""
    return block.padded[1] > block.width and block.height > 1


def pads(block: Block) -> bool:
    return block.pads


def shifted(block: Block) -> bool:
    return block.shift > 0


def shifted_otherwise(block: Block) -> bool:
    return shifted(block) and other_shifts(block) != []


def could_be_shifted(block: Block) -> bool:
    return not block.shift and block.side > 1


def several_heads(block: Block) -> bool:
    return block.heads > 1


def several_tokens(block: Block) -> bool:
    return block.side > 1


def heads_lie_otherwise(block: Block) -> bool:
    return several_heads(block) and several_tokens(block)


def windows_lie_otherwise(block: Block) -> bool:
    return min(block.windows) > 1


def several_masks(block: Block) -> bool:
    """Whether windows differ in their masks: the last one is cut both ways."""
    return shifted(block) and block.windows != (1, 1)


def wide_heads(block: Block) -> bool:
    return block.head_dim > 1


def scales_mask(block: Block) -> bool:
    return shifted(block) and wide_heads(block)


def wider_than_squared(block: Block) -> bool:
    """Whether a scale by all channels is neither the right one nor that of a head twice."""
    return block.channels not in (block.head_dim, block.head_dim**2)
