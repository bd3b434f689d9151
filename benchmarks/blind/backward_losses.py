"""Mistakes of derivatives written by hand: the loss."""

import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import Port


class _LossBackward(Port):
    born = "grad/head"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        def derivative(dy: Tensor, logits: Tensor) -> Tensor:
            return dy * self.derivative(logits.softmax(-1), F.one_hot(labels, logits.shape[1]).float())

        return handwritten(lambda logits: F.cross_entropy(logits, labels), derivative, logits)

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


class LossBackwardNotDivided(_LossBackward):
    """p - y, not divided by the number of images."""

    cause = r"not divided|batch|sum|mean|B\b|factor|times"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return p - y


class LossBackwardSign(_LossBackward):
    """(y - p) / B."""

    cause = r"sign|negat|minus|-1"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return (y - p) / len(p)


class LossBackwardWithoutLabels(_LossBackward):
    """p / B: the label's 1 is not subtracted."""

    cause = r"label|one.hot|not subtracted|without.*y|- ?y|target"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return p / len(p)


class LossBackwardOfProbabilities(_LossBackward):
    """-y / p / B: the derivative by the probabilities, not the logits."""

    cause = r"probabilit|1/p|y ?/ ?p|softmax"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return -y / p / len(p)


class LossBackwardTrueClassOnly(_LossBackward):
    """Only the label's entry is written."""

    cause = r"label|only|true class|other classes|zero"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return (p - y) * y / len(p)


class LossBackwardDividedTwice(_LossBackward):
    """Divided by the number of images twice."""

    cause = r"twice|batch|factor|divided|multipl|times"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return (p - y) / len(p) ** 2


class LossBackwardOfLogarithms(_LossBackward):
    """(log p - y) / B: the cache holds the logarithms."""

    cause = r"log p"

    def derivative(self, p: Tensor, y: Tensor) -> Tensor:
        return (p.log() - y) / len(p)
