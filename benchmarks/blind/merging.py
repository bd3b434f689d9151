"""Mistakes of the patch merging."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port
from benchmarks.blind.words import SKIPPED

AT = "layers.0.downsample"


class _Concat(Port):
    born = f"{AT}.concat"


class MergedByRows(_Concat):
    """The four tokens are taken row by row."""

    cause = r"order|row|x2.*x1|exchang|swap"

    def concat(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 0::2], x[:, 1::2, 1::2]], -1)


class MergedChannelsFirst(_Concat):
    """The channels are (C, 4), as unfold and pixel_unshuffle give them."""

    cause = (
        r"\(C, 4|C, 4|interleav|unfold|unshuffle|channel"
        r"|memory of \(B, row, column, C, neighbour row, neighbour column\)"
    )

    def concat(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class MergedReversed(_Concat):
    """The four tokens are concatenated in reverse order."""

    cause = r"order|revers"

    def concat(self, x: Tensor) -> Tensor:
        return torch.cat(super().concat(x).chunk(4, -1)[::-1], -1)


class MergedQuadrants(_Concat):
    """The quarters of the map are concatenated."""

    cause = r"quadrant|quarter|halves|half|apart"

    def concat(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1] // 2, x.shape[2] // 2
        parts = [part for half in x.split(rows, 1) for part in half.split(columns, 2)]
        return torch.cat([parts[0], parts[2], parts[1], parts[3]], -1)


class MergedSameTwice(_Concat):
    """The second slice is a copy of the first: its offset was forgotten."""

    cause = (
        r"twice|same|copy|repeat|x0|offset|instead"
        r"|column 0 of neighbour row 0 in place of neighbour column 0 of neighbour row 1$"
    )

    def concat(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0::2, 0::2], x[:, 0::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)


class MergedByMean(_Concat):
    """The mean of the four tokens, four times."""

    cause = r"mean|averag|pool"

    def concat(self, x: Tensor) -> Tensor:
        return torch.stack(super().concat(x).chunk(4, -1)).mean(0).repeat(1, 1, 1, 4)


class MergedOfTransposed(_Concat):
    """The list of tokens is viewed as (W, H)."""

    cause = r"W, H|transpos|view|width.*height|height.*width|reshape"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        batch, height, width, channels = x.shape
        self.merged = (batch, (height + 1) // 2, (width + 1) // 2, 4 * channels)
        return super().downsample(x.reshape(batch, width, height, channels), at)

    def concat(self, x: Tensor) -> Tensor:
        return super().concat(x).reshape(self.merged)


class MergedWithEdge(_Concat):
    """An odd map is padded by its last column."""

    cause = r"replicat|edge|repeat|last|pad"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        rows, columns = (torch.arange(side + side % 2).clamp(max=side - 1) for side in x.shape[1:3])
        return super().downsample(x[:, rows][:, :, columns], at)


class MergedPaddedLeft(_Concat):
    """An odd map is padded on the left."""

    cause = r"left|top|other (side|end)|first|front|before"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        return super().downsample(F.pad(x, (0, 0, x.shape[2] % 2, 0, x.shape[1] % 2, 0)), at)


class MergedWithoutPadding(_Concat):
    """The last column of an odd map is dropped."""

    cause = r"drop|crop|cut|odd|not padded|without.*pad|fewer|last"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        return super().downsample(x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2], at)


class MergedWithWrap(_Concat):
    """Neighbours are found by rolling, so that the odd side wraps around."""

    cause = r"wrap|cyclic|roll|around|first column|pad"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        rows, columns = (torch.arange(side + side % 2) % side for side in x.shape[1:3])
        return super().downsample(x[:, rows][:, :, columns], at)


class MergeNormAfter(Port):
    """The norm follows the reduction, as in Swin V2; it has the first half of the weights."""

    born = f"{AT}.reduction"
    cause = r"after|V2|norm"

    def downsample(self, x: Tensor, at: str) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = self.linear(self.record(f"{at}.concat", self.concat(x)), f"{at}.reduction")
        width = x.shape[-1]
        x = F.layer_norm(x, (width,), self.params[f"{at}.norm.weight"][:width], self.params[f"{at}.norm.bias"][:width])
        return self.record(f"{at}.reduction", x)


class MergeNormSkipped(Port):
    """There is no norm before the reduction."""

    born = f"{AT}.norm"
    cause = SKIPPED + r"|downsample\.norm: it is layers\.0\.downsample\.concat$"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x if name == f"{AT}.norm" else super().norm(x, name)


class MergeNormOfEachToken(Port):
    """Each of the four tokens is normalized by itself."""

    born = f"{AT}.norm"
    cause = r"each|group|four|quarter|by itself|parts|separate"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{AT}.norm":
            return super().norm(x, name)
        parts = x.unflatten(-1, (4, -1))
        normal = F.layer_norm(parts, parts.shape[-1:], None, None, self.eps).flatten(-2)
        return normal * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class ReductionWithBias(Port):
    """The reduction has a bias, left as it was drawn."""

    born = f"{AT}.reduction"
    cause = r"bias|constant|added"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return y + torch.rand(y.shape[-1], generator=self.random) - 0.5 if name.endswith("reduction") else y


class ReductionFollowedByGelu(Port):
    """An activation follows the reduction."""

    born = f"{AT}.reduction"
    cause = r"gelu|activation|relu"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return F.gelu(y) if name.endswith("reduction") else y


class ReductionBlocksExchanged(Port):
    """The weight's column blocks are converted to the row-by-row order, the concatenation is not."""

    born = f"{AT}.reduction"
    cause = r"column|order|permut|exchang|swap|block"

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        a, b, c, d = params[f"{AT}.reduction.weight"].chunk(4, 1)
        return params | {f"{AT}.reduction.weight": torch.cat([a, c, b, d], 1)}


class MergedByMax(_Concat):
    """The largest of the four tokens, four times."""

    cause = r"largest|maxim"

    def concat(self, x: Tensor) -> Tensor:
        return torch.stack(super().concat(x).chunk(4, -1)).amax(0).repeat(1, 1, 1, 4)


class MergedConsecutively(_Concat):
    """Four tokens that follow each other in the list are joined."""

    cause = r"in a row|consecutive"

    def concat(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1] // 2, x.shape[2] // 2, -1)
