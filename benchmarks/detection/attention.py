"""Shifted window attention (section 3.2): from the first norm's map to the branch."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.detection import bias, masks, shift, windows
from benchmarks.detection.backward import (
    gather_overwritten,
    pass_gradient_on,
    reduced_over_windows,
    softmax_without_sum,
    with_added_derivative,
    with_backward,
)
from benchmarks.detection.layout import Block
from benchmarks.detection.parts import linear
from benchmarks.detection.tape import Tape

Step = Callable[[Tape, Block, Tensor], Tensor]


def attention(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H, W, C)."""
    name, block = f"{block.name}.attn", shift.resized(tape, block)
    pads_after_roll = tape.makes("pad-after-shift", f"{name}.padded")
    x = _in_sequence((shift.roll, shift.pad) if pads_after_roll else (shift.pad, shift.roll), tape, block, x)
    x = linear(tape, f"{name}.qkv", _cut(tape, block, x), f"{name}.windows")
    x = linear(tape, f"{name}.proj", _attend(tape, block, x), f"{name}.merged_heads")
    x = _join(tape, block, x)
    return _in_sequence(
        (shift.crop, shift.roll_back) if pads_after_roll else (shift.roll_back, shift.crop), tape, block, x
    )


def _in_sequence(steps: tuple[Step, Step], tape: Tape, block: Block, x: Tensor) -> Tensor:
    for step in steps:
        x = step(tape, block, x)
    return x


def _cut(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, Hp, Wp, C) -> (B, nW, N, C)."""
    name = f"{block.name}.attn.windows"
    x = windows.cut(x, block.side)
    if tape.first(("windows-columns-first", "cut-columns-first"), name):
        x = windows.transpose_tokens(x, block.side)
    if tape.makes("windows-turned", name):
        x = windows.transpose_windows(x, *block.windows)
    return tape.store(name, x)


def _join(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, nW, N, C) -> (B, Hp, Wp, C)."""
    cut, name = f"{block.name}.attn.windows", f"{block.name}.attn.joined"
    if tape.makes("windows-columns-first", cut) or tape.makes("join-columns-first", name):
        x = windows.transpose_tokens(x, block.side)
    if tape.makes("windows-turned", cut):
        x = windows.transpose_windows(x, *block.windows[::-1])
    return tape.store(name, windows.join(x, *block.padded, block.side))


def _attend(tape: Tape, block: Block, qkv: Tensor) -> Tensor:
    """(B, nW, N, 3hd) -> (B, nW, N, hd)."""
    name = f"{block.name}.attn"
    q, k, v = _split(tape, block, qkv)
    wrong = pass_gradient_on if tape.makes("scale-gradient", f"grad/{name}.q") else None
    scale = with_backward(lambda q: q * _scale(tape, block), wrong)
    q = tape.store(f"{name}.q_scaled", tape.compute(scale, q))
    scores = tape.store(f"{name}.scores", tape.compute(_scores(tape, block), q, k))
    scores = _masked(tape, block, _biased(tape, block, scores))
    probabilities = tape.store(f"{name}.probabilities", tape.compute(_softmax(tape, block), scores))
    context = tape.store(f"{name}.context", tape.compute(_mix(tape, block), probabilities, v))
    merged = context.transpose(2, 3)
    if tape.makes("heads-not-merged", f"{name}.merged_heads"):
        merged = context
    return tape.store(f"{name}.merged_heads", merged.reshape(*qkv.shape[:3], -1))


def _split(tape: Tape, block: Block, qkv: Tensor) -> tuple[Tensor, ...]:
    """(B, nW, N, 3hd) -> three of (B, nW, h, N, d)."""
    name = f"{block.name}.attn"
    order = tape.detail("qkv-order", f"{name}.q") or tape.detail("qkv-order", f"{name}.k") or (0, 1, 2)
    parts = qkv.unflatten(-1, (3, block.heads, block.head_dim))
    if tape.makes("qkv-per-head", f"{name}.q"):
        parts = qkv.unflatten(-1, (block.heads, 3, block.head_dim)).transpose(3, 4)
    q, k, v = (parts.select(3, part).transpose(2, 3) for part in order)
    if tape.makes("keys-scaled", f"{name}.k"):
        k = tape.compute(lambda k: k * block.head_dim**-0.5, k)
    return tuple(tape.store(f"{name}.{letter}", each) for letter, each in zip("qkv", (q, k, v), strict=True))


