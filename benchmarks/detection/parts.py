"""Everything of Swin but attention: from a tensor to the next, kept under its name."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.detection.backward import (
    NORM_TERMS,
    gelu_without_density,
    norm_without,
    nothing,
    same,
    transposed_memory,
    with_backward,
)
from benchmarks.detection.layout import Layout, Merging
from benchmarks.detection.tape import Tape
from benchmarks.detection.windows import pad

NEIGHBOURS = ((0, 0), (1, 0), (0, 1), (1, 1))  # (row, column) parity, in the order in which merging takes them


def norm(tape: Tape, name: str, x: Tensor, reads: str, width: int | None = None) -> Tensor:
    """LayerNorm of x (..., C).

    Args:
        tape: the run.
        name: of the result, and of its weight and bias.
        x: its input.
        reads: the input's name in the right model.
        width: how many entries of weight and bias are used, from the first; None for all.
    """
    dims = (1, 2) if tape.makes("norm-over-tokens", name) else (-1,)
    correction = int(tape.makes("norm-unbiased", name))
    eps = tape.detail("norm-eps", name, otherwise=1e-5)
    order = tape.order

    def standardize(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dims, correction=correction, keepdim=True)
        return (x - mean) / (variance + eps).sqrt()

    missing = tape.first(NORM_TERMS, f"grad/{reads}")
    derivative = None if missing is None else norm_without(NORM_TERMS[missing], dims, correction, eps)
    standard = with_backward(lambda x: order.around(standardize, x, *(dims if x.ndim == 4 else (-1,))), derivative)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return order.around(lambda x: x * weight + bias, standard(x), *range(x.ndim - 1))

    weight, bias = (tape.params[f"{name}.{part}"][:width] for part in ("weight", "bias"))
    return tape.keep(name, tape.compute(function, x, weight, bias))


def linear(tape: Tape, name: str, x: Tensor, extra_bias: Tensor | None = None) -> Tensor:
    """x (..., in) weight (out, in)ᵀ + bias -> (..., out)."""
    weight, bias = tape.params[f"{name}.weight"], tape.params.get(f"{name}.bias", extra_bias)
    if tape.makes("weight-gradient-transposed", f"grad/{name}.weight"):
        weight = with_backward(same, transposed_memory)(weight)
    if tape.makes("weight-transposed", name):
        weight = weight.reshape(weight.shape[::-1]).T

    def function(x: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        y = tape.order.product(x.flatten(0, -2), weight.T).unflatten(0, x.shape[:-1])
        return sum(bias, y)

    return tape.keep(name, tape.compute(function, x, weight, *([] if bias is None else [bias])))


def patch_embed(tape: Tape, plan: Layout, images: Tensor) -> Tensor:
    """(B, c, height, width) pixels -> (B, H, W, C)."""
    name, patch = "patch_embed.proj", plan.patch
    weight, bias = tape.params[f"{name}.weight"], tape.params[f"{name}.bias"]
    if tape.makes("patch-channels-last", name):
        weight = weight.reshape(-1, patch, patch, plan.colours).permute(0, 3, 1, 2)
    if tape.makes("patch-rows-columns", name):
        weight = weight.transpose(2, 3)
    height, width = (-(-length // patch) * patch for length in images.shape[2:])
    patches = pad(images.permute(0, 2, 3, 1), height, width).unflatten(2, (-1, patch)).unflatten(1, (-1, patch))
    patches = patches.permute(0, 1, 3, 5, 2, 4).flatten(3)  # (B, H, W, c·p·p)

    def function(patches: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = tape.order.product(patches.flatten(0, 2), weight.flatten(1).T)
        return y.unflatten(0, patches.shape[:3]) + bias

    x = tape.keep(name, tape.compute(function, patches, weight, bias))
    if plan.patch_norm:
        x = norm(tape, "patch_embed.norm", x, name)
    if plan.position_grid:
        x = tape.keep("pos_drop", tape.compute(_add_positions(plan), x, tape.params["absolute_pos_embed"]))
    return x


def _add_positions(plan: Layout) -> Callable[[Tensor, Tensor], Tensor]:
    """x + table (1, H0·W0, C), resampled where the map is of another size."""

    def function(x: Tensor, table: Tensor) -> Tensor:
        table = table.unflatten(1, plan.position_grid)
        if x.shape[1:3] != plan.position_grid:
            table = F.interpolate(table.permute(0, 3, 1, 2), x.shape[1:3], mode="bicubic").permute(0, 2, 3, 1)
        return x + table

    return function


def add(tape: Tape, name: str, shortcut: Tensor, normed: Tensor, branch: Tensor, reads: str) -> Tensor:
    """shortcut + branch, maps of (B, H, W, C).

    Args:
        tape: the run.
        name: of the sum.
        shortcut: the first summand.
        normed: what the branch began with, the norm of the shortcut.
        branch: the second summand.
        reads: the shortcut's name in the right model.
    """
    if tape.makes("residual-after-norm", name):
        shortcut = normed
    if tape.makes("shortcut-gradient", f"grad/{reads}"):
        shortcut = with_backward(same, nothing)(shortcut)
    factors = _kept(*tape.detail("drop-path", name, otherwise=(0.0, 0)), len(branch))
    factors = factors.to(tape.wide)[:, None, None, None]
    return tape.keep(name, tape.compute(lambda x, y: x + y * factors, shortcut, branch))


def _kept(rate: float, seed: int, batch: int) -> Tensor:
    """(B,) of 0 or 1 / (1 - rate), not all 0: the gradients of a branch that no image takes would hide its mistakes."""
    kept = np.random.default_rng(seed).random(batch) >= rate
    kept[0] |= not kept.any()
    return torch.from_numpy(kept / (1 - rate))


def mlp(tape: Tape, name: str, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H, W, C)."""
    hidden = linear(tape, f"{name}.fc1", x)
    gate = _gate(tape, tape.first(("gelu-tanh", "gelu-sigmoid"), f"{name}.act"))
    wrong = gelu_without_density(gate) if tape.makes("gelu-density", f"grad/{name}.fc1") else None
    active = tape.keep(f"{name}.act", tape.compute(with_backward(lambda x: x * gate(x), wrong), hidden))
    return linear(tape, f"{name}.fc2", active)


