"""Sizes and constants of an export that fit one image only."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port


class BatchOfOneAssumed(Port):
    """The windows are joined as those of one image; the second image is what is left in memory, a copy of the first."""

    born, cause = f"{FIRST}.attn.joined", r"first image|batch|image|copy"

    def reverse(self, x: Tensor, m: int, size: torch.Size) -> Tensor:
        joined = super().reverse(x, m, size)
        return torch.cat([joined[:1]] * len(joined))


class SecondImageZero(Port):
    """The export loops over one image: the head returns zeros for the others."""

    born, cause = "head", r"first image|batch|image|zero"

    def head(self, x: Tensor) -> Tensor:
        return torch.cat([super().head(x[:1]), torch.zeros(len(x) - 1, self.config["num_classes"])])


class SquareMapAssumed(Port):
    """The list of tokens is viewed as a map of the exchanged sides, since only squares were tried."""

    born, cause = f"{SHIFTED}.norm1", r"W, H|transpos|view|square|reshape|width|order|memory of \(B, column, row, C\)"

    def block(self, x: Tensor, at: str) -> Tensor:
        if at == SHIFTED:
            x = x.transpose(1, 2).reshape(x.shape)
        return super().block(x, at)


class BiasFoldedTooEarly(Port):
    """The position bias was folded into a constant before the weights were loaded: it is zero."""

    born, cause = f"{FIRST}.attn.relative_position_bias", r"is 0\b|zero|not loaded|missing|constant"

    def position_bias(self, at: str) -> Tensor:
        return torch.zeros_like(super().position_bias(at))


class ScaleFoldedAndApplied(Port):
    """The scale is folded into the query weight of one block, and applied too."""

    born, cause = f"{SINGLE}.attn.qkv", r"scal|factor|multipl|times|√d|d\^|twice"

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = {}
        for name in (f"{SINGLE}.attn.qkv.weight", f"{SINGLE}.attn.qkv.bias"):
            q, k, v = params[name].chunk(3)
            changed[name] = torch.cat([q * 0.5, k, v])
        return params | changed


class NormalizationInGraphToo(Port):
    """The exported graph has a normalization, and the caller normalizes as well."""

    born, cause = "input", r"twice|two times|again"

    def preprocess(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (super().preprocess(pixels) - mean) / std


class ConstantOfTracing(Port):
    """The first image's pooled features are a constant of the traced graph."""

    born, cause = "avgpool", r"first image|constant|same|batch|image"

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x)[:1].expand(len(x), -1)


class MaskOfOneWindowRow(Port):
    """The mask was folded for a map of one row of windows and is repeated for the others."""

    born, cause = f"{SHIFTED}.attn.mask", r"row|window|repeat|order|column"

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        return super().mask(height, width, m, shift)[-(width // m) :].repeat(height // m, 1, 1)


class LastColumnCutOff(Port):
    """A slice ends at -1 instead of the end: the last channel of the norm is zero."""

    born, cause = f"{LAST}.norm2", r"last|channel|zero"

    def norm(self, x: Tensor, name: str) -> Tensor:
        y = super().norm(x, name)
        return F.pad(y[..., :-1], (0, 1)) if name == f"{LAST}.norm2" else y


class ResizedMap(Port):
    """The export resizes the map by nearest neighbours to itself, half a token off."""

    born, cause = f"{SINGLE}.norm1", r"resiz|interpol|moved|shift|roll|off|wrap"

    def block(self, x: Tensor, at: str) -> Tensor:
        return super().block(x.roll(1, 2) if at == SINGLE else x, at)


class DropoutFoldedAsScale(Port):
    """A dropout of 0.1 was folded into a factor."""

    born, cause = f"{SHIFTED}.mlp.fc2", r"0\.9|1\.11|drop|factor|multipl|times|scal"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return y * 0.9 if name == f"{SHIFTED}.mlp.fc2" else y


class GeluOfConstantShape(Port):
    """A loop over tokens has the trip count of the traced image, one row less: the rest keeps its old values."""

    born, cause = f"{FIRST}.mlp.act", r"row|last|part|some|input|activation"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return torch.cat([super().gelu(x[:, :-1], at), x[:, -1:]], 1) if at == FIRST else super().gelu(x, at)
