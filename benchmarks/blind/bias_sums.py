"""Mistakes of how the relative position bias is added."""

import numpy as np
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import NO_BIAS


class _AddBias(Port):
    born = f"{FIRST}.attn.biased_scores"


class BiasMissing(_AddBias):
    """The bias is not added."""

    cause = NO_BIAS

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores


class BiasMultiplied(_AddBias):
    """Scores are multiplied by the bias."""

    cause = r"multipl|product|×"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores * bias


class BiasDoubled(_AddBias):
    """The bias is added twice: as the bias and in the mask."""

    cause = r"twice|doubl|two|2|factor"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores + 2 * bias


class BiasScaled(_AddBias):
    """The bias is scaled by d^-0.5 with the scores."""

    cause = r"scal|factor|multipl|√d|d\^"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores + bias * (3 if at.startswith("layers.0") else 4) ** -0.5


class BiasSubtracted(_AddBias):
    """The bias is subtracted, as the slope of ALiBi."""

    cause = r"subtract|sign|negat|minus|-1"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores - bias


class BiasOfFirstHead(_AddBias):
    """All heads have the first head's bias."""

    cause = r"head"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores + bias[:1]


class BiasOnlyUnshifted(_AddBias):
    """Shifted blocks have the mask in place of the bias."""

    born = f"{SHIFTED}.attn.biased_scores"
    cause = NO_BIAS

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores if at == SHIFTED else super().add_bias(scores, bias, at)


class BiasAfterSoftmax(Port):
    """The bias of one block is added to the probabilities."""

    born = f"{SINGLE}.attn.probabilities"
    cause = r"after|softmax|probabilit"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        self.late = bias
        return scores if at == SINGLE else super().add_bias(scores, bias, at)

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return super().softmax(scores, at) + (self.late if at == SINGLE else 0)

    def dump(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array for name, array in arrays.items() if not name.endswith(f"{SINGLE}.attn.biased_scores")}
