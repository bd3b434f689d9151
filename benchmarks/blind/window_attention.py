"""Attention in windows, step by step."""

from typing import Any

import torch
from torch import Tensor


class WindowAttention:
    """Multi-head attention in windows with a relative position bias. x is (B·nW, N, C)."""

    config: dict[str, Any]
    params: dict[str, Tensor]

    def record(self, name: str, tensor: Tensor) -> Tensor:
        raise NotImplementedError

    def linear(self, x: Tensor, name: str) -> Tensor:
        raise NotImplementedError

    def window_and_shift(self, at: str) -> tuple[int, int]:
        raise NotImplementedError

    def attention(self, x: Tensor, at: str, mask: Tensor | None) -> Tensor:
        record = self.record
        qkv = record(f"{at}.attn.qkv", self.linear(x, f"{at}.attn.qkv"))
        q, k, v = self.split_heads(qkv, at)
        q, k = record(f"{at}.attn.q", q), record(f"{at}.attn.k", k)
        q = record(f"{at}.attn.q_scaled", self.scale(q, at))
        scores = record(f"{at}.attn.scores", self.scores(q, k, at))
        bias = record(f"{at}.attn.relative_position_bias", self.position_bias(at))
        scores = record(f"{at}.attn.biased_scores", self.add_bias(scores, bias, at))
        if mask is not None:
            scores = record(f"{at}.attn.masked_scores", self.add_mask(scores, mask))
        probabilities = record(f"{at}.attn.probabilities", self.softmax(scores, at))
        v = record(f"{at}.attn.v", v)
        context = record(f"{at}.attn.context", self.mix(probabilities, v, at))
        merged = record(f"{at}.attn.merged_heads", self.merge_heads(context, at))
        return self.linear(merged, f"{at}.attn.proj")

    def heads(self, at: str) -> int:
        return int(self.config["num_heads"][int(at.split(".")[1])])

    def split_heads(self, qkv: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        """(B·nW, N, 3C) to three of (B·nW, heads, N, d)."""
        windows, tokens, channels = qkv.shape
        heads = self.heads(at)
        q, k, v = qkv.reshape(windows, tokens, 3, heads, channels // 3 // heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def scale(self, q: Tensor, at: str) -> Tensor:
        return q * q.shape[-1] ** -0.5

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return q @ k.transpose(-2, -1)

    def position_index(self, m: int) -> Tensor:
        """(N, N), of a pair of tokens in the table."""
        coordinates = torch.stack(torch.meshgrid(torch.arange(m), torch.arange(m), indexing="ij")).flatten(1)
        relative = coordinates[:, :, None] - coordinates[:, None, :] + m - 1
        return relative[0] * (2 * m - 1) + relative[1]

    def position_bias(self, at: str) -> Tensor:
        """(heads, N, N)."""
        index = self.position_index(self.window_and_shift(at)[0])
        return self.params[f"{at}.attn.relative_position_bias_table"][index].permute(2, 0, 1).contiguous()

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return scores + bias

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        windows, heads, tokens, _ = scores.shape
        scores = scores.view(-1, len(mask), heads, tokens, tokens) + mask[None, :, None]
        return scores.view(windows, heads, tokens, tokens)

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return scores.softmax(-1)

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return probabilities @ v

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        return context.transpose(1, 2).flatten(2)
