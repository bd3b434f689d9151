"""Mistakes of derivatives written by hand: linear layers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import LAST, Port
from benchmarks.blind.words import ZEROS


class _LinearBackward(Port):
    """The derivative of linear layers; a mistake overrides a part."""

    only = ("head", "attn.proj", "fc1", "fc2", "qkv", "reduction")

    def linear(self, x: Tensor, name: str) -> Tensor:
        if not name.endswith(self.only):
            return super().linear(x, name)
        weight, bias = self.params[f"{name}.weight"], self.params.get(f"{name}.bias")
        if bias is None:
            bias = torch.zeros(len(weight))
        return handwritten(F.linear, self.derivative, x, weight, bias)

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return dy @ weight, dy.flatten(0, -2).T @ x.flatten(0, -2), dy.flatten(0, -2).sum(0)


class LinearBackwardTransposed(_LinearBackward):
    """dx = dy W^T where the matrix is square."""

    born = f"grad/{LAST}.attn.merged_heads"
    cause = r"transpos"
    only = ("attn.proj",)

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return dy @ weight.T, *super().derivative(dy, x, weight, bias)[1:]


class WeightGradientTransposed(_LinearBackward):
    """dW = x^T dy where the matrix is square."""

    born = f"grad/{LAST}.attn.proj.weight"
    cause = r"transpos|axes are in another order"
    only = ("attn.proj",)

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        return dx, dweight.T, dbias


class WeightGradientViewed(_LinearBackward):
    """x^T dy, (in, out), is stored in the buffer of an (out, in) matrix."""

    born = f"grad/{LAST}.mlp.fc2.weight"
    cause = r"transpos|reshape|\(in, out\)|column|view"
    only = ("fc1", "fc2")

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        return dx, dweight.T.reshape(dweight.shape), dbias


class BiasGradientAveraged(_LinearBackward):
    """The biases' gradients are means over tokens."""

    born = "grad/head.bias"
    cause = r"mean|averag|divided|factor|times|multipl"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return *super().derivative(dy, x, weight, bias)[:2], dy.flatten(0, -2).mean(0)


class BiasGradientMissing(_LinearBackward):
    """The biases' gradients stay zero."""

    born = "grad/head.bias"
    cause = ZEROS

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return *super().derivative(dy, x, weight, bias)[:2], torch.zeros_like(bias)


class BiasGradientOfOneImage(_LinearBackward):
    """The biases' gradients are summed over tokens, and kept of the first image only."""

    born = "grad/head.bias"
    cause = r"first image|image|batch"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return *super().derivative(dy, x, weight, bias)[:2], dy[: len(dy) // 2].flatten(0, -2).sum(0)


class WeightGradientOfLastImage(_LinearBackward):
    """The weights' gradients are overwritten by each image."""

    born = "grad/head.weight"
    cause = r"last image|overwrit|image|batch"

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        half = len(dy) // 2
        dx, _, dbias = super().derivative(dy, x, weight, bias)
        return dx, super().derivative(dy[half:], x[half:], weight, bias)[1], dbias


class WeightGradientOfOutput(_LinearBackward):
    """The weight's gradient of fc2 is computed with fc1's output before the activation."""

    born = f"grad/{LAST}.mlp.fc2.weight"
    cause = r"before|fc1|activation|another|input"
    only = ("fc1", "fc2")

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, dweight, dbias = super().derivative(dy, x, weight, bias)
        if weight.shape[0] < weight.shape[1]:
            dweight = dy.flatten(0, -2).T @ self.before.pop().flatten(0, -2)
        return dx, dweight, dbias

    def gelu(self, x: Tensor, at: str) -> Tensor:
        self.before = [*getattr(self, "before", []), x.detach()]
        return super().gelu(x, at)


class InputGradientMissing(_LinearBackward):
    """The qkv layer of the last block has no input gradient: the branch is not continued."""

    born = f"grad/{LAST}.attn.windows"
    cause = ZEROS

    def linear(self, x: Tensor, name: str) -> Tensor:
        return super().linear(x.detach() + 0 * x if name == f"{LAST}.attn.qkv" else x, name)


class WeightGradientCentred(_LinearBackward):
    """The weight's gradient of fc1 has its input less the mean over tokens."""

    born = f"grad/{LAST}.mlp.fc1.weight"
    cause = r"mean of x"
    only = ("fc1",)

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        dx, _, dbias = super().derivative(dy, x, weight, bias)
        centred = x.flatten(0, -2) - x.flatten(0, -2).mean(0)
        return dx, dy.flatten(0, -2).T @ centred, dbias


class InputGradientWithoutQueries(_LinearBackward):
    """The input's gradient of qkv lacks the part of the queries."""

    born = f"grad/{LAST}.attn.windows"
    cause = r"part of q"
    only = ("attn.qkv",)

    def derivative(self, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        third = len(weight) // 3
        return dy[..., third:] @ weight[third:], *super().derivative(dy, x, weight, bias)[1:]
