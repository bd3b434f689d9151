"""Mistakes of attention: projections, values and the joining of heads."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import NO_BIAS, SAME_MEMORY, SKIPPED


class QkvBiasMissing(Port):
    """qkv has no bias."""

    born = f"{FIRST}.attn.qkv"
    cause = NO_BIAS

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.params[f"{name}.weight"]) if name.endswith("qkv") else super().linear(x, name)


class KeyBiasMissing(Port):
    """The keys have no bias, as in Swin V2 and BEiT."""

    born = f"{FIRST}.attn.qkv"
    cause = r"bias.*k|k.*bias"

    def linear(self, x: Tensor, name: str) -> Tensor:
        if not name.endswith("qkv"):
            return super().linear(x, name)
        q, _, v = self.params[f"{name}.bias"].chunk(3)
        return F.linear(x, self.params[f"{name}.weight"], torch.cat([q, torch.zeros_like(q), v]))


class ProjBiasMissing(Port):
    """The output projection has no bias."""

    born = f"{FIRST}.attn.proj"
    cause = NO_BIAS

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.params[f"{name}.weight"]) if name.endswith("attn.proj") else super().linear(x, name)


class ProjMissing(Port):
    """One block has no output projection."""

    born = f"{SINGLE}.attn.proj"
    cause = SKIPPED + r"|attn\.proj: it is \S+\.attn\.merged_heads$"

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x if name == f"{SINGLE}.attn.proj" else super().linear(x, name)


class ProjTransposed(Port):
    """x W for x W^T: possible, since the matrix is square."""

    born = f"{FIRST}.attn.proj"
    cause = r"transpos"

    def linear(self, x: Tensor, name: str) -> Tensor:
        if not name.endswith("attn.proj"):
            return super().linear(x, name)
        return x @ self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class QkvReadAsInByOut(Port):
    """The qkv matrix (3C, C) is read as (C, 3C)."""

    born = f"{FIRST}.attn.qkv"
    cause = r"\(in, out\)|transpos|reshape|read as|column|view"

    def linear(self, x: Tensor, name: str) -> Tensor:
        if not name.endswith("qkv"):
            return super().linear(x, name)
        weight = self.params[f"{name}.weight"]
        return x @ weight.reshape(weight.shape[::-1]) + self.params[f"{name}.bias"]


class BiasScaledToo(Port):
    """The bias of qkv is multiplied by the scale: it was folded into weight and bias, and is applied again."""

    born = f"{FIRST}.attn.qkv"
    cause = r"scal|factor|multipl|times|twice"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        if not name.endswith("qkv"):
            return y
        q, k, v = y.chunk(3, -1)
        return torch.cat([q * (q.shape[-1] // self.heads(name)) ** -0.5, k, v], -1)


class ValuesTransposed(Port):
    """P^T v."""

    born = f"{FIRST}.attn.context"
    cause = r"transpos"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return probabilities.transpose(-2, -1) @ v


class ValuesOfNextHead(Port):
    """Each head has the next one's values."""

    born = f"{SINGLE}.attn.v"
    cause = r"head"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().split_heads(qkv, at)
        return q, k, v.roll(1, 1) if at == SINGLE else v


class FirstHeadForAll(Port):
    """All heads have the first one's probabilities."""

    born = f"{SINGLE}.attn.context"
    cause = r"head"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return super().mix(probabilities[:, :1] if at == SINGLE else probabilities, v, at)


class ProbabilitiesAveraged(Port):
    """All heads have the mean probabilities."""

    born = f"{SHIFTED}.attn.context"
    cause = r"mean|averag"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return super().mix(probabilities.mean(1, keepdim=True) if at == SHIFTED else probabilities, v, at)


class ValuesSkipped(Port):
    """The values are added to the context."""

    born = f"{LAST}.attn.context"
    cause = r"added|plus|\+|residual|skip"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return super().mix(probabilities, v, at) + (v if at == LAST else 0)


class LastKeyNotRead(Port):
    """The loop over keys ends one too early."""

    born = f"{FIRST}.attn.context"
    cause = r"last|one (too )?(few|early)|(key|token).*(missing|left out|not)"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return probabilities[..., :-1] @ v[..., :-1, :]


class HeadsMergedByReshape(Port):
    """(heads, N, d) is reshaped to (N, C), not transposed."""

    born = f"{FIRST}.attn.merged_heads"
    cause = SAME_MEMORY

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        windows, heads, tokens, d = context.shape
        return context.reshape(windows, tokens, heads * d)


class ChannelsMergedBeforeHeads(Port):
    """Heads are merged as (d, heads)."""

    born = f"{FIRST}.attn.merged_heads"
    cause = r"\(d, h|d, heads|interleav|heads.*(inner|last|fast)|order|stride|d and heads|head and d"

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        return context.permute(0, 2, 3, 1).flatten(2)


class HeadsReversed(Port):
    """The heads are merged in reverse order."""

    born = f"{SINGLE}.attn.merged_heads"
    cause = r"revers|order|backward|permut"

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        return super().merge_heads(context.flip(1) if at == SINGLE else context, at)


class OneHeadLost(Port):
    """The last head is not computed: the buffer stays zero."""

    born = f"{SINGLE}.attn.context"
    cause = r"head|zero"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        context = super().mix(probabilities, v, at)
        return torch.cat([context[:, :-1], torch.zeros_like(context[:, -1:])], 1) if at == SINGLE else context


class FactorOfTwoHeads(Port):
    """The context of one block is divided by the number of heads."""

    born = f"{SINGLE}.attn.context"
    cause = r"factor|multipl|divided|scal|0\.333|number of heads|times"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return super().mix(probabilities, v, at) / (3 if at == SINGLE else 1)


class QkvReluSquashed(Port):
    """q and k pass through ELU + 1, as in linear attention."""

    born = f"{FIRST}.attn.q"
    cause = r"elu|linear attention|feature map|activation"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().split_heads(qkv, at)
        return F.elu(q) + 1, F.elu(k) + 1, v
