"""Mistakes of derivatives written by hand: softmax and GELU."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import LAST, Port


class _SoftmaxBackward(Port):
    born = f"grad/{LAST}.attn.biased_scores"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return handwritten(lambda x: x.softmax(-1), lambda dy, x: self.derivative(dy, x.softmax(-1)), scores)

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * (dy - (dy * p).sum(-1, keepdim=True))


class SoftmaxBackwardDiagonal(_SoftmaxBackward):
    """Only the diagonal of the Jacobian: p (1 - p) dy."""

    cause = r"diagonal|1 ?[-−] ?p|p ?\("

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * (1 - p) * dy


class SoftmaxBackwardWithoutSum(_SoftmaxBackward):
    """The sum is missing: p dy."""

    cause = r"sum|missing|term|p ?·? ?dy|exp"

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * dy


class SoftmaxBackwardOfQueries(_SoftmaxBackward):
    """The sum runs over the queries."""

    cause = r"quer|axis"

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * (dy - (dy * p).sum(-2, keepdim=True))


class SoftmaxBackwardNotMultiplied(_SoftmaxBackward):
    """The sum is of dy alone."""

    cause = r"sum|without p|not multiplied|mean|weighted|p \(dp - Σ dp\)"

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * (dy - dy.sum(-1, keepdim=True))


class _GeluBackward(Port):
    born = f"grad/{LAST}.mlp.fc1"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return handwritten(F.gelu, lambda dy, x: dy * self.derivative(x), x)

    def derivative(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def distribution(self, x: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    def density(self, x: Tensor) -> Tensor:
        return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


class GeluBackwardWithoutDensity(_GeluBackward):
    """x φ(x) is missing."""

    cause = r"φ|density|term|Φ"

    def derivative(self, x: Tensor) -> Tensor:
        return self.distribution(x)


class GeluBackwardDensityAlone(_GeluBackward):
    """Φ(x) is missing."""

    cause = r"Φ|term|distribution|φ"

    def derivative(self, x: Tensor) -> Tensor:
        return x * self.density(x)


class GeluBackwardWithoutRoot(_GeluBackward):
    """The density is not divided by √(2π)."""

    cause = r"2π|√|density|φ|norm"

    def derivative(self, x: Tensor) -> Tensor:
        return self.distribution(x) + x * torch.exp(-x * x / 2)


class GeluBackwardOfRelu(_GeluBackward):
    """The derivative of ReLU."""

    cause = r"relu"

    def derivative(self, x: Tensor) -> Tensor:
        return (x > 0).float()


class GeluBackwardOfTanh(_GeluBackward):
    """The derivative of the approximation with tanh; the forward pass is exact."""

    cause = r"tanh"

    def derivative(self, x: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        tanh = torch.tanh(inner)
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * slope


class GeluBackwardOfOutput(_GeluBackward):
    """The derivative at GELU's output, since its input was overwritten."""

    cause = r"output|overwrit|in place|result|\by\b"

    def derivative(self, x: Tensor) -> Tensor:
        y = F.gelu(x)
        return self.distribution(y) + y * self.density(y)


class SoftmaxBackwardOfScores(_SoftmaxBackward):
    """The scores are cached in place of the probabilities."""

    cause = r"scores dp|scores in place"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return handwritten(lambda x: x.softmax(-1), lambda dy, x: self.derivative(dy, x), scores)


class SoftmaxBackwardSumTwice(_SoftmaxBackward):
    """The sum is subtracted twice."""

    cause = r"Σ p dp.* multiplied by 2"

    def derivative(self, dy: Tensor, p: Tensor) -> Tensor:
        return p * (dy - 2 * (dy * p).sum(-1, keepdim=True))


class GeluBackwardExponent(_GeluBackward):
    """The exponent of the density is -x² in place of -x²/2."""

    cause = r"exp\(-x²\)"

    def derivative(self, x: Tensor) -> Tensor:
        return self.distribution(x) + x * torch.exp(-x * x) / math.sqrt(2 * math.pi)


class GeluBackwardErrorFunction(_GeluBackward):
    """The argument of erf is not divided by √2."""

    cause = r"erf\(x\)"

    def derivative(self, x: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(x)) + x * self.density(x)
