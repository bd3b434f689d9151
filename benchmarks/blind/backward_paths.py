"""Mistakes of derivatives written by hand: windows, shortcuts, merging, pooling; and detached paths."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.handwritten import handwritten
from benchmarks.blind.swin import FIRST, LAST, SHIFTED, Port


class RollBackwardSameWay(Port):
    """The derivative of the shift rolls the same way as the shift."""

    born = f"grad/{SHIFTED}.attn.joined"
    cause = r"roll|shift|direction|same way|sign|other way"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return handwritten(
            lambda x: torch.roll(x, (-shift, -shift), (1, 2)), lambda dy, x: torch.roll(dy, (-shift, -shift), (1, 2)), x
        )

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return handwritten(
            lambda x: torch.roll(x, (shift, shift), (1, 2)), lambda dy, x: torch.roll(dy, (shift, shift), (1, 2)), x
        )


class RollBackwardMissing(Port):
    """The derivative of the shift is the identity."""

    born = f"grad/{SHIFTED}.attn.padded"
    cause = r"roll|shift|identity|unchanged"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return handwritten(lambda x: torch.roll(x, (-shift, -shift), (1, 2)), lambda dy, x: dy, x)


class WindowsBackwardByView(Port):
    """The derivative of the windows' partition is a view."""

    born = f"grad/{SHIFTED}.attn.shifted"
    cause = (
        r"view|reshape|without.*(transpos|permut)|order|consecutive"
        r"|at the same places in memory|attn\.shifted: it is \S+\.attn\.windows$"
    )

    def partition(self, x: Tensor, m: int) -> Tensor:
        return handwritten(lambda x: Port.partition(self, x, m), lambda dy, x: dy.reshape(x.shape), x)


class PaddingGradientKept(Port):
    """The cropped rows and columns get the gradient of the last ones, as a pad by edges would."""

    born = f"grad/{SHIFTED}.attn.unshifted"
    cause = r"zero|pad|crop|repeat|edge|unshifted: column 4 in place of column 5$"

    def crop(self, x: Tensor, height: int, width: int) -> Tensor:
        def derivative(dy: Tensor, x: Tensor) -> Tensor:
            rows = torch.arange(x.shape[1]).clamp(max=height - 1)
            columns = torch.arange(x.shape[2]).clamp(max=width - 1)
            return dy[:, rows][:, :, columns]

        return handwritten(lambda x: x[:, :height, :width].contiguous(), derivative, x)


class ShortcutDetached(Port):
    """The shortcut around attention is detached."""

    born = f"grad/{LAST}.residual"
    cause = r"shortcut|skip|detach|residual|branch"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x.detach() + branch if name == LAST else x + branch


class BranchDetached(Port):
    """The attention branch of one block is detached; its gradients stay zero."""

    born = f"grad/{SHIFTED}.attn.cropped"
    cause = r"zero|detach|branch|stop|never"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + (branch.detach() + 0 * branch if name == f"{SHIFTED}.residual" else branch)


class ShortcutGradientTwice(Port):
    """The gradient of the shortcut is added twice."""

    born = f"grad/{LAST}.residual"
    cause = r"twice|doubl|two|2|factor"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return handwritten(torch.add, lambda dy, *_: (2 * dy, dy) if name == LAST else (dy, dy), x, branch)


class ShortcutGradientHalved(Port):
    """dy is divided between shortcut and branch."""

    born = f"grad/{LAST}.mlp.fc2"
    cause = r"half|halv|divided|0\.5|factor|multipl"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return handwritten(torch.add, lambda dy, *_: (dy / 2, dy / 2), x, branch)


class MergeBackwardByRows(Port):
    """The derivative of the concatenation returns the four parts row by row."""

    born = f"grad/{SHIFTED}"
    cause = r"order|row|exchang|swap|permut"

    def concat(self, x: Tensor) -> Tensor:
        def derivative(dy: Tensor, x: Tensor) -> Tensor:
            dx = torch.empty_like(x)
            dx[:, 0::2, 0::2], dx[:, 0::2, 1::2], dx[:, 1::2, 0::2], dx[:, 1::2, 1::2] = dy.chunk(4, -1)
            return dx

        return handwritten(lambda x: Port.concat(self, x), derivative, x)


class MergeBackwardIncomplete(Port):
    """The derivative of the concatenation forgets the fourth part."""

    born = f"grad/{SHIFTED}"
    cause = r"part|zero|missing|fourth|x3|last|never|blocks\.1: 20% of the numbers are 0$"

    def concat(self, x: Tensor) -> Tensor:
        def derivative(dy: Tensor, x: Tensor) -> Tensor:
            dx = torch.zeros_like(x)
            dx[:, 0::2, 0::2], dx[:, 1::2, 0::2], dx[:, 0::2, 1::2] = dy.chunk(4, -1)[:3]
            return dx

        return handwritten(lambda x: Port.concat(self, x), derivative, x)


class PoolBackwardNotDivided(Port):
    """The derivative of the mean is not divided by the number of tokens."""

    born = "grad/norm"
    cause = r"not divided|mean|sum|N\b|factor|times|multipl"

    def pool(self, x: Tensor) -> Tensor:
        return handwritten(lambda x: x.mean((1, 2)), lambda dy, x: dy[:, None, None].expand(x.shape), x)


class PatchesFrozen(Port):
    """The patch embedding is frozen, and its gradients are written as zeros."""

    born = "grad/patch_embed.proj.weight"
    cause = r"zero|frozen|never|missing"

    def after_backward(self) -> None:
        for name in ("patch_embed.proj.weight", "patch_embed.proj.bias"):
            self.params[name].grad = torch.zeros_like(self.params[name])


class FirstStageDetached(Port):
    """The second stage's input is detached: the first stage's gradients are zeros."""

    born = "grad/layers.0.downsample.norm"
    cause = r"zero|detach|stop|never|missing"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        x = super().downsample(x, at)
        return self.record(f"{at}.reduction", x.detach() + 0 * x)


class PatchGradientOfOneCorner(Port):
    """The kernel's gradient is computed without its last row: the loop ends one too early."""

    born = "grad/patch_embed.proj.weight"
    cause = r"zero|last|row|missing|never"

    def patches(self, x: Tensor, p: int) -> Tensor:
        def derivative(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
            dy = dy.permute(0, 3, 1, 2)
            dweight = torch.nn.grad.conv2d_weight(x, weight.shape, dy, stride=p)
            dweight[:, :, -1] = 0
            return torch.nn.grad.conv2d_input(x.shape, weight, dy, stride=p), dweight, dy.sum((0, 2, 3))

        weight, bias = self.params["patch_embed.proj.weight"], self.params["patch_embed.proj.bias"]
        return handwritten(
            lambda x, weight, bias: F.conv2d(x, weight, bias, stride=p).permute(0, 2, 3, 1), derivative, x, weight, bias
        )


class TableFrozen(Port):
    """The first block's bias table has no gradient: it is written as zeros."""

    born = f"grad/{FIRST}.attn.relative_position_bias_table"
    cause = r"zero|frozen|never|missing"

    def after_backward(self) -> None:
        table = self.params[f"{FIRST}.attn.relative_position_bias_table"]
        table.grad = torch.zeros_like(table)
