"""Mistakes of the patch embedding."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port
from benchmarks.blind.words import NO_BIAS, SAME_MEMORY, SKIPPED


class _Patches(Port):
    born = "patch_embed.proj"

    @property
    def weight(self) -> Tensor:
        return self.params["patch_embed.proj.weight"]

    @property
    def bias(self) -> Tensor:
        return self.params["patch_embed.proj.bias"]

    def convolution(self, x: Tensor, weight: Tensor, p: int) -> Tensor:
        return F.conv2d(x, weight, self.bias, stride=p).permute(0, 2, 3, 1)


class KernelTransposed(_Patches):
    """Rows and columns of the patch kernel are exchanged."""

    cause = r"(kernel|patch|weight).*(transpos|exchang|swap|column|W, H)"

    def patches(self, x: Tensor, p: int) -> Tensor:
        return self.convolution(x, self.weight.transpose(2, 3), p)


class KernelFlipped(_Patches):
    """A convolution with the kernel flipped, as mathematics defines it."""

    cause = r"flip|mirror|rotat|revers|true convolution"

    def patches(self, x: Tensor, p: int) -> Tensor:
        return self.convolution(x, self.weight.flip(2, 3), p)


class PatchChannelsLast(_Patches):
    """A patch is flattened (row, column, channel), the weight is (channel, row, column)."""

    cause = r"channels?.last|row, column, channel|HWC|p, p, c"

    def patches(self, x: Tensor, p: int) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
        return F.linear(x.flatten(3), self.weight.flatten(1), self.bias)


class PatchBiasMissing(_Patches):
    """The convolution has no bias."""

    cause = NO_BIAS

    def patches(self, x: Tensor, p: int) -> Tensor:
        return super().patches(x, p) - self.bias.detach()


class PatchBiasTwice(_Patches):
    """The bias is added by the convolution and after it."""

    cause = r"bias.*twice|twice.*bias|bias is added that|proj\.bias by 2\b|proj\.bias is added to it"

    def patches(self, x: Tensor, p: int) -> Tensor:
        return super().patches(x, p) + self.bias


class OverlappingPatches(_Patches):
    """The convolution is padded by one pixel."""

    cause = r"pad|offset|shift|pixel"

    def patches(self, x: Tensor, p: int) -> Tensor:
        height, width = x.shape[2] // p, x.shape[3] // p
        return F.conv2d(x, self.weight, self.bias, stride=p, padding=1).permute(0, 2, 3, 1)[:, :height, :width]


class StridedPatches(_Patches):
    """A patch has pixels that are H/p apart: the axes (p, H/p) for (H/p, p)."""

    cause = r"apart|stride|dilat|p, H/p|interleav|spread|grid"

    def patches(self, x: Tensor, p: int) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, p, height // p, p, width // p).permute(0, 3, 5, 1, 2, 4)
        return F.linear(x.flatten(3), self.weight.flatten(1), self.bias)


class ColumnsFirst(_Patches):
    """The tokens are counted down the columns."""

    cause = r"transpos|column|W, H|H and W|rows and col"

    def patches(self, x: Tensor, p: int) -> Tensor:
        x = super().patches(x, p)
        return x.transpose(1, 2).reshape(x.shape)


class ViewedAsChannelsLast(_Patches):
    """The convolution's (B, C, H, W) is viewed as (B, H, W, C)."""

    cause = SAME_MEMORY + "|NCHW|C, H, W"

    def patches(self, x: Tensor, p: int) -> Tensor:
        x = super().patches(x, p)
        return x.permute(0, 3, 1, 2).reshape(x.shape)


class KernelChannelsReversed(_Patches):
    """The kernel's input channels are reversed, as for an image that is blue first."""

    cause = r"BGR|blue|channels.*(revers|order|swap)|revers.*channel"

    def patches(self, x: Tensor, p: int) -> Tensor:
        return self.convolution(x, self.weight.flip(1), p)


class ReluAfterPatches(_Patches):
    """The convolution is followed by ReLU, as in a convolutional stem."""

    cause = r"relu|negative|clamp|clip|max\(0|below 0"

    def patches(self, x: Tensor, p: int) -> Tensor:
        return super().patches(x, p).relu()


class MeanOfPatch(_Patches):
    """The image is reduced by an average pool, and the kernel's sum is applied."""

    cause = r"mean|average|pool"

    def patches(self, x: Tensor, p: int) -> Tensor:
        x = F.avg_pool2d(x, p).permute(0, 2, 3, 1)
        return F.linear(x, self.weight.sum((2, 3)), self.bias)


class PatchNormSkipped(Port):
    """The norm of the patch embedding is left out."""

    born = "patch_embed.norm"
    cause = SKIPPED + r"|patch_embed\.norm: it is patch_embed\.proj$"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x if name == "patch_embed.norm" else super().norm(x, name)


class PatchNormOfMap(Port):
    """A group norm of one group: statistics over channels and positions."""

    born = "patch_embed.norm"
    cause = r"group|whole|(axes|axis|over).*(H|map|position|image)|statistics|all (axes|positions)"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != "patch_embed.norm":
            return super().norm(x, name)
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return F.group_norm(x.permute(0, 3, 1, 2), 1, weight, bias, self.eps).permute(0, 2, 3, 1)


class SinusoidsAdded(Port):
    """Sines and cosines of the position are added, as to other transformers."""

    born = "patch_embed.norm"
    cause = r"sin|position.*(embed|added|encod)|(constant|same).*(image|added|every)"

    def patch_embed(self, x: Tensor) -> Tensor:
        x = super().patch_embed(x)
        position = torch.arange(x.shape[1] * x.shape[2]).view(1, *x.shape[1:3], 1)
        frequency = 10000 ** (-(torch.arange(x.shape[3]) // 2 * 2) / x.shape[3])
        angle = position * frequency
        added = torch.where(torch.arange(x.shape[3]) % 2 == 0, angle.sin(), angle.cos())
        return self.record("patch_embed.norm", x + added)


class PatchesScaled(Port):
    """The tokens are multiplied by √C, as embeddings of words are."""

    born = "patch_embed.norm"
    cause = r"multipl|factor|scale|times|√|sqrt|2\.449"

    def patch_embed(self, x: Tensor) -> Tensor:
        x = super().patch_embed(x)
        return self.record("patch_embed.norm", x * x.shape[-1] ** 0.5)


class DilatedPatches(_Patches):
    """The convolution is dilated: a patch has every second pixel."""

    cause = r"dilat|every 2nd pixel"

    def patches(self, x: Tensor, p: int) -> Tensor:
        x = F.pad(x, (0, p - 1, 0, p - 1))
        return F.conv2d(x, self.weight, self.bias, stride=p, dilation=2).permute(0, 2, 3, 1)
