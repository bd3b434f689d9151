"""The layers of Swin except attention; each stores its result under its name."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.detection import sizes
from benchmarks.detection.backward import (
    NORM_TERMS,
    averaged,
    gelu_without_density,
    identity,
    no_gradient,
    norm_without,
    not_divided,
    transposed_memory,
    with_added_derivative,
    with_backward,
)
from benchmarks.detection.gates import WRONG_GATES, right_gate
from benchmarks.detection.layout import Merging
from benchmarks.detection.tape import Tape
from benchmarks.detection.windows import pad

NEIGHBOURS = ((0, 0), (1, 0), (0, 1), (1, 1))  # (row, column) parity, in the order in which merging takes them


def norm(tape: Tape, name: str, x: Tensor, reads: str, width: int | None = None) -> Tensor:
    """LayerNorm of x (..., C).

    Args:
        tape: the run.
        name: of the result, and of its weight and bias.
        x: its input.
        reads: the input's name in the correct model.
        width: the number of entries of weight and bias that are used; None for all.
    """
    dims = (1, 2) if tape.makes("norm-over-tokens", name) else (-1,)
    correction = int(tape.makes("norm-unbiased", name))
    eps = tape.detail("norm-eps", name, default=1e-5)
    order = tape.order

    def standardize(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dims, correction=correction, keepdim=True)
        if tape.makes("norm-of-squares", name):
            return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
        if tape.makes("norm-eps-outside", name):
            return (x - mean) / (variance.sqrt() + eps)
        return (x - mean) / (variance + eps).sqrt()

    missing = tape.first(NORM_TERMS, f"grad/{reads}")
    derivative = None if missing is None else norm_without(NORM_TERMS[missing], dims, correction, eps)
    standard = with_backward(lambda x: order.around(standardize, x, *(dims if x.ndim == 4 else (-1,))), derivative)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return order.around(lambda x: x * weight + bias, standard(x), *range(x.ndim - 1))

    source = name
    if tape.makes("other-parameters", name):
        source = name[:-1] + {"1": "2", "2": "1"}[name[-1]]
    weight, bias = (tape.params[f"{source}.{part}"][:width] for part in ("weight", "bias"))
    if tape.makes("norm-gain-missing", name):
        weight = torch.ones_like(weight)
    if tape.makes("norm-bias-missing", name):
        bias = torch.zeros_like(bias)
    return tape.store(name, tape.compute(function, x, weight, bias))


def linear(tape: Tape, name: str, x: Tensor, reads: str, extra_bias: Tensor | None = None) -> Tensor:
    """x (..., in) weight (out, in)ᵀ + bias -> (..., out).

    Args:
        tape: the run.
        name: of the result, and of its weight and bias.
        x: its input.
        reads: the input's name in the correct model.
        extra_bias: added where there is no bias.
    """
    weight, bias = tape.params[f"{name}.weight"], tape.params.get(f"{name}.bias", extra_bias)
    if bias is not None and tape.makes("bias-gradient-averaged", f"grad/{name}.bias"):
        bias = with_backward(identity, averaged(x[..., 0].numel()))(bias)
    if tape.makes("linear-bias-missing", name):
        bias = None
    if tape.makes("weight-gradient-transposed", f"grad/{name}.weight"):
        weight = with_backward(identity, transposed_memory)(weight)
    if tape.makes("weight-transposed", name):
        weight = _transposed(weight)

    def multiply(x: Tensor, weight: Tensor) -> Tensor:
        return tape.order.product(x.flatten(0, -2), weight.T).unflatten(0, x.shape[:-1])

    def function(x: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        if tape.makes("linear-gradient", f"grad/{reads}"):
            wrong = multiply(x, _transposed(weight.detach()))
            return sum(bias, with_added_derivative(multiply(x.detach(), weight), wrong))
        return sum(bias, multiply(x, weight))

    return tape.store(name, tape.compute(function, x, weight, *([] if bias is None else [bias])))


def _transposed(weight: Tensor) -> Tensor:
    """(out, in) -> (out, in), its memory read as (in, out)."""
    return weight.reshape(weight.shape[::-1]).T


def add(tape: Tape, name: str, shortcut: Tensor, normed: Tensor, branch: Tensor, reads: str) -> Tensor:
    """shortcut + branch, maps of (B, H, W, C).

    Args:
        tape: the run.
        name: of the sum.
        shortcut: the first summand.
        normed: what the branch began with, the norm of the shortcut.
        branch: the second summand.
        reads: the shortcut's name in the correct model.
    """
    if tape.makes("residual-after-norm", name):
        shortcut = normed
    if tape.makes("residual-missing", name):
        shortcut = torch.zeros_like(shortcut)
    if tape.makes("branch-missing", name):
        branch = torch.zeros_like(branch)
    if tape.makes("shortcut-gradient", f"grad/{reads}"):
        shortcut = with_backward(identity, no_gradient)(shortcut)
    factors = _drop_path_factors(*tape.detail("drop-path", name, default=(0.0, 0)), len(branch))
    factors = factors.to(tape.wide)[:, None, None, None]
    return tape.store(name, tape.compute(lambda x, y: x + y * factors, shortcut, branch))


def _drop_path_factors(rate: float, seed: int, batch: int) -> Tensor:
    """(B,) of 0 or 1 / (1 - rate), not all 0: a branch that no image takes would have no gradients."""
    takes_branch = np.random.default_rng(seed).random(batch) >= rate
    takes_branch[0] |= not takes_branch.any()
    return torch.from_numpy(takes_branch / (1 - rate))


def mlp(tape: Tape, block: str, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H, W, C)."""
    hidden = linear(tape, f"{block}.mlp.fc1", x, f"{block}.norm2")
    name = f"{block}.mlp.act"
    mistake = tape.first(WRONG_GATES, name)
    gate = WRONG_GATES[mistake] if mistake else right_gate(tape.order)
    wrong = gelu_without_density(gate) if tape.makes("gelu-density", f"grad/{block}.mlp.fc1") else None
    active = tape.store(name, tape.compute(with_backward(lambda x: x * gate(x), wrong), hidden))
    return linear(tape, f"{block}.mlp.fc2", active, name)


