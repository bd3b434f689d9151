"""Operations that are approximated: by few bits, few values, low rank, tables, or sums in half precision."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.weights import OneWeight, Params


class WeightOfPairs(OneWeight):
    """Of each four numbers of a row the two largest are kept (2:4 sparsity)."""

    born, name, cause = f"{SINGLE}.mlp.fc1", f"{SINGLE}.mlp.fc1.weight", r"2:4"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        groups = param.unflatten(-1, (-1, 4))
        kept = torch.zeros_like(groups).scatter(-1, groups.abs().topk(2, -1).indices, 1.0)
        return (groups * kept).flatten(-2)


class WeightOfSixteenValues(OneWeight):
    """A weight is shared: sixteen quantiles in place of all numbers."""

    born, name, cause = f"{FIRST}.attn.qkv", f"{FIRST}.attn.qkv.weight", r"16 different numbers"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        values = torch.quantile(param, (torch.arange(16) + 0.5) / 16)
        return values[(param[..., None] - values).abs().argmin(-1)]


class WeightOfSigns(OneWeight):
    """A weight is its signs times its mean size."""

    born, name, cause = f"{LAST}.mlp.fc1", f"{LAST}.mlp.fc1.weight", r"signs times their mean size"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.sign() * param.abs().mean()


class WeightOfScaledFloat8(OneWeight):
    """A weight is scaled to float8's range, row by row, and rounded."""

    born, name, cause = f"{SHIFTED}.mlp.fc1", f"{SHIFTED}.mlp.fc1.weight", r"float8 \(e4m3\).*(scaled|row)"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        scale = 448 / param.abs().amax(1, keepdim=True)
        return (param * scale).to(torch.float8_e4m3fn).float() / scale


class SumInHalf(Port):
    """One product adds its terms in half precision, eight at a time."""

    born, cause = f"{SINGLE}.mlp.fc2", r"float16.*after each 8 terms"

    def linear(self, x: Tensor, name: str) -> Tensor:
        if name != f"{SINGLE}.mlp.fc2":
            return super().linear(x, name)
        weight, total = self.params[f"{name}.weight"], torch.zeros(*x.shape[:-1], 1)
        for start in range(0, x.shape[-1], 8):
            part = slice(start, start + 8)
            total = (total + F.linear(x[..., part], weight[:, part])).half().float()
        return total + self.params[f"{name}.bias"]


class ActivationsClipped(Port):
    """A layer's input is quantized to int8 with a step that was calibrated too small."""

    born, cause = (
        f"{SHIFTED}.mlp.fc1",
        r"norm2: the numbers are rounded to a grid of step 0\.02\b|norm2: .*(limited|int8)",
    )

    def linear(self, x: Tensor, name: str) -> Tensor:
        if name == f"{SHIFTED}.mlp.fc1":
            x = x + ((x / 0.02).round().clamp(-127, 127) * 0.02 - x).detach()
        return super().linear(x, name)


class ReciprocalDeviationInHalf(Port):
    """One norm keeps the reciprocal of the deviation in half precision."""

    born, cause = f"{SHIFTED}.norm1", r"float16: 1 / the deviation"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{SHIFTED}.norm1":
            return super().norm(x, name)
        variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        factor = (variance + self.eps).rsqrt().half().float()
        return (x - mean) * factor * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class NormWithoutLastChannel(Port):
    """The loop over the channels that adds up one norm's mean ends one too early."""

    born, cause = f"{LAST}.norm2", r"the mean leaves out the last channel"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{LAST}.norm2":
            return super().norm(x, name)
        mean = x[..., :-1].mean(-1, keepdim=True)
        deviation = (x.var(-1, correction=0, keepdim=True) + self.eps).sqrt()
        return (x - mean) / deviation * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class GeluByTable(Port):
    """GELU is read from a table with steps of 1/8, the nearest entry."""

    born, cause = f"{LAST}.mlp.act", r"table with steps of 0\.125.*nearest"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        if at != LAST:
            return super().gelu(x, at)
        return F.gelu(x) + (F.gelu((x * 8).round() / 8) - F.gelu(x)).detach()


class GeluOfOtherSlope(Port):
    """x σ(1.6 x) for 1.702."""

    born, cause = f"{FIRST}.mlp.act", r"1\.6\d* x"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return x * (1.6 * x).sigmoid()


class ExponentialOfSeries(Port):
    """exp in one softmax is Taylor's series up to the fourth power."""

    born, cause = f"{FIRST}.attn.probabilities", r"Taylor's series up to degree 4"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        if at != FIRST:
            return super().softmax(scores, at)
        powers = 1 + scores + scores**2 / 2 + scores**3 / 6 + scores**4 / 24
        return powers / powers.sum(-1, keepdim=True)
