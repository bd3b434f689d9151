"""Mistakes of attention's softmax."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, SINGLE, Port


class _Softmax(Port):
    born = f"{FIRST}.attn.probabilities"


class SoftmaxOfQueries(_Softmax):
    """The softmax runs over the queries."""

    cause = r"quer|axis|-2|column"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.softmax(-2)


class SoftmaxOfHeads(_Softmax):
    """The softmax runs over the heads, as an implicit axis of old versions did."""

    cause = r"head"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.softmax(1)


class SoftmaxOfBaseTwo(_Softmax):
    """exp2 is used for exp."""

    cause = r"base|2\^|exp2|power of 2|two|ln ?2|0\.693|factor|powers of 2\b"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return (scores * 0.6931471805599453).softmax(-1)


class SoftmaxPlusOne(_Softmax):
    """The denominator has one more: attention may go nowhere."""

    cause = r"\+ ?1|plus (one|1)|denominator|extra|sink|off.by.one|quiet|1 is added to the sum"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        exponential = scores.exp()
        return exponential / (1 + exponential.sum(-1, keepdim=True))


class SigmoidForSoftmax(_Softmax):
    """Each score has a sigmoid."""

    cause = r"sigmoid|logistic"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.sigmoid()


class ReluAttention(_Softmax):
    """ReLU, divided by the number of tokens."""

    cause = r"relu"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.relu() / scores.shape[-1]


class SoftmaxOfWindow(_Softmax):
    """The sum runs over all pairs of a window."""

    cause = r"both|all pairs|whole|axes|queries and keys"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.flatten(2).softmax(-1).view(scores.shape)


class SoftmaxTemperature(_Softmax):
    """The scores of one block are divided by a temperature of 2."""

    born = f"{SINGLE}.attn.probabilities"
    cause = r"temperature|factor|multipl|divided|scal|0\.5"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return super().softmax(scores / 2 if at == SINGLE else scores, at)


class SoftmaxNotDivided(_Softmax):
    """exp(x - max) is not divided by its sum."""

    cause = r"not divided|sum|not normal|denominator|exp"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return (scores - scores.amax(-1, keepdim=True)).exp()


class LogSoftmax(_Softmax):
    """The logarithm is taken."""

    cause = r"log"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.log_softmax(-1)


class TopKeysOnly(_Softmax):
    """Only the four largest probabilities of a query are kept."""

    cause = r"largest|top|sparse|small"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        least = scores.topk(4, -1).values[..., -1:]
        return scores.masked_fill(scores < least, -torch.inf).softmax(-1)
