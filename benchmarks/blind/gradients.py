"""Mistakes of training loops, which change gradients that were right."""

import torch
from torch import Tensor

from benchmarks.blind.swin import Port


class _Everything(Port):
    """All gradients are wrong, those of the activations too."""

    born = "grad/loss"


class _Parameters(Port):
    """The parameters' gradients are wrong."""

    born = "grad/head.weight"

    def after_backward(self) -> None:
        for name, param in self.params.items():
            assert param.grad is not None
            param.grad = self.changed(name, param.detach(), param.grad)

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        raise NotImplementedError


class LossScaleLeftIn(_Everything):
    """The loss scale of mixed precision, 1024, is not divided out."""

    cause = r"scale|1024|factor|times|multipl"

    def backward(self, loss: Tensor) -> None:
        loss.backward(torch.tensor(1024.0))


class AccumulatedTwice(_Everything):
    """backward is called twice without zero_grad."""

    cause = r"twice|doubl|accumulat|two|factor|multipl"

    def backward(self, loss: Tensor) -> None:
        loss.backward(retain_graph=True)
        loss.backward()


class AveragedOverProcesses(_Everything):
    """The gradients are divided by 8 processes, though there is one."""

    cause = r"0\.125|8|divided|factor|times|multipl"

    def backward(self, loss: Tensor) -> None:
        loss.backward(torch.tensor(1 / 8))


class ClippedByNorm(_Parameters):
    """Clipped to norm 1."""

    cause = r"clip|norm|factor|multipl|times"

    def after_backward(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.params.values(), 1.0)


class ClippedByValue(_Parameters):
    """Clipped to ±0.05."""

    cause = r"clip|clamp|limit"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient.clamp(-0.05, 0.05)


class EachTensorClipped(_Parameters):
    """Each tensor is clipped to norm 0.1 by itself."""

    cause = r"clip|norm|factor|multipl|times"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient * (0.1 / gradient.norm()).clamp(max=1)


class WeightDecayAdded(_Parameters):
    """The optimizer adds 0.05 times the weights, biases and norms too."""

    cause = r"decay|L2|0\.05|weights? .*added|multiple of the (param|weight)"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient + 0.05 * param


class WeightDecayOfMatrices(_Parameters):
    """The optimizer adds 0.1 times the matrices."""

    cause = r"decay|L2|0\.1\b|weights? .*added|multiple of the (param|weight)"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient + 0.1 * param * (param.ndim > 1)


class LearningRateApplied(_Parameters):
    """The step is dumped: -1e-3 times the gradient."""

    cause = r"0\.001|1e-0?3|sign|factor|times|multipl|learning rate|step"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return -1e-3 * gradient


class LayerwiseRates(_Parameters):
    """The gradients are multiplied by 0.75 for each layer from the end."""

    born = "grad/layers.1.blocks.1.mlp.fc2.weight"
    cause = r"0\.75|factor|times|multipl|layer.?wise|decay"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        depths = {"patch_embed": 5, "layers.0.blocks.0": 4, "layers.0.blocks.1": 3, "layers.0.downsample": 3}
        depths |= {"layers.1.blocks.0": 2, "layers.1.blocks.1": 1}
        return gradient * 0.75 ** next((depth for prefix, depth in depths.items() if name.startswith(prefix)), 0)


class GradientCentralized(_Parameters):
    """The mean over inputs is subtracted from each matrix' gradient."""

    cause = r"mean|centr"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        axes = tuple(range(1, gradient.ndim))
        return gradient - gradient.mean(axes, keepdim=True) if axes else gradient


class SignOfGradient(_Parameters):
    """Only the sign is kept, as in signSGD."""

    cause = r"sign"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient.sign()


class AdamStep(_Parameters):
    """The gradients are divided by the root of their square's running mean: Adam's first step."""

    cause = r"adam|sign|running|root"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient / (gradient.abs() + 1e-3)


