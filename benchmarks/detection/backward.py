"""Wrong derivatives: functions with a correct result and a wrong backward pass.

Each derivative is a function (dy, x) -> dx of one tensor x.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Derivative = Callable[[Tensor, Tensor], Tensor]


class _WithBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[[Tensor], Tensor], derivative: Derivative, x: Tensor) -> Tensor:
        ctx.derivative = derivative
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[None, None, Tensor]:
        (x,) = ctx.saved_tensors
        return None, None, ctx.derivative(dy, x)


def with_backward(function: Callable[[Tensor], Tensor], derivative: Derivative | None) -> Callable[[Tensor], Tensor]:
    """The same function with this derivative instead of its own; the function itself for None."""
    if derivative is None:
        return function
    return lambda x: _WithBackward.apply(function, derivative, x)


def identity(x: Tensor) -> Tensor:
    """x, for wrong derivatives between two operations."""
    return x.view_as(x)


def with_added_derivative(y: Tensor, other: Tensor) -> Tensor:
    """y, with the derivative of another tensor of the same shape added to its own."""
    return y + (other - other.detach())


def no_gradient(dy: Tensor, x: Tensor) -> Tensor:
    """shortcut-gradient."""
    return torch.zeros_like(x)


def averaged_again(dy: Tensor, x: Tensor) -> Tensor:
    """averaged-twice: (B, classes)."""
    return dy / len(dy)


def averaged(rows: int) -> Derivative:
    """bias-gradient-averaged."""
    return lambda dy, x: dy / rows


def transposed_memory(dy: Tensor, x: Tensor) -> Tensor:
    """weight-gradient-transposed: the gradient in memory as (in, out) is read as (out, in)."""
    return dy.T.contiguous().reshape(dy.shape)


def pass_gradient_on(dy: Tensor, x: Tensor) -> Tensor:
    """shift-not-undone and scale-gradient."""
    return dy.clone()


def first_tokens(dy: Tensor, x: Tensor) -> Tensor:
    """padding-gradient: (B, Hp, Wp, C) -> (B, H, W, C), the first H·W tokens in memory."""
    height, width = x.shape[1:3]
    return dy.flatten(1, 2)[:, : height * width].reshape(x.shape)


def not_divided(dy: Tensor, x: Tensor) -> Tensor:
    """pool-gradient: (B, C) -> (B, H, W, C)."""
    return dy[:, None, None].expand_as(x)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {  # bias-windows: (B, nW, h, N, N) -> (h, N, N)
    "the last window's": lambda dy: dy[-1, -1],
    "the last image's": lambda dy: dy[-1].sum(0),
    "the mean": lambda dy: dy.mean((0, 1)),
}


def reduced_over_windows(reduction: str) -> Derivative:
    """bias-windows."""
    return lambda dy, x: REDUCTIONS[reduction](dy)


def softmax_without_sum(dim: int) -> Derivative:
    """softmax-sum."""
    return lambda dy, x: x.softmax(dim) * dy


def gelu_without_density(gate: Callable[[Tensor], Tensor]) -> Derivative:
    """gelu-density, of x gate(x)."""
    return lambda dy, x: dy * gate(x)


def gather_overwritten(positions: Tensor) -> Derivative:
    """bias-overwritten: only the last gradient written to an entry of the table counts.

    Args:
        positions: (h, N, N), of the table's entries in its memory.
    """

    def derivative(dy: Tensor, table: Tensor) -> Tensor:
        dtable = np.zeros(table.numel(), dy.numpy().dtype)
        dtable[positions.reshape(-1).numpy()] = dy.reshape(-1).numpy()  # where an index repeats, NumPy keeps the last
        return torch.from_numpy(dtable).reshape(table.shape)

    return derivative


NORM_TERMS = {"norm-direct": 0, "norm-mean": 1, "norm-variance": 2}


def norm_without(term: int, dims: tuple[int, ...], correction: int, eps: float) -> Derivative:
    """Of (x - mean) / sqrt(variance + eps) over `dims`, with one of the three terms left out.

    Args:
        term: 0, 1 or 2, of rstd (dy - <dy> - xhat <dy xhat>).
        dims: over which mean and variance are taken.
        correction: the variance is the squares' sum divided by n - correction.
        eps: added to the variance.
    """

    def derivative(dy: Tensor, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dims, correction=correction, keepdim=True)
        rstd = (variance + eps).rsqrt()
        normalized = (x - mean) * rstd
        count = math.prod(x.shape[dim] for dim in dims)
        covariance = (dy * normalized).sum(dims, keepdim=True) / (count - correction)
        terms = [dy, -dy.mean(dims, keepdim=True).expand_as(dy), -normalized * covariance]
        del terms[term]
        return rstd * (terms[0] + terms[1])

    return derivative
