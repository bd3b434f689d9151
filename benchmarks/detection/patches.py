"""From the images to the first tokens."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.detection import sizes
from benchmarks.detection.layout import Layout
from benchmarks.detection.parts import norm
from benchmarks.detection.tape import Tape
from benchmarks.detection.windows import pad


def patch_embed(tape: Tape, plan: Layout, images: Tensor) -> Tensor:
    """(B, c, height, width) pixels -> (B, H, W, C)."""
    name, patch = "patch_embed.proj", plan.patch
    weight, bias = tape.params[f"{name}.weight"], tape.params[f"{name}.bias"]
    if tape.makes("patch-bias-missing", name):
        bias = torch.zeros_like(bias)
    if tape.makes("patch-kernel-flipped", name):
        weight = weight.flip(2, 3)
    if tape.makes("patch-channels-last", name):
        weight = weight.reshape(-1, patch, patch, plan.image_channels).permute(0, 3, 1, 2)
    if tape.makes("patch-rows-columns", name):
        weight = weight.transpose(2, 3)
    padded = _padded(tape, name, images.permute(0, 2, 3, 1), patch)
    patches = padded.unflatten(2, (-1, patch)).unflatten(1, (-1, patch))
    patches = patches.permute(0, 1, 3, 5, 2, 4).flatten(3)  # (B, H, W, c·p·p)

    def function(patches: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = tape.order.product(patches.flatten(0, 2), weight.flatten(1).T)
        return y.unflatten(0, patches.shape[:3]) + bias

    x = tape.store(name, tape.compute(function, patches, weight, bias))
    if plan.patch_norm:
        x = norm(tape, "patch_embed.norm", x, name)
    if plan.position_grid:
        x = tape.store("pos_drop", tape.compute(_add_positions(plan), x, tape.params["absolute_pos_embed"]))
    return x


def _padded(tape: Tape, name: str, images: Tensor, patch: int) -> Tensor:
    """Images (B, height, width, c) with whole patches."""
    if tape.makes("patch-crop", name):
        return sizes.cropped(images, patch)
    if tape.makes("patch-pad-more", name):
        return sizes.one_more(images, patch)
    rows, columns = (-length % patch for length in images.shape[1:3])
    if other := tape.first(sizes.PATCHES, name):
        return sizes.PATCHES[other](images, rows, columns)
    return pad(images, images.shape[1] + rows, images.shape[2] + columns)


def _add_positions(plan: Layout) -> Callable[[Tensor, Tensor], Tensor]:
    """x + table (1, H0·W0, C), resampled where the map is of another size."""

    def function(x: Tensor, table: Tensor) -> Tensor:
        table = table.unflatten(1, plan.position_grid)
        if x.shape[1:3] != plan.position_grid:
            table = F.interpolate(table.permute(0, 3, 1, 2), x.shape[1:3], mode="bicubic").permute(0, 2, 3, 1)
        return x + table

    return function
