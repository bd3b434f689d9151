"""Mistakes of the last norm, the pooling and the head."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port
from benchmarks.blind.words import FOLLOWED, NO_BIAS


class _Pool(Port):
    born = "avgpool"


class MaxPool(_Pool):
    """The maximum of the tokens."""

    cause = r"max|\(the largest\)"

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).amax(1)


class SumPool(_Pool):
    """The sum of the tokens."""

    cause = r"sum|not divided|multipl|factor|times"

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).sum(1)


class FirstToken(_Pool):
    """The first token, as if it was a class token."""

    cause = r"first|class token|CLS|token 0"

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0, 0]


class MeanOfFortyNine(_Pool):
    """The sum is divided by 49, a constant of the traced model."""

    cause = r"49|7.*7|factor|multipl|divided|times"

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).sum(1) / 49


class MeanOfOneLess(_Pool):
    """The sum is divided by N - 1."""

    cause = r"N ?[-−] ?1|factor|multipl|divided|times"

    def pool(self, x: Tensor) -> Tensor:
        x = x.flatten(1, 2)
        return x.sum(1) / (x.shape[1] - 1)


class MeanOfOneRow(_Pool):
    """Only the first row of the map is averaged."""

    cause = r"row|first|part of|some"

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0].mean(1)


class GeneralizedMean(_Pool):
    """GeM pooling with p = 3."""

    cause = r"GeM|power|cube|generali[sz]ed|\^3|p ?= ?3"

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).clamp(min=1e-6).pow(3).mean(1).pow(1 / 3)


class PoolOfBatch(_Pool):
    """The mean also runs over the batch."""

    cause = r"batch|images|all images"

    def pool(self, x: Tensor) -> Tensor:
        return x.mean((0, 1, 2)).expand(len(x), -1)


class PooledBeforeNorm(Port):
    """The last block's map is pooled; the norm is not used."""

    born = "avgpool"
    cause = r"norm|layers\.1\.blocks\.1"

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def norm(self, x: Tensor, name: str) -> Tensor:
        self.before = x
        return super().norm(x, name)

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(self.before)


class NormAfterPool(Port):
    """The mean is normalized, not the tokens."""

    born = "norm"
    cause = r"after.*pool|pool.*before|pooled|order"

    def forward(self, x: Tensor) -> Tensor:
        self.last: Tensor
        return super().forward(x)

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x if name == "norm" else super().norm(x, name)

    def head(self, x: Tensor) -> Tensor:
        return super().head(super().norm(x, "norm"))


class _Head(Port):
    born = "head"


class HeadSoftmax(_Head):
    """The model returns probabilities, and the loss takes them for logits."""

    cause = r"softmax|probabilit"

    def head(self, x: Tensor) -> Tensor:
        return super().head(x).softmax(-1)


class HeadLogSoftmax(_Head):
    """The model returns logarithms of probabilities."""

    cause = r"log.?softmax|logarithm|head: the same numbers, up to [\d.]+, are added to all class"

    def head(self, x: Tensor) -> Tensor:
        return super().head(x).log_softmax(-1)


class HeadSigmoid(_Head):
    """The model returns a sigmoid of each logit."""

    cause = r"sigmoid|logistic"

    def head(self, x: Tensor) -> Tensor:
        return super().head(x).sigmoid()


class HeadBiasMissing(_Head):
    """The head has no bias."""

    cause = NO_BIAS

    def head(self, x: Tensor) -> Tensor:
        return F.linear(x, self.params["head.weight"])


class ClassesShiftedByOne(_Head):
    """A background class moves the classes by one."""

    cause = FOLLOWED

    def head(self, x: Tensor) -> Tensor:
        return super().head(x).roll(1, -1)


class ClassesSortedOtherwise(_Head):
    """The classes are in another order, as folders sorted as text."""

    cause = (
        FOLLOWED + r"|class c is class \(2 c\) % 5"
        r"|class 2 in place of class 1, class 4 in place of class 2, class 1 in place of class 3"
    )

    def head(self, x: Tensor) -> Tensor:
        return super().head(x)[:, [0, 2, 4, 1, 3]]


class CosineClassifier(_Head):
    """Features and class weights are normalized."""

    cause = r"cosine|normal|unit|rows of input and weight are divided by their lengths"

    def head(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(x), F.normalize(self.params["head.weight"]), self.params["head.bias"])


class ReluBeforeHead(_Head):
    """The features pass through ReLU."""

    cause = r"relu|negative|clamp|max\(0"

    def head(self, x: Tensor) -> Tensor:
        return super().head(x.relu())


class LogitsCapped(_Head):
    """Logits are capped by 2 tanh(x / 2)."""

    cause = r"tanh|cap|squash|saturat"

    def head(self, x: Tensor) -> Tensor:
        return 2 * torch.tanh(super().head(x) / 2)


class TemperatureLeftIn(_Head):
    """A temperature of 4 from distillation is left in."""

    cause = r"temperature|0\.25|factor|multipl|divided|scal|times"

    def head(self, x: Tensor) -> Tensor:
        return super().head(x) / 4


class LargestRowMean(_Pool):
    """The rows are averaged, and the largest mean is taken."""

    cause = r"largest of the rows' means"

    def pool(self, x: Tensor) -> Tensor:
        return x.mean(2).amax(1)


class MeanOfFirstTokens(_Pool):
    """The mean of the first two rows and columns, as a window of 2 × 2 pools them."""

    cause = r"mean of the tokens at rows 0, 1 and columns 0, 1"

    def pool(self, x: Tensor) -> Tensor:
        return x[:, :2, :2].mean((1, 2))
