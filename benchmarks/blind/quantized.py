"""Weights and activations that were quantized or rounded."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port

INT8 = r"int8|8.bit|quanti|127|rounded to a multiple|step"
BFLOAT16 = r"bfloat16|bf16"
HALF = r"half|float16|fp16"


def quantized(x: Tensor, largest: Tensor, levels: int = 127) -> Tensor:
    """Symmetric rounding to a step of largest / levels; the derivative is that of the identity."""
    step = largest / levels
    return x + ((x / step).round().clamp(-levels, levels) * step - x).detach()


def matrices(params: dict[str, Tensor]) -> list[str]:
    return [name for name, value in params.items() if value.ndim == 2 and "table" not in name]


class WeightsOfInt8(Port):
    """All matrices are quantized to int8 with one step for a matrix."""

    born, cause = f"{FIRST}.attn.qkv", INT8

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return params | {name: quantized(params[name], params[name].abs().max()) for name in matrices(params)}


class WeightsOfInt8Channels(Port):
    """All matrices are quantized to int8 with a step for each output."""

    born, cause = f"{FIRST}.attn.qkv", INT8

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return params | {
            name: quantized(params[name], params[name].abs().amax(1, keepdim=True)) for name in matrices(params)
        }


class OneWeightOfInt4(Port):
    """One matrix is quantized to four bits, in groups of four inputs."""

    born, cause = f"{SINGLE}.mlp.fc1", r"int4|4.bit|quanti"

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        name = f"{SINGLE}.mlp.fc1.weight"
        groups = params[name].unflatten(1, (-1, 4))
        return params | {name: quantized(groups, groups.abs().amax(2, keepdim=True), 7).flatten(1)}


class WeightsWithoutZeroPoint(Port):
    """A matrix is quantized to uint8, and its zero point is forgotten when it is read."""

    born = f"{SHIFTED}.mlp.fc2"
    cause = r"zero.?point|constant|added|offset|quanti|uint8|f\(-0\.695\) = -2\.06e-06, f\(-0\.141\) = 0\.5544"

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        name = f"{SHIFTED}.mlp.fc2.weight"
        weight = params[name]
        step = (weight.max() - weight.min()) / 255
        return params | {name: ((weight - weight.min()) / step).round() * step}


class WeightsOfBrainFloat(Port):
    """All parameters are rounded to bfloat16."""

    born, cause = "patch_embed.proj", BFLOAT16

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.bfloat16().float() for name, value in params.items()}


class WeightsOfHalf(Port):
    """All parameters are rounded to half precision."""

    born, cause = "patch_embed.proj", HALF

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.half().float() for name, value in params.items()}


class OneWeightOfBrainFloat(Port):
    """One matrix is rounded to bfloat16."""

    born, cause = f"{LAST}.mlp.fc2", BFLOAT16

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        name = f"{LAST}.mlp.fc2.weight"
        return params | {name: params[name].bfloat16().float()}


class WeightsOfFloat8(Port):
    """A matrix is rounded to float8, e4m3."""

    born, cause = f"{SINGLE}.attn.qkv", r"float8|fp8|e4m3|8.bit"

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        name = f"{SINGLE}.attn.qkv.weight"
        return params | {name: params[name].to(torch.float8_e4m3fn).float()}


class ActivationsOfInt8(Port):
    """The hidden activations of a block are quantized to int8 with one step."""

    born, cause = f"{SHIFTED}.mlp.act", INT8

    def gelu(self, x: Tensor, at: str) -> Tensor:
        y = super().gelu(x, at)
        return quantized(y, y.abs().max().detach()) if at == SHIFTED else y


class ProbabilitiesOfUint8(Port):
    """The probabilities are rounded to multiples of 1/255."""

    born, cause = f"{FIRST}.attn.probabilities", r"255|quanti|8.bit|uint8|rounded|step"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return quantized(super().softmax(scores, at), torch.tensor(1.0), 255)


class ProbabilitiesOfFloat8(Port):
    """The probabilities are rounded to float8."""

    born, cause = f"{SINGLE}.attn.probabilities", r"float8|fp8|e4m3|8.bit"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        p = super().softmax(scores, at)
        return p + (p.to(torch.float8_e4m3fn).float() - p).detach() if at == SINGLE else p
