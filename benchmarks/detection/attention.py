"""Shifted window attention (section 3.2): from a norm's map to the branch that is added to the block's input."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.detection import bias, windows
from benchmarks.detection.backward import (
    as_it_is,
    first_tokens,
    gather_overwritten,
    softmax_without_sum,
    with_backward,
)
from benchmarks.detection.layout import Block
from benchmarks.detection.parts import linear
from benchmarks.detection.tape import Tape

Step = Callable[[Tape, Block, Tensor], Tensor]


def attention(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H, W, C)."""
    name = f"{block.name}.attn"
    pad_late = tape.makes("pad-after-shift", f"{name}.padded")
    x = _in_turn((_roll, _pad) if pad_late else (_pad, _roll), tape, block, x)
    x = tape.keep(f"{name}.windows", windows.cut(x, block.side))
    x = linear(tape, f"{name}.proj", _attend(tape, block, linear(tape, f"{name}.qkv", x)))
    x = tape.keep(f"{name}.joined", windows.join(x, *block.padded, block.side))
    return _in_turn((_crop, _roll_back) if pad_late else (_roll_back, _crop), tape, block, x)


def _in_turn(steps: tuple[Step, Step], tape: Tape, block: Block, x: Tensor) -> Tensor:
    for step in steps:
        x = step(tape, block, x)
    return x


def _pad(tape: Tape, block: Block, x: Tensor) -> Tensor:
    if not block.pads:
        return x
    wrong = first_tokens if tape.makes("padding-gradient", f"grad/{block.name}.norm1") else None
    padded = with_backward(lambda x: windows.pad(x, *block.padded), wrong)(x)
    if tape.makes("pad-before-norm", f"{block.name}.attn.padded"):
        inside = windows.pad(torch.ones_like(x[:1, :, :, :1]), *block.padded).bool()
        padded = torch.where(inside, padded, tape.params[f"{block.name}.norm1.bias"])
    return tape.keep(f"{block.name}.attn.padded", padded)


def _crop(tape: Tape, block: Block, x: Tensor) -> Tensor:
    if not block.pads:
        return x
    return tape.keep(f"{block.name}.attn.cropped", windows.crop(x, block.height, block.width))


def _shift(tape: Tape, block: Block) -> int:
    return tape.detail("shift-size", f"{block.name}.attn.shifted", otherwise=block.shift)


def _shifts_wrongly(tape: Tape, block: Block) -> bool:
    return not block.shift and tape.makes("shift-where-none", f"{block.name}.attn.windows")