class MomentumDampened(_Parameters):
    """The momentum buffer is dumped: 0.1 times the gradient."""

    cause = r"0\.1\b|factor|times|multipl|momentum"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return 0.1 * gradient


class GradientsOfHalf(_Parameters):
    """The gradients are stored in half precision, small ones as zeros."""

    cause = r"half|float16|fp16|16.bit|rounded"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient.half().float()


class GradientsOfBrainFloat(_Parameters):
    """The gradients are averaged in bfloat16."""

    cause = r"bfloat16|bf16|16.bit|rounded"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient.bfloat16().float()


class HeadRateTenfold(_Parameters):
    """The head's gradients are multiplied by 10, as its learning rate should be."""

    cause = r"10|factor|times|multipl"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient * 10 if name.startswith("head") else gradient


class NormsNotTrained(_Parameters):
    """Norms and biases have gradients of zero: their group was filtered out."""

    born = "grad/head.bias"
    cause = r"zero|never|missing|frozen"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient if param.ndim > 1 else torch.zeros_like(gradient)


class OneParameterTwice(_Parameters):
    """A parameter is registered in two groups, and its gradient is added twice."""

    born = "grad/layers.1.blocks.0.mlp.fc1.weight"
    cause = r"twice|two|doubl|2|factor"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient * 2 if name == "layers.1.blocks.0.mlp.fc1.weight" else gradient


class SmallGradientsDropped(_Parameters):
    """Only the largest tenth of a tensor's gradient is sent."""

    cause = r"small|spars|largest|zero|threshold|90% of the numbers are 0: those between"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        least = gradient.abs().quantile(0.9)
        return gradient * (gradient.abs() >= least)


class GradientNormalized(_Parameters):
    """Each gradient is divided by its norm."""

    cause = r"norm|unit|factor|multipl|times"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient / gradient.norm()


class BiasesWithoutScale(_Everything):
    """The loss scale is divided out of matrices, not of other tensors."""

    cause = r"scale|128|factor|times|multipl"

    def backward(self, loss: Tensor) -> None:
        loss.backward(torch.tensor(128.0))

    def after_backward(self) -> None:
        for tensor in [*self.with_gradient.values(), *self.params.values()]:
            if tensor.grad is not None and tensor.ndim == 2:
                tensor.grad = tensor.grad / 128


class LayerwiseNorms(_Parameters):
    """LARS: each gradient is multiplied by the ratio of the parameter's norm and its own."""

    cause = r"LARS|ratio of (the )?norms|‖θ‖"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient * param.norm() / gradient.norm()


class NormGradientsExchanged(_Parameters):
    """The gradients of norm1 and norm2 are stored under each other's names."""

    born = "grad/layers.1.blocks.1.norm2.weight"
    cause = r"other.* names|exchang|holds the numbers of"

    def after_backward(self) -> None:
        gradients = {name: param.grad for name, param in self.params.items()}
        for name, param in self.params.items():
            other = {"norm1": "norm2", "norm2": "norm1"}.get(name.split(".")[-2], "")
            param.grad = gradients[name.replace(name.split(".")[-2], other)] if other else gradients[name]


class BufferOffByOne(_Parameters):
    """All gradients are in one flat buffer, which is read one number too early."""

    cause = r"buffer|too (early|late)|offset by one"

    def after_backward(self) -> None:
        grads = [param.grad for param in self.params.values() if param.grad is not None]
        parts = torch.cat([grad.flatten() for grad in grads]).roll(1).split([grad.numel() for grad in grads])
        for param, part in zip(self.params.values(), parts, strict=True):
            param.grad = part.view(param.shape).clone()


class RowsNormalized(_Parameters):
    """Each row of a matrix' gradient is divided by its norm."""

    cause = r"row.*norm"

    def changed(self, name: str, param: Tensor, gradient: Tensor) -> Tensor:
        return gradient / gradient.norm(dim=-1, keepdim=True) if gradient.ndim > 1 else gradient
