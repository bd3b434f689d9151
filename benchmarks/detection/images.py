"""How people prepare images before the first layer."""

from collections.abc import Callable

import torch
from torch import Tensor

CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
Prepare = Callable[[Tensor, Tensor, Tensor], Tensor]  # images from 0 to 255, mean and deviation (c, 1, 1) -> the input


def _clip(images: Tensor, _: Tensor, __: Tensor) -> Tensor:
    mean, std = (torch.tensor(each, dtype=images.dtype)[:, None, None] for each in CLIP)
    return (images / 255 - mean) / std


def _gray(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype)[:, None, None]
    return ((images * weights).sum(1, keepdim=True).expand_as(images) / 255 - mean) / std


def _own(images: Tensor, _: Tensor, __: Tensor) -> Tensor:
    return (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), correction=0, keepdim=True)


PREPARATIONS: dict[str, Prepare] = {
    "image-caffe": lambda images, mean, _: images.flip(1) - 255 * mean.flip(0),
    "image-unit-bgr": lambda images, _, __: images.flip(1) / 255,
    "image-minus-one-to-one": lambda images, _, __: images / 127.5 - 1,
    "image-half-bgr": lambda images, _, __: (images.flip(1) / 255 - 0.5) / 0.5,
    "image-clip": _clip,
    "image-no-deviation": lambda images, mean, _: images / 255 - mean,
    "image-not-scaled": lambda images, _, __: images,
    "image-gray": _gray,
    "image-own-statistics": _own,
    "image-mirrored": lambda images, mean, std: ((images / 255 - mean) / std).flip(3),
}