def merge(tape: Tape, merging: Merging, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H/2, W/2, 2C), odd maps padded with zeros."""
    name = merging.name
    other, rest = tape.first(sizes.MERGING, f"{name}.concat"), [length % 2 for length in x.shape[1:3]]
    if tape.makes("merge-crop", f"{name}.concat"):
        x = sizes.cropped(x, 2)
    elif other:
        x = sizes.MERGING[other](x, *rest)
    else:
        x = pad(x, x.shape[1] + rest[0], x.shape[2] + rest[1])
    chosen = tape.detail("merge-order", f"{name}.concat", default=range(4))
    parts = [x[:, row::2, column::2] for row, column in (NEIGHBOURS[number] for number in chosen)]
    x = tape.store(f"{name}.concat", torch.cat(parts, -1))
    width = x.shape[-1] // 2
    bias = None
    if tape.makes("merge-bias", f"{name}.reduction"):
        rng = np.random.default_rng(tape.detail("merge-bias", f"{name}.reduction"))
        bias = torch.from_numpy(rng.normal(0, 0.1, width)).to(tape.dtype)
    if tape.makes("norm-after-reduction", f"{name}.norm"):
        x = linear(tape, f"{name}.reduction", x, f"{name}.norm", bias)
        return norm(tape, f"{name}.norm", x, f"{name}.concat", width)
    x = norm(tape, f"{name}.norm", x, f"{name}.concat")
    return linear(tape, f"{name}.reduction", x, f"{name}.norm", bias)


def pool(tape: Tape, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C)."""
    factor = x[0, :, :, 0].numel() if tape.makes("pool-sum", "avgpool") else 1
    wrong = not_divided if tape.makes("pool-gradient", "grad/norm") else None
    if tape.makes("pool-first", "avgpool"):
        return tape.store("avgpool", x[:, 0, 0])
    mean = with_backward(lambda x: tape.order.shuffled(x.flatten(1, 2), 1).mean(1), wrong)
    return tape.store("avgpool", tape.compute(lambda x: mean(x) * factor, x))


def loss(tape: Tape, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits (B, classes) and labels (B)."""
    order = tape.order

    def function(logits: Tensor) -> Tensor:
        each = order.shuffled(logits, 1).logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]
        return order.shuffled(each, 0).mean() * (len(labels) if tape.makes("loss-sum", "loss") else 1)

    return tape.store("loss", tape.compute(function, logits))
