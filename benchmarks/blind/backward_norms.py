"""Mistakes of derivatives written by hand: norms."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import LAST, Port


class _NormBackward(Port):
    """The derivative of the layer norm; a mistake overrides a part."""

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return handwritten(
            lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias, self.eps),
            self.derivative,
            x,
            weight,
            bias,
        )

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        deviation = (x.var(-1, unbiased=False, keepdim=True) + self.eps).sqrt()
        normal = (x - x.mean(-1, keepdim=True)) / deviation
        axes = tuple(range(x.ndim - 1))
        return self.dx(dy * weight, normal, deviation), (dy * normal).sum(axes), dy.sum(axes)

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        mean = dnormal.mean(-1, keepdim=True) + normal * (dnormal * normal).mean(-1, keepdim=True)
        return (dnormal - mean) / deviation


class NormBackwardWithoutMean(_NormBackward):
    """The derivative through the mean is missing."""

    born = f"grad/{LAST}"
    cause = r"mean"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        return (dnormal - normal * (dnormal * normal).mean(-1, keepdim=True)) / deviation


class NormBackwardWithoutVariance(_NormBackward):
    """The derivative through the variance is missing."""

    born = f"grad/{LAST}"
    cause = r"varianc|deviation|std|second term|x̂|xhat"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        return (dnormal - dnormal.mean(-1, keepdim=True)) / deviation


class NormBackwardOfConstants(_NormBackward):
    """Mean and variance are taken to be constants."""

    born = f"grad/{LAST}"
    cause = r"constant|mean and|both|through"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        return dnormal / deviation


class NormBackwardNotDivided(_NormBackward):
    """The result is not divided by the deviation."""

    born = f"grad/{LAST}"
    cause = r"not divided|deviation|σ|std|1/"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        return super().dx(dnormal, normal, deviation) * deviation


class NormBackwardWithoutGain(_NormBackward):
    """dy is not multiplied by the gain."""

    born = f"grad/{LAST}"
    cause = r"gain|weight|γ|gamma"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        _, dweight, dbias = super().derivative(dy, x, weight, bias)
        return super().derivative(dy / 1, x, torch.ones_like(weight), bias)[0], dweight, dbias


class GainGradientOfInput(_NormBackward):
    """The gain's gradient has x in place of x̂."""

    born = "grad/norm.weight"
    cause = r"x̂|xhat|normalized|unnormalized|\bx\b|input"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, _, dbias = super().derivative(dy, x, weight, bias)
        return dx, (dy * x).flatten(0, -2).sum(0), dbias


class GainGradientOfOutput(_NormBackward):
    """The gain's gradient has y in place of x̂."""

    born = "grad/norm.weight"
    cause = r"output|\by\b|x̂|γ"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        return dx, dweight * weight + dbias * bias, dbias


class NormParametersAveraged(_NormBackward):
    """The gradients of gain and bias are means over tokens."""

    born = "grad/norm.weight"
    cause = r"mean|averag|divided|factor|times|multipl"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        tokens = dy.numel() // dy.shape[-1]
        return dx, dweight / tokens, dbias / tokens


class NormParametersOfLastImage(_NormBackward):
    """The gradients of gain and bias are overwritten by each image."""

    born = "grad/norm.weight"
    cause = r"last image|overwrit|image|batch"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx = super().derivative(dy, x, weight, bias)[0]
        return dx, *super().derivative(dy[-1:], x[-1:], weight, bias)[1:]


class NormBackwardMeanTwice(_NormBackward):
    """The derivative through the mean is subtracted twice."""

    born = f"grad/{LAST}"
    cause = r"⟨g⟩.* multiplied by 2"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        return super().dx(dnormal, normal, deviation) - dnormal.mean(-1, keepdim=True) / deviation


class NormBackwardSumForMean(_NormBackward):
    """The derivative through the variance has a sum over channels in place of the mean."""

    born = f"grad/{LAST}"
    cause = r"multiplied by C\b|\bsum\b"

    def dx(self, dnormal: Tensor, normal: Tensor, deviation: Tensor) -> Tensor:
        through_variance = normal * (dnormal * normal).sum(-1, keepdim=True)
        return (dnormal - dnormal.mean(-1, keepdim=True) - through_variance) / deviation


class NormBackwardGainLate(_NormBackward):
    """The gain multiplies the result in place of dy."""

    born = f"grad/{LAST}"
    cause = r"weight ⟨dy⟩|gain.*(late|last|after)"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        plain, dweight, dbias = super().derivative(dy, x, torch.ones_like(weight), bias)
        return plain * weight, dweight, dbias


class BiasGradientWithGain(_NormBackward):
    """The bias' gradient is that of dy times the gain."""

    born = "grad/norm.bias"
    cause = r"Σ g|gain|weight"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        return dx, dweight, dbias * weight
