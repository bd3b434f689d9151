"""Padding and cyclic shift of the map before the windows are cut and after they are joined."""

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.detection import sizes, windows
from benchmarks.detection.backward import first_tokens, pass_gradient_on, with_backward
from benchmarks.detection.layout import Block
from benchmarks.detection.tape import Tape

WRONG_PADDINGS = {"pad-other-side": windows.pad_before, "pad-value": windows.repeat_edge}
WRONG_CROPS = {"crop-elsewhere": windows.crop_end, "crop-memory": windows.crop_memory}


def resized(tape: Tape, block: Block) -> Block:
    """The block with the number of windows that it is padded to."""
    mistake = tape.first(windows.OTHER_AMOUNTS, f"{block.name}.attn.padded")
    return replace(block, more=windows.OTHER_AMOUNTS[mistake](block)) if mistake else block


def pad(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, Hp, Wp, C)."""
    if not block.pads:
        return x
    name = f"{block.name}.attn.padded"
    mistake = tape.first(WRONG_PADDINGS, name)
    function = WRONG_PADDINGS[mistake] if mistake else windows.pad
    if other := tape.first(sizes.WINDOWS, name):
        rest = block.padded[0] - block.height, block.padded[1] - block.width
        return tape.store(name, sizes.WINDOWS[other](x, *rest))
    wrong = first_tokens if tape.makes("padding-gradient", f"grad/{block.name}.norm1") else None
    padded = with_backward(lambda x: function(x, *block.padded), wrong)(x)
    if tape.makes("pad-before-norm", name):
        in_map = windows.pad(torch.ones_like(x[:1, :, :, :1]), *block.padded).bool()
        padded = torch.where(in_map, padded, tape.params[f"{block.name}.norm1.bias"])
    return tape.store(name, padded)


def crop(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, Hp, Wp, C) -> (B, H, W, C)."""
    if not block.pads:
        return x
    name = f"{block.name}.attn.cropped"
    mistake = tape.first(WRONG_CROPS, name)
    function = WRONG_CROPS[mistake] if mistake else windows.crop
    if tape.makes("pad-other-side", f"{block.name}.attn.padded"):
        function = windows.crop_end
    if tape.makes("pad-both-sides", f"{block.name}.attn.padded"):
        function = sizes.middle
    return tape.store(name, function(x, block.height, block.width))


def size(tape: Tape, block: Block) -> int:
    """The number of rows and columns by which the map is shifted."""
    return tape.detail("shift-size", f"{block.name}.attn.shifted", default=block.shift_size)


def is_wrongly_shifted(tape: Tape, block: Block) -> bool:
    """Whether a block is shifted that should not be."""
    return not block.shift_size and tape.makes("shift-where-none", f"{block.name}.attn.windows")


def roll(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """The map rolled up and left."""
    if is_wrongly_shifted(tape, block):
        return windows.roll(x, -(block.side // 2))
    if not block.shift_size:
        return x
    name = f"{block.name}.attn.shifted"
    by, axes = -_signed_size(tape, block), _axes(tape, block)
    wrong = pass_gradient_on if tape.makes("shift-not-undone", f"grad/{block.rolled}") else None
    return tape.store(name, with_backward(lambda x: windows.roll(x, by, *axes), wrong)(x))


def roll_back(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """The map rolled down and right."""
    if is_wrongly_shifted(tape, block):
        return windows.roll(x, block.side // 2)
    if not block.shift_size:
        return x
    name, by = f"{block.name}.attn.unshifted", _signed_size(tape, block)
    if tape.makes("roll-back-direction", name):
        by = -by
    if tape.makes("roll-back-missing", name):
        by = 0
    by = tape.detail("roll-back-size", name, default=by)
    return tape.store(name, windows.roll(x, by, *_axes(tape, block)))


def _signed_size(tape: Tape, block: Block) -> int:
    """The number of rows and columns by which the map is rolled up and left, and back again."""
    name, by = f"{block.name}.attn.shifted", size(tape, block)
    if tape.makes("roll-missing", name):
        return 0
    return -by if tape.makes("roll-direction", name) else by


def _axes(tape: Tape, block: Block) -> tuple[int, ...]:
    """The axes of the map (B, H, W, C) along which it is rolled."""
    axis = tape.detail("roll-one-axis", f"{block.name}.attn.shifted")
    return (axis,) if axis else (1, 2)