def _gate(tape: Tape, mistake: str | None) -> Callable[[Tensor], Tensor]:
    """What GELU multiplies x with."""
    if mistake == "gelu-tanh":
        return lambda x: 0.5 * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())
    if mistake == "gelu-sigmoid":
        return lambda x: (1.702 * x).sigmoid()
    root = math.sqrt(0.5)
    return tape.order.choice((lambda x: 0.5 * (1 + (x * root).erf()), lambda x: 0.5 * (-x * root).erfc()))


def merge(tape: Tape, merging: Merging, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H/2, W/2, 2C), odd maps padded with zeros."""
    name = merging.name
    x = pad(x, *(length + length % 2 for length in x.shape[1:3]))
    chosen = tape.detail("merge-order", f"{name}.concat", otherwise=range(4))
    parts = [x[:, row::2, column::2] for row, column in (NEIGHBOURS[number] for number in chosen)]
    x = tape.keep(f"{name}.concat", torch.cat(parts, -1))
    width = x.shape[-1] // 2
    bias = None
    if tape.makes("merge-bias", f"{name}.reduction"):
        rng = np.random.default_rng(tape.detail("merge-bias", f"{name}.reduction"))
        bias = torch.from_numpy(rng.normal(0, 0.1, width)).to(tape.dtype)
    if tape.makes("norm-after-reduction", f"{name}.norm"):
        x = linear(tape, f"{name}.reduction", x, bias)
        return norm(tape, f"{name}.norm", x, f"{name}.concat", width)
    return linear(tape, f"{name}.reduction", norm(tape, f"{name}.norm", x, f"{name}.concat"), bias)


def pool(tape: Tape, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C)."""
    return tape.keep("avgpool", tape.compute(lambda x: tape.order.shuffled(x.flatten(1, 2), 1).mean(1), x))


def loss(tape: Tape, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits (B, classes) and labels (B)."""
    order = tape.order

    def function(logits: Tensor) -> Tensor:
        each = order.shuffled(logits, 1).logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]
        return order.shuffled(each, 0).mean()

    return tape.keep("loss", tape.compute(function, logits))