def _roll(tape: Tape, block: Block, x: Tensor) -> Tensor:
    if _shifts_wrongly(tape, block):
        return windows.roll(x, -(block.side // 2))
    if not block.shift:
        return x
    name, by = f"{block.name}.attn.shifted", -_shift(tape, block)
    if tape.makes("roll-direction", name):
        by = -by
    wrong = as_it_is if tape.makes("shift-not-undone", f"grad/{block.rolled}") else None
    return tape.keep(name, with_backward(lambda x: windows.roll(x, by), wrong)(x))


def _roll_back(tape: Tape, block: Block, x: Tensor) -> Tensor:
    if _shifts_wrongly(tape, block):
        return windows.roll(x, block.side // 2)
    if not block.shift:
        return x
    name, by = f"{block.name}.attn.unshifted", _shift(tape, block)
    if tape.makes("roll-direction", f"{block.name}.attn.shifted") or tape.makes("roll-back-direction", name):
        by = -by
    if tape.makes("roll-back-missing", name):
        by = 0
    return tape.keep(name, windows.roll(x, by))


def _attend(tape: Tape, block: Block, qkv: Tensor) -> Tensor:
    """(B, nW, N, 3hd) -> (B, nW, N, hd)."""
    name, order = f"{block.name}.attn", tape.order
    parts = qkv.unflatten(-1, (3, block.heads, block.head_dim))
    if tape.makes("qkv-per-head", f"{name}.q"):
        parts = qkv.unflatten(-1, (block.heads, 3, block.head_dim)).transpose(3, 4)
    q, k, v = (
        tape.keep(f"{name}.{letter}", parts.select(3, number).transpose(2, 3)) for number, letter in enumerate("qkv")
    )
    q = tape.keep(f"{name}.q_scaled", tape.compute(lambda q: q * _scale(tape, block), q))
    scores = tape.keep(f"{name}.scores", tape.compute(order.product, q, k.transpose(-1, -2)))
    scores = _masked(tape, block, _biased(tape, block, scores))
    probabilities = tape.keep(f"{name}.probabilities", tape.compute(_softmax(tape, block), scores))
    context = tape.keep(f"{name}.context", tape.compute(order.product, probabilities, v))
    merged = context.transpose(2, 3)
    if tape.makes("heads-not-merged", f"{name}.merged_heads"):
        merged = context
    return tape.keep(f"{name}.merged_heads", merged.reshape(*qkv.shape[:3], -1))


def _scale(tape: Tape, block: Block) -> float:
    name, right = f"{block.name}.attn.q_scaled", block.head_dim**-0.5
    wrong = {"scale-missing": 1.0, "scale-twice": right**2, "scale-by-width": block.channels**-0.5}
    mistake = tape.first(wrong, name)
    return wrong[mistake] if mistake else right


def _biased(tape: Tape, block: Block, scores: Tensor) -> Tensor:
    """(B, nW, h, N, N) -> the same."""
    name, order = f"{block.name}.attn", tape.order
    parameter = f"{name}.relative_position_bias_table"
    reading = tape.first(bias.WRONG_READINGS, f"{name}.relative_position_bias")
    places = bias.entries(block.side, block.heads, reading)
    wrong = gather_overwritten(places) if tape.makes("bias-overwritten", f"grad/{parameter}") else None
    gather = with_backward(lambda table: order.around(lambda places: table.flatten()[places], places, 0, 1, 2), wrong)
    added = tape.keep(f"{name}.relative_position_bias", tape.compute(gather, tape.params[parameter]))
    if tape.makes("bias-missing", f"{name}.biased_scores"):
        return tape.keep(f"{name}.biased_scores", scores.clone())

    def function(scores: Tensor, added: Tensor) -> Tensor:
        return order.around(lambda scores: scores + added, scores, 0, 1)

    return tape.keep(f"{name}.biased_scores", tape.compute(function, scores, added))


def _masked(tape: Tape, block: Block, scores: Tensor) -> Tensor:
    """(B, nW, h, N, N) -> the same."""
    name = f"{block.name}.attn"
    if not block.shift:
        if _shifts_wrongly(tape, block) or tape.makes("mask-on-unshifted", f"{name}.probabilities"):
            mask = windows.right_mask(block, block.side // 2).to(tape.wide)
            return tape.compute(lambda scores: scores + mask[:, None], scores)
        return scores
    wrong = tape.first(windows.WRONG_MASKS, f"{name}.mask")
    make = windows.WRONG_MASKS[wrong] if wrong else windows.right_mask
    mask = tape.keep(f"{name}.mask", make(block, _shift(tape, block)).to(tape.dtype)).to(tape.wide)
    if tape.makes("mask-before-scale", f"{name}.masked_scores"):
        mask = mask * block.head_dim**-0.5
    if tape.makes("mask-missing", f"{name}.masked_scores"):
        mask = torch.zeros_like(mask)
    return tape.keep(f"{name}.masked_scores", tape.compute(lambda scores: scores + mask[:, None], scores))


def _softmax(tape: Tape, block: Block) -> Callable[[Tensor], Tensor]:
    dim = -2 if tape.makes("softmax-over-queries", f"{block.name}.attn.probabilities") else -1
    wrong = softmax_without_sum(dim) if tape.makes("softmax-sum", f"grad/{block.scored}") else None
    return with_backward(lambda x: tape.order.around(lambda x: x.softmax(dim), x, dim), wrong)
