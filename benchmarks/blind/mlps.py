"""Mistakes of the MLP and its activation."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import NO_BIAS

ANOTHER_FUNCTION = r"act: it is \S+\.fc1, but a function of each number: f\("


class _Activation(Port):
    born = f"{FIRST}.mlp.act"


class GeluTanh(_Activation):
    """The approximation with tanh."""

    cause = r"tanh"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.gelu(x, approximate="tanh")


class GeluTanhMistyped(_Activation):
    """The approximation with tanh, 0.44715 for 0.044715."""

    cause = r"0\.44715|tanh"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.44715 * x**3)))


class QuickGelu(_Activation):
    """x sigmoid(1.702 x), as in CLIP."""

    cause = r"1\.702|quick|sigmoid"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Relu(_Activation):
    """ReLU."""

    cause = r"\brelu\b|max\(0"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return x.relu()


class Silu(_Activation):
    """x sigmoid(x)."""

    cause = r"silu|swish|sigmoid"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.silu(x)


class HardSwish(_Activation):
    """The export has replaced GELU by hard swish."""

    cause = r"hard.?swish|hard|relu6"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.hardswish(x)


class Mish(_Activation):
    """Mish."""

    cause = r"mish"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.mish(x)


class LeakyRelu(_Activation):
    """Leaky ReLU."""

    cause = r"leaky"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.leaky_relu(x)


class ErfWithoutRoot(_Activation):
    """erf(x), without the √2."""

    cause = r"√2|root|sqrt|erf\(x\)"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return 0.5 * x * (1 + torch.erf(x))


class GeluWithoutHalf(_Activation):
    """x (1 + erf), without the half."""

    cause = r"half|0\.5|1/2|twice|factor|multipl|\b2\b"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return x * (1 + torch.erf(x / math.sqrt(2)))


class PhiWithoutX(_Activation):
    """Only the distribution function, not multiplied by x."""

    cause = r"Φ|divided by \S+\.mlp\.fc1$|without.*x\b|not multiplied|distribution|cdf|missing"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class GeluTwice(_Activation):
    """GELU is applied twice: fused into fc1, and after it."""

    cause = r"twice|two times|again|mlp\.act: GELU is applied$"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.gelu(F.gelu(x))


class GeluTable(_Activation):
    """GELU is read from a table of 256 values on [-4, 4], as ports to small machines do."""

    cause = r"table|look.?up|steps|quanti|rounded|piecewise|" + ANOTHER_FUNCTION

    def gelu(self, x: Tensor, at: str) -> Tensor:
        step = 8 / 256
        rounded = ((x.clamp(-4, 4 - step) / step).round() * step - x).detach() + x
        return F.gelu(rounded)


class GeluByPolynomial(_Activation):
    """erf by the first polynomial of Abramowitz and Stegun, which has an error of 5e-4."""

    cause = r"approxim|polynom|Abramowitz|erf|" + ANOTHER_FUNCTION

    def gelu(self, x: Tensor, at: str) -> Tensor:
        z = x.abs() / math.sqrt(2)
        series = 1 + 0.278393 * z + 0.230389 * z**2 + 0.000972 * z**3 + 0.078108 * z**4
        return 0.5 * x * (1 + x.sign() * (1 - 1 / series**4))


class GeluAfterSecondLayer(Port):
    """The activation is applied after fc2 too."""

    born = f"{FIRST}.mlp.fc2"
    cause = r"activation|gelu"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return F.gelu(y) if name.endswith("fc2") else y


class FirstBiasMissing(Port):
    """fc1 has no bias."""

    born = f"{FIRST}.mlp.fc1"
    cause = NO_BIAS

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.params[f"{name}.weight"]) if name.endswith("fc1") else super().linear(x, name)


class SecondBiasTwice(Port):
    """fc2's bias is added twice."""

    born = f"{FIRST}.mlp.fc2"
    cause = r"twice|doubl|two|bias is added that|fc2\.bias by 2\b|fc2\.bias is added to it"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return y + self.params[f"{name}.bias"] if name.endswith("fc2") else y


class MlpOfUnnormalized(Port):
    """The MLP reads the map before norm2."""

    born = f"{SHIFTED}.mlp.fc1"
    cause = r"norm|before|residual"

    def block(self, x: Tensor, at: str) -> Tensor:
        self.before: Tensor | None = None
        return super().block(x, at)

    def norm(self, x: Tensor, name: str) -> Tensor:
        self.before = x if name == f"{SHIFTED}.norm2" else None
        return super().norm(x, name)

    def mlp(self, x: Tensor, at: str) -> Tensor:
        return super().mlp(self.before if self.before is not None else x, at)


class GatedHalf(Port):
    """The second half of fc1 gates the first, and is then repeated to fit fc2."""

    born = f"{SINGLE}.mlp.act"
    cause = r"gat|half|GLU|GEGLU"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        if at != SINGLE:
            return super().gelu(x, at)
        first, second = x.chunk(2, -1)
        return torch.cat([F.gelu(first) * second] * 2, -1)


class HiddenClamped(Port):
    """The activation's output is clipped at 1, the range of a fixed-point format."""

    born = f"{FIRST}.mlp.act"
    cause = r"clamp|clip|limit|at most|saturat|numbers are 1: those above (0\.9|1)"

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return super().gelu(x, at).clamp(max=1.0)


class LastHiddenLost(Port):
    """The loop over hidden channels ends one too early in fc2."""

    born = f"{LAST}.mlp.fc2"
    cause = r"last|one (too )?(few|early)|channel"

    def linear(self, x: Tensor, name: str) -> Tensor:
        if name != f"{LAST}.mlp.fc2":
            return super().linear(x, name)
        return F.linear(x[..., :-1], self.params[f"{name}.weight"][:, :-1], self.params[f"{name}.bias"])


class MlpOfOtherBlock(Port):
    """The second block of a stage uses the first one's MLP."""

    born = f"{SHIFTED}.mlp.fc1"
    cause = r"another|other|blocks\.0|weights of|parameters of"

    def linear(self, x: Tensor, name: str) -> Tensor:
        return super().linear(x, name.replace(f"{SHIFTED}.mlp", f"{FIRST}.mlp"))
