"""Mistakes of attention: scale, scores and heads."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import SAME_MEMORY, SKIPPED


class _Scale(Port):
    born = f"{FIRST}.attn.q_scaled"


class ScaleMissing(_Scale):
    """q is not scaled."""

    cause = SKIPPED + "|not scaled"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q


class ScaleWithoutRoot(_Scale):
    """q is divided by d."""

    cause = r"1/d|by d\b|twice|root|factor|multipl|d\^-1|d instead"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q / q.shape[-1]


class ScaleOfAllHeads(_Scale):
    """q is divided by √C."""

    cause = r"√C|C\^|embed|all (the )?heads|number of channels|dim|width|factor"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q * (q.shape[-1] * q.shape[1]) ** -0.5


class ScaleInverted(_Scale):
    """q is multiplied by √d."""

    cause = r"√d|multipl|factor|sqrt|invers"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q * q.shape[-1] ** 0.5


class ScaleOfSixtyFour(_Scale):
    """The scale is a constant of another model, 64^-0.5."""

    cause = r"0\.125|64|factor|multipl|scale"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q * 64**-0.5


class ScaledTwice(Port):
    """q is scaled, and scaled_dot_product_attention scales again."""

    born = f"{FIRST}.attn.scores"
    cause = r"twice|again|scal|factor|multipl"

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return super().scores(q, k, at) * q.shape[-1] ** -0.5


class ScoresTransposed(Port):
    """k q^T: queries and keys are exchanged."""

    born = f"{FIRST}.attn.scores"
    cause = r"transpos|exchang|swap|queries and keys|k.*q"

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return k @ q.transpose(-2, -1)


class CosineAttention(Port):
    """Scores are cosines, as in Swin V2."""

    born = f"{FIRST}.attn.scores"
    cause = r"cosine|V2|normaliz|unit length"

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)


class DistanceScores(Port):
    """Scores are negative squared distances."""

    born = f"{SINGLE}.attn.scores"
    cause = r"distance|\|q ?[-−] ?k"

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return super().scores(q, k, at) if at != SINGLE else -torch.cdist(q, k).square()


class ScoresClamped(Port):
    """Scores are clipped to ±1."""

    born = f"{FIRST}.attn.scores"
    cause = r"clamp|clip|limit"

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return super().scores(q, k, at).clamp(-1, 1)


class _Split(Port):
    born = f"{FIRST}.attn.q"


class HeadsBeforeQkv(_Split):
    """qkv is read as (heads, 3, d)."""

    cause = r"head.*(3|q.?k.?v|first|outer|before)|interleav|order"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        heads = self.heads(at)
        q, k, v = qkv.unflatten(-1, (heads, 3, -1)).permute(3, 0, 2, 1, 4)
        return q, k, v


class ChannelsBeforeHeads(_Split):
    """A part's channels are read as (d, heads)."""

    cause = r"\(d, h|d, heads|interleav|heads.*(inner|last|fast)|order|stride"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = qkv.unflatten(-1, (3, -1, self.heads(at))).permute(2, 0, 4, 1, 3)
        return q, k, v


class QueriesAndKeysExchanged(_Split):
    """The parts are k, q, v."""

    cause = r"q.*k.*(exchang|swap|order)|k.*q.*v|order|(exchang|swap).*q|as (the )?(q|quer)|under"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().split_heads(qkv, at)
        return k, q, v


class KeysAndValuesExchanged(Port):
    """The parts are q, v, k."""

    born = f"{FIRST}.attn.k"
    cause = r"k.*v.*(exchang|swap|order)|q.*v.*k|order|(exchang|swap)"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().split_heads(qkv, at)
        return q, v, k


class KeysAreQueries(Port):
    """k is q."""

    born = f"{SHIFTED}.attn.k"
    cause = r"q\b.*(for|instead|is|as|equal|copied|part)|same|copy|quer|attn\.k: it is \S+\.attn\.q$"

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().split_heads(qkv, at)
        return q, q if at == SHIFTED else k, v


class HeadsByReshape(_Split):
    """(N, heads, d) is reshaped to (heads, N, d), not transposed."""

    cause = SAME_MEMORY

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        windows, tokens, channels = qkv.shape
        heads = self.heads(at)
        q, k, v = (
            part.reshape(windows, heads, tokens, channels // 3 // heads) for part in qkv.split(channels // 3, -1)
        )
        return q, k, v
