"""Operations that are computed in low precision."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port

BFLOAT16 = r"bfloat16|bf16"
HALF = r"half|float16|fp16"


class NormInHalf(Port):
    """The norms are computed in half precision."""

    born, cause = "patch_embed.norm", HALF

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.params[f"{name}.weight"].half(), self.params[f"{name}.bias"].half()
        return F.layer_norm(x.half(), x.shape[-1:], weight, bias, self.eps).float()


class VarianceInOnePass(Port):
    """One norm computes E[x²] - E[x]² with squares in bfloat16."""

    born, cause = f"{SHIFTED}.norm1", BFLOAT16 + r"|varianc|one pass|E\[x|cancel"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{SHIFTED}.norm1":
            return super().norm(x, name)
        mean = x.mean(-1, keepdim=True)
        variance = (x * x).bfloat16().mean(-1, keepdim=True).float() - mean * mean
        return (x - mean) / (variance + self.eps).sqrt() * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class SoftmaxInHalf(Port):
    """The softmax is computed in half precision."""

    born, cause = f"{FIRST}.attn.probabilities", HALF

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.half().softmax(-1).float()


class SoftmaxInBrainFloat(Port):
    """The softmax of one block is computed in bfloat16."""

    born, cause = f"{LAST}.attn.probabilities", BFLOAT16

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.bfloat16().softmax(-1).float() if at == LAST else super().softmax(scores, at)


class LinearInBrainFloat(Port):
    """One layer multiplies in bfloat16."""

    born, cause = f"{SINGLE}.mlp.fc1", BFLOAT16

    def linear(self, x: Tensor, name: str) -> Tensor:
        if name != f"{SINGLE}.mlp.fc1":
            return super().linear(x, name)
        weight, bias = self.params[f"{name}.weight"].bfloat16(), self.params[f"{name}.bias"].bfloat16()
        return F.linear(x.bfloat16(), weight, bias).float()


class ScoresInHalf(Port):
    """Scores are computed in half precision."""

    born, cause = f"{FIRST}.attn.scores", HALF

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return (q.half() @ k.half().transpose(-2, -1)).float()


class ResidualInBrainFloat(Port):
    """The residual stream is kept in bfloat16."""

    born, cause = f"{FIRST}.residual", BFLOAT16

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return (x.bfloat16() + branch.bfloat16()).float()


class GeluInHalf(Port):
    """The activation is computed in half precision."""

    born, cause = f"{FIRST}.mlp.act", HALF

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.gelu(x.half()).float()


class HeadInHalf(Port):
    """The head is computed in half precision."""

    born, cause = "head", HALF

    def head(self, x: Tensor) -> Tensor:
        return F.linear(x.half(), self.params["head.weight"].half(), self.params["head.bias"].half()).float()


class BiasTableInHalf(Port):
    """The bias tables are stored in half precision."""

    born, cause = f"{FIRST}.attn.relative_position_bias", HALF

    def position_bias(self, at: str) -> Tensor:
        return super().position_bias(at).half().float()


class TensorFloatMatmul(Port):
    """All linear layers round their operands to ten bits, as tensor cores do."""

    born, cause = f"{FIRST}.attn.qkv", r"tf32|tensor.?float|10.bit|ten bits|19.bit"

    def linear(self, x: Tensor, name: str) -> Tensor:
        rounded = [self.rounded(value) for value in (x, self.params[f"{name}.weight"])]
        return F.linear(*rounded, self.params.get(f"{name}.bias"))

    def rounded(self, x: Tensor) -> Tensor:
        bits = x.detach().contiguous().view(torch.int32)
        return x + ((bits + 0x1000 & ~0x1FFF).view(torch.float32) - x).detach()


class FlushedToZero(Port):
    """Probabilities below 1e-3 are flushed to zero."""

    born, cause = f"{FIRST}.attn.probabilities", r"flush|small|zero|threshold|below"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        p = super().softmax(scores, at)
        return p * (p > 1e-3)


class FastInverseRoot(Port):
    """The norms use the fast inverse square root with one Newton step."""

    born, cause = "patch_embed.norm", r"inverse|root|rsqrt|Newton|approxim|fast"

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True) + self.eps
        guess = (0x5F3759DF - (variance.detach().view(torch.int32) >> 1)).view(torch.float32)
        root = guess * (1.5 - 0.5 * variance * guess * guess)
        return centred * root * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class FastExponential(Port):
    """The softmax uses Schraudolph's exponential, which writes the exponent's bits."""

    born, cause = f"{FIRST}.attn.probabilities", r"exponential|approxim|Schraudolph|fast|exp"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        x = (scores - scores.amax(-1, keepdim=True)).clamp(min=-80)
        bits = (x.detach() * 12102203.16 + 1064866805).to(torch.int32)
        exponential = bits.view(torch.float32) * (1 + x - x.detach())
        return exponential / exponential.sum(-1, keepdim=True)
