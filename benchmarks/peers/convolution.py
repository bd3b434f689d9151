"""One 3×3 convolution, in npswin and in PyTorch: forward, or forward and backward."""

from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.types import Array


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm; and what it puts out, to be compared with the others."""
    batch, channels, side = job["convolution"]
    rng = np.random.default_rng(1)
    x, dy = (rng.standard_normal((batch, side, side, channels), np.float32) for _ in range(2))
    weight = rng.standard_normal((channels, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
    bias = rng.standard_normal(channels, np.float32)
    make = _in_npswin if job["competitor"] == "npswin" else _in_pytorch
    call = make(job, x, weight, bias, dy)
    names = ("y", "dx", "dweight", "dbias") if job["training"] else ("y",)
    proof = dict(zip(names, call(), strict=True))
    flops = (3 if job["training"] else 1) * 2 * 9 * x.size * channels
    return {"call": call, "proof": proof, "notes": {"flops": flops}}


def _in_npswin(job: dict[str, Any], x: Array, weight: Array, bias: Array, dy: Array) -> Callable[[], Any]:
    from npswin.backends import dispatch

    def both() -> tuple[Array, ...]:
        y, cache = dispatch.conv2d_forward(x, weight, bias, 1, 1)
        return y, *dispatch.conv2d_backward(dy, cache)

    return both if job["training"] else lambda: (dispatch.conv2d(x, weight, bias, 1, 1),)


def _in_pytorch(job: dict[str, Any], x: Array, weight: Array, bias: Array, dy: Array) -> Callable[[], Any]:
    """With channels last, as npswin has them, or first, PyTorch's default: `job` says which."""
    import torch

    torch.set_num_threads(job["threads"])
    layout = torch.channels_last if job["channels_last"] else torch.contiguous_format
    maps, dmaps = (torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout) for array in (x, dy))
    parameters = [torch.from_numpy(weight).contiguous(memory_format=layout), torch.from_numpy(bias)]
    inputs = [maps, *parameters]

    def infer() -> tuple[Array]:
        with torch.inference_mode():
            y = torch.nn.functional.conv2d(*inputs, padding=1)
        return (y.permute(0, 2, 3, 1).numpy(),)

    def both() -> tuple[Array, ...]:
        y = torch.nn.functional.conv2d(*inputs, padding=1)
        dx, dweight, dbias = torch.autograd.grad(y, inputs, dmaps)
        return tuple(one.numpy() for one in (y.detach().permute(0, 2, 3, 1), dx.permute(0, 2, 3, 1), dweight, dbias))

    if not job["training"]:
        return infer
    for one in inputs:
        one.requires_grad_()
    return both
