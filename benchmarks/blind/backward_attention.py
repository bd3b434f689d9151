"""Mistakes of derivatives written by hand: attention and position bias."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import LAST, Port
from benchmarks.blind.words import FACTOR, ZEROS


class _AttentionBackward(Port):
    """The derivatives of q k^T and P v."""

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        return handwritten(lambda q, k: q @ k.transpose(-2, -1), self.scores_backward, q, k)

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        return handwritten(torch.matmul, self.mix_backward, probabilities, v)

    def scores_backward(self, dy: Tensor, q: Tensor, k: Tensor) -> Any:
        return dy @ k, dy.transpose(-2, -1) @ q

    def mix_backward(self, dy: Tensor, probabilities: Tensor, v: Tensor) -> Any:
        return dy @ v.transpose(-2, -1), probabilities.transpose(-2, -1) @ dy


class QueryGradientNotScaled(Port):
    """The gradient of q is not multiplied by the scale."""

    born = f"grad/{LAST}.attn.q"
    cause = FACTOR

    def scale(self, q: Tensor, at: str) -> Tensor:
        return handwritten(lambda q: q * q.shape[-1] ** -0.5, lambda dy, q: dy, q)


class QueryGradientScaledTwice(Port):
    """The gradient of q is multiplied by the scale twice."""

    born = f"grad/{LAST}.attn.q"
    cause = FACTOR + "|twice"

    def scale(self, q: Tensor, at: str) -> Tensor:
        return handwritten(lambda q: q * q.shape[-1] ** -0.5, lambda dy, q: dy / q.shape[-1], q)


class KeyGradientOfUnscaled(_AttentionBackward):
    """The gradient of k is computed with q before the scale."""

    born = f"grad/{LAST}.attn.k"
    cause = FACTOR

    def scores_backward(self, dy: Tensor, q: Tensor, k: Tensor) -> Any:
        dq, dk = super().scores_backward(dy, q, k)
        return dq, dk * k.shape[-1] ** 0.5


class KeyGradientNotTransposed(_AttentionBackward):
    """dS is not transposed for the gradient of k."""

    born = f"grad/{LAST}.attn.k"
    cause = r"transpos"

    def scores_backward(self, dy: Tensor, q: Tensor, k: Tensor) -> Any:
        return dy @ k, dy @ q


class KeyAndQueryGradientsExchanged(_AttentionBackward):
    """dS q is the gradient of q, dS^T k that of k."""

    born = f"grad/{LAST}.attn.q_scaled"
    cause = r"exchang|swap|\bq\b|\bk\b|instead"

    def scores_backward(self, dy: Tensor, q: Tensor, k: Tensor) -> Any:
        return dy @ q, dy.transpose(-2, -1) @ k


class ValueGradientNotTransposed(_AttentionBackward):
    """P is not transposed for the gradient of v."""

    born = f"grad/{LAST}.attn.v"
    cause = r"transpos"

    def mix_backward(self, dy: Tensor, probabilities: Tensor, v: Tensor) -> Any:
        return super().mix_backward(dy, probabilities, v)[0], probabilities @ dy


class ValueGradientZero(_AttentionBackward):
    """The gradient of v is never written."""

    born = f"grad/{LAST}.attn.v"
    cause = ZEROS

    def mix_backward(self, dy: Tensor, probabilities: Tensor, v: Tensor) -> Any:
        return super().mix_backward(dy, probabilities, v)[0], torch.zeros_like(v)


class _TableBackward(Port):
    born = f"grad/{LAST}.attn.relative_position_bias_table"

    def position_bias(self, at: str) -> Tensor:
        index = self.position_index(self.window_and_shift(at)[0])

        def gather(table: Tensor) -> Tensor:
            return table[index].permute(2, 0, 1).contiguous()

        def scatter(dy: Tensor, table: Tensor) -> Tensor:
            return self.derivative(dy.permute(1, 2, 0), index, torch.zeros_like(table))

        return handwritten(gather, scatter, self.params[f"{at}.attn.relative_position_bias_table"])

    def derivative(self, dy: Tensor, index: Tensor, table: Tensor) -> Tensor:
        raise NotImplementedError


class TableGradientOverwritten(_TableBackward):
    """Pairs with the same offset overwrite each other: table[index] = dy."""

    cause = r"overwrit|last|accumulat|not (added|summed)|one pair|collision"

    def derivative(self, dy: Tensor, index: Tensor, table: Tensor) -> Tensor:
        for row, rows in zip(dy.tolist(), index.tolist(), strict=True):
            for value, position in zip(row, rows, strict=True):
                table[position] = torch.tensor(value)
        return table


class TableGradientAveraged(_TableBackward):
    """Pairs with the same offset are averaged."""

    cause = r"mean|averag|divided|count"

    def derivative(self, dy: Tensor, index: Tensor, table: Tensor) -> Tensor:
        count = torch.bincount(index.flatten(), minlength=len(table)).clamp(min=1)
        return table.index_add(0, index.flatten(), dy.flatten(0, 1)) / count[:, None]


class TableGradientTransposed(_TableBackward):
    """The table's gradient is collected with key and query exchanged."""

    cause = r"transpos|exchang|key|sign|revers|opposite"

    def derivative(self, dy: Tensor, index: Tensor, table: Tensor) -> Tensor:
        return table.index_add(0, index.T.flatten(), dy.flatten(0, 1))


class BiasGradientOfWindows(Port):
    """The gradient of the position bias is the mean over windows and images."""

    born = f"grad/{LAST}.attn.relative_position_bias"
    cause = r"mean|averag|divided|factor|times|multipl"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return handwritten(torch.add, lambda dy, *_: (dy, dy.mean(0)), scores, bias)


class BiasGradientOfFirstWindow(Port):
    """The gradient of the position bias is the first window's."""

    born = f"grad/{LAST}.attn.relative_position_bias"
    cause = r"first|one window|window 0|image|batch"

    def add_bias(self, scores: Tensor, bias: Tensor, at: str) -> Tensor:
        return handwritten(torch.add, lambda dy, *_: (dy, dy[0]), scores, bias)