def _scores(tape: Tape, block: Block) -> Callable[[Tensor, Tensor], Tensor]:
    """q (B, nW, h, N, d), k -> (B, nW, h, N, N)."""
    name, product = f"{block.name}.attn", tape.order.product

    def function(q: Tensor, k: Tensor) -> Tensor:
        if tape.makes("product-gradient", f"grad/{name}.k"):
            wrong = product(k, q.detach().transpose(-1, -2))  # by k: dS q
            scores = with_added_derivative(product(q, k.detach().transpose(-1, -2)), wrong)
        else:
            scores = product(q, k.transpose(-1, -2))
        return scores.transpose(-1, -2) if tape.makes("scores-transposed", f"{name}.scores") else scores

    return function


def _mix(tape: Tape, block: Block) -> Callable[[Tensor, Tensor], Tensor]:
    """probabilities (B, nW, h, N, N), v (B, nW, h, N, d) -> (B, nW, h, N, d)."""
    name, product = f"{block.name}.attn", tape.order.product

    def function(p: Tensor, v: Tensor) -> Tensor:
        if tape.makes("probabilities-transposed", f"{name}.context"):
            p = p.transpose(-1, -2)
        if tape.makes("product-gradient", f"grad/{name}.v"):
            wrong = product(p.detach().transpose(-1, -2), v)  # by v: P do
            return with_added_derivative(product(p, v.detach()), wrong)
        return product(p, v)

    return function


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
    positions = bias.entries(block.side, block.heads, reading)
    wrong = gather_overwritten(positions) if tape.makes("bias-overwritten", f"grad/{parameter}") else None
    gather = with_backward(
        lambda table: order.around(lambda positions: table.flatten()[positions], positions, 0, 1, 2), wrong
    )
    added = tape.store(f"{name}.relative_position_bias", tape.compute(gather, tape.params[parameter]))
    if tape.makes("bias-missing", f"{name}.biased_scores"):
        return tape.store(f"{name}.biased_scores", scores.clone())
    factor = block.head_dim**-0.5 if tape.makes("bias-before-scale", f"{name}.biased_scores") else 1
    reduction = tape.detail("bias-windows", f"grad/{name}.relative_position_bias")

    def function(scores: Tensor, added: Tensor) -> Tensor:
        added = added * factor
        if reduction:
            return scores + with_backward(
                lambda added: added.expand_as(scores).clone(), reduced_over_windows(reduction)
            )(added)
        return order.around(lambda scores: scores + added, scores, 0, 1)

    return tape.store(f"{name}.biased_scores", tape.compute(function, scores, added))


def _masked(tape: Tape, block: Block, scores: Tensor) -> Tensor:
    """(B, nW, h, N, N) -> the same."""
    name = f"{block.name}.attn"
    if not block.shift_size:
        if shift.is_wrongly_shifted(tape, block) or tape.makes("mask-on-unshifted", f"{name}.probabilities"):
            mask = windows.right_mask(block, block.side // 2).to(tape.wide)
            return tape.compute(lambda scores: scores + mask[:, None], scores)
        return scores
    wrong_masks = windows.WRONG_MASKS | masks.MASKS
    wrong = tape.first(wrong_masks, f"{name}.mask")
    make = wrong_masks[wrong] if wrong else windows.right_mask
    mask = make(block, shift.size(tape, block))
    value = tape.detail("mask-value", f"{name}.mask", default=windows.MASKED)
    mask = torch.where(mask == windows.MASKED, value, mask)
    mask = tape.store(f"{name}.mask", mask.to(tape.dtype)).to(tape.wide)[:, None]
    if tape.makes("mask-after-softmax", f"{name}.probabilities"):
        return scores
    use = tape.first(masks.USES, f"{name}.masked_scores")
    if use:
        return tape.store(f"{name}.masked_scores", tape.compute(lambda x: masks.USES[use](x, mask[:, 0]), scores))
    if tape.makes("mask-before-scale", f"{name}.masked_scores"):
        mask = mask * block.head_dim**-0.5
    if tape.makes("mask-missing", f"{name}.masked_scores"):
        mask = torch.zeros_like(mask)
    if tape.makes("mask-other-window", f"{name}.masked_scores"):
        mask = windows.mask_by_image(mask, len(scores))
    return tape.store(f"{name}.masked_scores", tape.compute(lambda scores: scores + mask, scores))


def _softmax(tape: Tape, block: Block) -> Callable[[Tensor], Tensor]:
    dim = -2 if tape.makes("softmax-over-queries", f"{block.name}.attn.probabilities") else -1
    wrong = softmax_without_sum(dim) if tape.makes("softmax-sum", f"grad/{block.scored}") else None
    softmax = with_backward(lambda x: tape.order.around(lambda x: x.softmax(dim), x, dim), wrong)
    if tape.makes("mask-after-softmax", f"{block.name}.attn.probabilities"):
        unmasked = (tape.tensors[f"{block.name}.attn.mask"] == 0).to(tape.wide)[:, None]
        return lambda x: softmax(x) * unmasked
    return softmax
