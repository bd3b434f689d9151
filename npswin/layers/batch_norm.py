"""The batch normalization layer for maps."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for
from npswin.types import Array

MOMENTUM = 0.1  # the weight of a new batch in the running statistics


class BatchNorm2d(Layer):
    """Each channel shifted and scaled to mean 0 and variance 1 over all pixels of a batch, then by a gain and bias.

    `forward` takes the mean and variance of its batch, and updates the running ones with them:

        running ← 0.9 running + 0.1 of the batch

    where the batch's variance is the unbiased one, Σ (x − mean)² / (n − 1) for n pixels, as in PyTorch. Inference takes
    the running ones. If `frozen`, `forward` does as well, and updates nothing; weight and bias are trained.

    Parameters: weight (C,), ones; bias (C,), zeros. Buffers: running_mean (C,), zeros; running_var (C,), ones;
    num_batches_tracked (), how often they were updated.

    Args:
        dim: C.
        dtype: of the parameters and the running statistics.
        frozen: whether the running statistics are used and kept in training, too.
    """

    names = ("weight", "bias")
    inference_flags = ("frozen",)

    def __init__(self, dim: int, dtype: Any = "float32", frozen: bool = False) -> None:
        super().__init__()
        self.dim, self.frozen = check_size("dim", dim), check_flag("frozen", frozen)
        self.add_parameter("weight", np.ones(self.dim), dtype)
        self.add_parameter("bias", np.zeros(self.dim), dtype)
        self.add_buffer("running_mean", np.zeros(self.dim), dtype)
        self.add_buffer("running_var", np.ones(self.dim), dtype)
        self.add_buffer("num_batches_tracked", np.zeros(()), "int64")

    def extra_repr(self) -> str:
        return f"frozen={self.frozen}"

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        return dispatch.batch_norm(x, *self.select(self.names), *self._running_statistics(), constant=True)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, C), cache.

        Raises:
            ValueError: x does not fit, or has a single pixel, which has no unbiased variance.
        """
        check_input(self, x, self.dim, rank=4, rng=rng)
        mean, variance = self._running_statistics() if self.frozen else self._update(x)
        parameters = self.select(self.names)
        y, cache = dispatch.batch_norm_forward(x, *parameters, mean, variance, constant=self.frozen)
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, C) -> dx (B, H, W, C)."""
        dx, *gradients = dispatch.batch_norm_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx

    def _running_statistics(self) -> tuple[Array, Array]:
        return self.own_buffers["running_mean"], self.own_buffers["running_var"]

    def _update(self, x: Array) -> tuple[Array, Array]:
        """The batch's mean and variance, which the running ones have been updated with."""
        count, mean, variance = dispatch.batch_norm_moments(x)
        if count < 2:
            raise ValueError(f"BatchNorm2d: x: got shape {x.shape}, a single pixel, expected two or more in training")
        running_mean, running_var = self._running_statistics()
        for running, new in ((running_mean, mean), (running_var, variance * (count / (count - 1)))):
            running *= 1 - MOMENTUM
            running += MOMENTUM * new
        self.own_buffers["num_batches_tracked"] += 1
        return mean, variance
