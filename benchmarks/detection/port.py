"""Swin Transformer in PyTorch: every tensor and every gradient by name, and mistakes at given places."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from benchmarks.detection.attention import attention
from benchmarks.detection.backward import averaged_again, identity, with_backward
from benchmarks.detection.images import PREPARATIONS
from benchmarks.detection.layout import Block, Layout, layout
from benchmarks.detection.mistakes import MISTAKES, Planted
from benchmarks.detection.order import Order
from benchmarks.detection.parts import add, linear, loss, merge, mlp, norm, pool
from benchmarks.detection.patches import patch_embed
from benchmarks.detection.places import check, compatible, draw, places
from benchmarks.detection.tape import Tape

__all__ = ["MISTAKES", "Planted", "compatible", "draw", "places", "run_port"]


def run_port(
    config: Mapping[str, Any],
    params: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    labels: np.ndarray | Sequence[int],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    dtype: str = "float64",
    mistakes: Iterable[Planted] = (),
    order_seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Forward and backward pass.

    Args:
        config: arguments of the official model: embed_dim, depths and so on.
        params: by official name.
        pixels: (B, c, H, W) from 0 to 255; the normalized input itself where mean is None.
        labels: (B) of integers.
        mean, std: of each channel.
        dtype: "float64", "float32" or "bfloat16", the last computed in float32 and rounded when it is stored.
        mistakes: that the port makes.
        order_seed: of the order of sums; None for the usual order. With a seed, products in bfloat16 are computed in
            parts that are rounded before they are added, since the order alone changes nothing after the rounding.

    Returns:
        Every tensor from "input" to "loss" by name; the derivative of the loss by each, and by each parameter, under
        "grad/" + name, zero where a tensor is unused because of a mistake.

    Raises:
        ValueError: a mistake that cannot be made there, or not together with another.
    """
    image_size = pixels.shape[2:]
    mistakes = list(mistakes)
    check(mistakes, config, image_size, len(pixels))
    kind = getattr(torch, dtype)
    leaves = {name: torch.tensor(np.asarray(value)).to(kind).requires_grad_() for name, value in params.items()}
    tape = Tape(leaves, kind, mistakes, Order(order_seed, kind))
    images = _normalize(tape, torch.tensor(pixels).to(tape.wide), mean, std)
    plan = layout(config, image_size, len(pixels))
    _tail(tape, plan, _trunk(tape, plan, images), torch.as_tensor(np.asarray(labels, np.int64))).backward()
    results = {name: _array(value) for name, value in tape.tensors.items()}
    for name, value in [*tape.tensors.items(), *leaves.items()]:
        if value.requires_grad:
            results[f"grad/{name}"] = _array(torch.zeros_like(value) if value.grad is None else value.grad)
    return results


def _normalize(tape: Tape, images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    if tape.makes("image-layout", "input"):
        images = images.reshape(-1, *images.shape[2:], images.shape[1]).permute(0, 3, 1, 2)
    if tape.makes("image-upside-down", "input"):
        images = images.flip(2)
    if tape.makes("normalization", "input"):
        mean = std = [0.5] * images.shape[1]
    preparation = tape.first(PREPARATIONS, "input")
    if mean is not None and std is not None:
        mean, std = (torch.tensor(list(each), dtype=tape.wide)[:, None, None] for each in (mean, std))
        if preparation:
            images = PREPARATIONS[preparation](images, mean, std)
            return tape.store("input", images.to(tape.dtype).requires_grad_())
        images = (images / 255 - mean) / std
    if tape.makes("bgr", "input"):
        images = images.flip(1)
    return tape.store("input", images.to(tape.dtype).requires_grad_())


def _trunk(tape: Tape, plan: Layout, images: Tensor) -> Tensor:
    """(B, c, height, width) -> the last block's map (B, H, W, C)."""
    x = patch_embed(tape, plan, images)
    for step in plan.steps:
        step = replace(step, height=x.shape[1], width=x.shape[2])
        x = _block(tape, step, x) if isinstance(step, Block) else merge(tape, step, x)
    return x


def _block(tape: Tape, block: Block, x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, H, W, C), equation 3."""
    name = block.name
    normed = norm(tape, f"{name}.norm1", x, block.reads)
    start, x = x, add(tape, f"{name}.residual", x, normed, attention(tape, block, normed), block.reads)
    normed = norm(tape, f"{name}.norm2", x, f"{name}.residual")
    shortcut = start if tape.makes("blocks-input", name) else x
    return add(tape, name, shortcut, normed, mlp(tape, name, normed), f"{name}.residual")


def _tail(tape: Tape, plan: Layout, x: Tensor, labels: Tensor) -> Tensor:
    """The last map (B, H, W, C) -> the loss."""
    if tape.makes("pool-before-norm", "norm"):
        x = norm(tape, "norm", pool(tape, x), plan.last)
    else:
        x = pool(tape, norm(tape, "norm", x, plan.last))
    logits = linear(tape, "head", x, "avgpool")
    wrong = averaged_again if tape.makes("averaged-twice", "grad/head") else None
    return loss(tape, with_backward(identity, wrong)(logits), labels)


def _array(x: Tensor) -> np.ndarray:
    x = x.detach().contiguous()
    return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if x.dtype == torch.bfloat16 else x.numpy()
