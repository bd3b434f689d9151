"""Mistakes of what the layer norms compute."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port
from benchmarks.blind.words import NO_BIAS


class _Norm(Port):
    born = "patch_embed.norm"

    def gain_and_bias(self, name: str) -> tuple[Tensor, Tensor]:
        return self.params[f"{name}.weight"], self.params[f"{name}.bias"]


class SmallEps(_Norm):
    """ε is 1e-6, as in ViT."""

    cause = r"eps|1e-0?6|ε"
    eps = 1e-6


class LargeEps(_Norm):
    """ε is 1e-3, Keras' default."""

    cause = r"eps|1e-0?3|0\.001|ε"
    eps = 1e-3


class NoEps(_Norm):
    """There is no ε."""

    cause = r"eps|ε"
    eps = 0.0


class EpsOutside(_Norm):
    """ε is added to the deviation."""

    cause = r"eps|ε"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        deviation = x.std(-1, unbiased=False, keepdim=True)
        return (x - x.mean(-1, keepdim=True)) / (deviation + self.eps) * weight + bias


class UnbiasedVariance(_Norm):
    """The variance is divided by C - 1."""

    cause = r"unbias|[NCn] ?[-−] ?1|Bessel"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + self.eps).sqrt() * weight + bias


class AnnotatedTransformerNorm(_Norm):
    """x.std(), which divides by C - 1, plus ε, as in the Annotated Transformer."""

    cause = r"unbias|[NCn] ?[-−] ?1|Bessel|eps.*outside|outside"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5) * weight + bias


class RootMeanSquareNorm(_Norm):
    """RMSNorm: the mean is not subtracted."""

    cause = r"RMS|root mean|mean.*not subtracted|without.*mean|mean.*(missing|left out)"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * weight + bias


class NoSquareRoot(_Norm):
    """Divided by the variance."""

    cause = r"varianc|square root|sqrt"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + self.eps) * weight + bias


class MeanAbsoluteDeviation(_Norm):
    """Divided by the mean absolute deviation."""

    cause = r"absolute|mean magnitude|L1|\|x"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        x = x - x.mean(-1, keepdim=True)
        return x / (x.abs().mean(-1, keepdim=True) + self.eps) * weight + bias


class GainMissing(_Norm):
    """The gain is not applied."""

    cause = r"(gain|weight|γ|gamma).*(missing|not|left out|without|1)|(no|without|missing).*(gain|weight)"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return F.layer_norm(x, x.shape[-1:], torch.ones_like(weight), bias, self.eps)


class NormBiasMissing(_Norm):
    """The bias is not applied."""

    cause = NO_BIAS

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gain_and_bias(name)[0], None, self.eps)


class GainPlusOne(_Norm):
    """The gain is 1 + weight, as in Gemma."""

    cause = r"1 ?\+|\+ ?1|plus (one|1)|one more|norm\.weight: 1 is added"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return F.layer_norm(x, x.shape[-1:], 1 + weight, bias, self.eps)


class GainAndBiasExchanged(_Norm):
    """Gain and bias are exchanged."""

    cause = (
        r"(gain|weight|bias|γ|β).*(exchang|swap|each other|interchang)"
        r"|norm\.weight: it is \S+\.bias; \S+\.bias: it is \S+\.weight$"
    )

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return F.layer_norm(x, x.shape[-1:], bias, weight, self.eps)


class BiasBeforeGain(_Norm):
    """(x̂ + β) γ."""

    cause = r"bias.*(before|multipl|gain)|(x̂|xhat).*\+"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return (F.layer_norm(x, x.shape[-1:], None, None, self.eps) + bias) * weight


class BatchNorm(_Norm):
    """Statistics over batch and positions, for each channel."""

    cause = r"batch|(over|axis|axes).*(position|token|B, H)|each channel|per channel"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        return F.batch_norm(x.flatten(0, -2), None, None, weight, bias, True, eps=self.eps).view(x.shape)


class NormOfRow(_Norm):
    """Statistics over the wrong axis: the map's width."""

    cause = r"ax[ie]s|over"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        normal = (x - x.mean(2, keepdim=True)) / (x.var(2, unbiased=False, keepdim=True) + self.eps).sqrt()
        return normal * weight + bias


class VarianceClamped(_Norm):
    """The variance has a lower limit, against division by zero."""

    cause = r"eps|ε|clamp|limit|at least|min|max"

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.gain_and_bias(name)
        variance = x.var(-1, unbiased=False, keepdim=True).clamp(min=1.0)
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance) * weight + bias
