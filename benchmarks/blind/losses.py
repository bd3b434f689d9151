"""Mistakes of the loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port


class _Loss(Port):
    born = "loss"


class SumLoss(_Loss):
    """The sum over images."""

    cause = r"sum|not divided|not averaged|factor|times|multipl"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="sum")


class LabelSmoothing(_Loss):
    """Labels are smoothed by 0.1."""

    cause = r"smooth"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.1)


class LabelsFromOne(_Loss):
    """Labels are counted from one."""

    cause = r"from (one|1)|off by one|label.*(one|1|shift|next)|next class"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, (labels + 1) % logits.shape[1])


class SoftmaxBeforeLoss(_Loss):
    """A softmax is applied before cross_entropy, which has one."""

    cause = r"softmax"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.softmax(-1), labels)


class LogSoftmaxMissing(_Loss):
    """nll_loss is given logits."""

    cause = r"softmax.*(missing|left out|not)|(no|without|missing).*softmax|nll|logit"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(logits, labels)


class BinaryCrossEntropy(_Loss):
    """Binary cross-entropy of each class."""

    cause = r"binary|BCE|sigmoid"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, logits.shape[1]).float())


class SquaredError(_Loss):
    """Squared error of probabilities."""

    cause = r"squared|MSE|Brier"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(logits.softmax(-1), F.one_hot(labels, logits.shape[1]).float())


class FocalLoss(_Loss):
    """Focal loss, γ = 2."""

    cause = r"focal|\(1 ?[-−] ?p\)"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logp = -F.cross_entropy(logits, labels, reduction="none")
        return -((1 - logp.exp()) ** 2 * logp).mean()


class LogarithmOfBaseTwo(_Loss):
    """The logarithm is to the base 2."""

    cause = r"base|log2|1\.44|ln ?2|0\.69|factor|times|multipl"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels) / 0.6931471805599453


class LossOfClasses(_Loss):
    """The mean runs over the classes too: one-hot labels times log-probabilities, .mean()."""

    cause = r"class|mean over|factor|times|multipl|divided"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -(F.one_hot(labels, logits.shape[1]) * logits.log_softmax(-1)).mean()


class LossSign(_Loss):
    """The sign is missing."""

    cause = r"sign|negat|minus|-1"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -super().loss(logits, labels)


class SoftmaxOverBatch(_Loss):
    """The softmax of the loss runs over the batch."""

    cause = r"batch|axis|images"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(logits.log_softmax(0), labels)


class AccumulationSteps(_Loss):
    """The loss is divided by 4 accumulation steps."""

    cause = r"accumulat|0\.25|factor|times|multipl|divided"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels) / 4


class LabelsOfOtherImage(_Loss):
    """The labels are in another order than the images."""

    cause = r"label|image|order"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels.flip(0))


class PenaltyAdded(_Loss):
    """An L2 penalty of the weights is part of the loss."""

    cause = r"L2|penalt|decay|regulari[sz]|added|constant"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels) + 0.05 / 2 * sum(p.square().sum() for p in self.params.values())


class FirstImageOnly(_Loss):
    """The loss of the first image."""

    cause = r"first image|image 0|only|one image"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits[:1], labels[:1])


class MixupLeftOn(_Loss):
    """The labels are mixed, 0.7 to 0.3, though the images are not."""

    cause = r"mixup|mixed|0\.[37]"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return 0.7 * super().loss(logits, labels) + 0.3 * super().loss(logits, labels.flip(0))


class IgnoredClass(_Loss):
    """The first image's class is ignored, as if it was the background; the mean is over the rest."""

    cause = r"ignor|only|image|class"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, ignore_index=int(labels[0]))


class ClassWeights(_Loss):
    """Classes are weighted by their number."""

    cause = r"weight"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, weight=torch.linspace(0.5, 1.5, logits.shape[1]))


class EpsInLogarithm(_Loss):
    """log(p + 1e-3), against the logarithm of zero."""

    cause = r"eps|1e-0?3|0\.001|log\("

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss((logits.softmax(-1) + 1e-3).log(), labels)


class EntropyPenalty(_Loss):
    """0.1 times the entropy of the probabilities is subtracted."""

    cause = r"0\.1 .*entropy of the prob"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()
        return super().loss(logits, labels) - 0.1 * entropy


class LogitPenalty(_Loss):
    """0.01 times the logits' squares are added."""

    cause = r"0\.01 .*logits²"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels) + 0.01 * logits.square().sum(-1).mean()


class LogitsNormalized(_Loss):
    """The logits are divided by their norm before the loss."""

    cause = r"divided by their norm|normaliz"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(F.normalize(logits, dim=-1), labels)


class TemperatureOfDistillation(_Loss):
    """The temperature 3, and the loss times its square."""

    cause = r"τ = 3\b.*(9|τ²)"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return 9 * super().loss(logits / 3, labels)


class PerplexityForLoss(_Loss):
    """The exponential of the loss."""

    cause = r"exponential|perplexity|exp\("

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels).exp()


class ConstantAdded(_Loss):
    """A detached term of 0.5 is added to the loss."""

    cause = r"0\.5 is added"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().loss(logits, labels) + 0.5
