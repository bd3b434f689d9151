"""Mistakes of the padding to whole windows."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, Port

PADDED, WINDOWS, JOINED = f"{FIRST}.attn.padded", f"{FIRST}.attn.windows", f"{FIRST}.attn.joined"
ROLLED, UNROLLED = f"{SHIFTED}.attn.shifted", f"{SHIFTED}.attn.unshifted"


class ShiftedBeforePadding(Port):
    """The map is shifted first and padded then."""

    born = ROLLED
    cause = (
        r"before.*pad|pad.*after|order|unpadded|without.*padd|the last column is 0, column 5 in place of column 4$"
        r"|column 4 and column 5 are exchanged$"
    )

    def shift(self, x: Tensor, shift: int) -> Tensor:
        width = self.config["img_size"][1] // self.config["patch_size"]
        height = self.config["img_size"][0] // self.config["patch_size"]
        return F.pad(super().shift(x[:, :height, :width], shift), (0, 0, 0, x.shape[2] - width, 0, x.shape[1] - height))


class PaddedLeft(Port):
    """The padding is on the left and on top."""

    born = PADDED
    cause = r"left|top|front|before|begin|start|other (side|end)"

    def pad(self, x: Tensor, m: int) -> Tensor:
        return F.pad(x, (0, 0, -x.shape[2] % m, 0, -x.shape[1] % m, 0))


class PaddedOnBothSides(Port):
    """The padding is divided between both sides, as TensorFlow does with SAME."""

    born = PADDED
    cause = r"both|cent(er|re)|SAME|left|half|divided"

    def pad(self, x: Tensor, m: int) -> Tensor:
        down, right = -x.shape[1] % m, -x.shape[2] % m
        return F.pad(x, (0, 0, (right + 1) // 2, right // 2, (down + 1) // 2, down // 2))


class PaddedByEdge(Port):
    """The last row and column are repeated."""

    born = PADDED
    cause = r"replicat|edge|repeat|last (row|column|token)|copies"

    def pad(self, x: Tensor, m: int) -> Tensor:
        rows = torch.arange(x.shape[1] + -x.shape[1] % m).clamp(max=x.shape[1] - 1)
        columns = torch.arange(x.shape[2] + -x.shape[2] % m).clamp(max=x.shape[2] - 1)
        return x[:, rows][:, :, columns]


class PaddedBeforeNorm(Port):
    """The map is padded before norm1, which makes the padding the norm's bias."""

    born = PADDED
    cause = r"before.*norm|norm.*(after|bias)|bias"

    def windows(self, x: Tensor, at: str) -> Tensor:
        self.padding = self.params[f"{at}.norm1.bias"]
        return super().windows(x, at)

    def pad(self, x: Tensor, m: int) -> Tensor:
        padded = super().pad(torch.ones_like(x[..., :1]), m)
        return super().pad(x, m) + (1 - padded) * self.padding


class PaddedWhenDivisible(Port):
    """M - H % M rows are added, which is a whole window where M divides H."""

    born = PADDED
    cause = r"whole window|divi(de|si)|M - H|too (many|much|large)|one (more )?window|always"

    def pad(self, x: Tensor, m: int) -> Tensor:
        return F.pad(x, (0, 0, 0, m - x.shape[2] % m, 0, m - x.shape[1] % m))


class StretchedInsteadOfPadded(Port):
    """The map is resized to whole windows."""

    born = PADDED
    cause = r"resiz|interpolat|stretch"

    def pad(self, x: Tensor, m: int) -> Tensor:
        size = (x.shape[1] + -x.shape[1] % m, x.shape[2] + -x.shape[2] % m)
        return F.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1)


class CroppedAtTheWrongEnd(Port):
    """The last rows and columns are kept."""

    born = f"{FIRST}.attn.cropped"
    cause = r"wrong (end|side)|left|top|first|begin|last|other (end|side)|offset|shift"

    def crop(self, x: Tensor, height: int, width: int) -> Tensor:
        return x[:, -height:, -width:]
