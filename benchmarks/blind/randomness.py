"""Randomness that was left on."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, Port

RANDOM = r"drop|random|noise"


class _Random(Port):
    cause = RANDOM

    def dropped(self, x: Tensor, rate: float, shape: tuple[int, ...] | None = None) -> Tensor:
        keep = torch.rand(x.shape if shape is None else shape, generator=self.random) >= rate
        return x * keep / (1 - rate)


class AttentionDropoutOn(_Random):
    """Dropout of probabilities."""

    born = f"{FIRST}.attn.probabilities"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return self.dropped(super().softmax(scores, at), 0.2)


class MlpDropoutOn(_Random):
    """Dropout of the hidden activations."""

    born = f"{FIRST}.mlp.act"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return self.dropped(super().gelu(x, at), 0.1)


class ProjDropoutOn(_Random):
    """Dropout of attention's output."""

    born = f"{FIRST}.attn.proj"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return self.dropped(y, 0.1) if name.endswith("attn.proj") else y


class HeadDropoutOn(_Random):
    """Dropout of the features, between pooling and head."""

    born = "head"

    def head(self, x: Tensor) -> Tensor:
        return super().head(self.dropped(x, 0.3))


class DropPathOn(_Random):
    """Drop path: branches of single images are left out."""

    born = f"{SHIFTED}.residual"
    cause = r"drop|random|branch|image"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        if FIRST in name:
            return x + branch
        keep = torch.tensor([1.0, 0.0] if name.endswith("residual") else [0.0, 1.0]).view(-1, 1, 1, 1)
        return x + branch * keep / 0.5


class NoiseOnImages(_Random):
    """Noise is added to the images."""

    born = "input"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels + 5 * torch.randn(pixels.shape, generator=self.random))


class RandomErasing(_Random):
    """A random rectangle of each image is erased."""

    born = "input"
    cause = r"eras|cutout|zero|rectangle|random|noise|constant|% of the numbers are 0$"

    def preprocess(self, pixels: Tensor) -> Tensor:
        x = super().preprocess(pixels)
        x[0, :, 2:7, 1:5] = 0
        x[1, :, 4:9, 3:8] = 0
        return x


class PaddingNotCleared(_Random):
    """The padding is memory that was never written."""

    born = f"{FIRST}.attn.padded"
    cause = r"pad|random|garbage|uninitiali|not zero|never written|noise"

    def pad(self, x: Tensor, m: int) -> Tensor:
        garbage = torch.randn(super().pad(x, m).shape, generator=self.random)
        garbage[:, : x.shape[1], : x.shape[2]] = 0
        return super().pad(x, m) + garbage


class MixupOfImages(_Random):
    """Mixup: every image has a part of the other one."""

    born = "input"
    cause = r"mix|other image|batch|image"

    def preprocess(self, pixels: Tensor) -> Tensor:
        x = super().preprocess(pixels)
        return 0.8 * x + 0.2 * x.flip(0)
