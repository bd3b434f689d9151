"""Mistakes of the cyclic shift and the windows."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import SAME_MEMORY, SKIPPED

PADDED, WINDOWS, JOINED = f"{FIRST}.attn.padded", f"{FIRST}.attn.windows", f"{FIRST}.attn.joined"
ROLLED, UNROLLED = f"{SHIFTED}.attn.shifted", f"{SHIFTED}.attn.unshifted"


class NeverShifted(Port):
    """The shift is left out, there and back; the mask is still added."""

    born = ROLLED
    cause = SKIPPED + "|not rolled"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return x

    unshift = shift


class ShiftedDownRight(Port):
    """The shift goes down and right, and back up and left."""

    born = ROLLED
    cause = r"other way|direction|sign|opposite|down"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return super().shift(x, -shift)

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return super().unshift(x, -shift)


class NotShiftedBack(Port):
    """The shift is not undone."""

    born = UNROLLED
    cause = SKIPPED + "|not rolled"

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return x


class ShiftedBackTheWrongWay(Port):
    """The shift back has the sign of the shift."""

    born = UNROLLED
    cause = r"sign|same|direction|other way|again|rolled on|twice|forward|wrong way"

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return super().unshift(x, -shift)


class OnlyRowsShifted(Port):
    """Only rows are shifted."""

    born = ROLLED
    cause = r"only.*(row|vertical|height|up|one axis)|(column|width|horizontal).*not|one (axis|direction)"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x, -shift, 1)

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x, shift, 1)


class ShiftRoundedUp(Port):
    """The shift is (M + 1) // 2."""

    born = ROLLED
    cause = r"round|shift.*\b2\b|amount|M ?\+ ?1|\(2|by -?2|ceil|too (far|much)"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return super().shift(x, shift + 1)

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return super().unshift(x, shift + 1)


class ShiftWithoutWrapping(Port):
    """What leaves the map is lost: zeros come in."""

    born = ROLLED
    cause = r"zero|wrap|cyclic|lost"

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return F.pad(x, (0, 0, 0, shift, 0, shift))[:, shift:, shift:]


class RolledAsList(Port):
    """The list of tokens is rolled: columns that leave on the left come in a row higher."""

    born = ROLLED
    cause = (
        r"list|flat|sequence|1.?D|row higher|token axis|one axis|tokens in a row"
        r"|in the last column there are the numbers of the tensor itself, at 1 row after"
        r"|entries of \(row, column\) are in the order 0, 1, 2, 3, 4, 11, 6, 7, 8, 9, 10, 17\b"
    )

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x.flatten(1, 2), -shift * x.shape[2] - shift, 1).view(x.shape)

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x.flatten(1, 2), shift * x.shape[2] + shift, 1).view(x.shape)


class EveryBlockShifted(Port):
    """Unshifted blocks are shifted as well."""

    born = WINDOWS
    cause = r"shift|roll"

    def window_and_shift(self, at: str) -> tuple[int, int]:
        m, shift = super().window_and_shift(at)
        return (m, m // 2) if at == FIRST else (m, shift)

    def record(self, name: str, tensor: Tensor) -> Tensor:
        unknown = [f"{FIRST}.attn.{last}" for last in ("shifted", "unshifted", "mask", "masked_scores")]
        return tensor if name in unknown else super().record(name, tensor)


class SingleWindowShifted(Port):
    """The stage whose map is one window is shifted as well."""

    born = "layers.1.blocks.1.attn.windows"
    cause = r"shift|roll"

    def window_and_shift(self, at: str) -> tuple[int, int]:
        m, shift = super().window_and_shift(at)
        return (m, m // 2) if at == "layers.1.blocks.1" else (m, shift)

    def record(self, name: str, tensor: Tensor) -> Tensor:
        unknown = [f"layers.1.blocks.1.attn.{last}" for last in ("shifted", "unshifted", "mask", "masked_scores")]
        return tensor if name in unknown else super().record(name, tensor)


class WindowsByView(Port):
    """The map is viewed as windows, without an exchange of axes."""

    born = WINDOWS
    cause = SAME_MEMORY + r"|windows: it is layers\.0\.blocks\.0\.attn\.padded$"

    def partition(self, x: Tensor, m: int) -> Tensor:
        return x.reshape(-1, m * m, x.shape[-1])


class WindowsDownColumns(Port):
    """Windows are counted down the columns, there and back."""

    born = WINDOWS
    cause = r"column|order of (the )?windows|windows.*(order|transpos|count)|transpos"

    def partition(self, x: Tensor, m: int) -> Tensor:
        batch, height, width, channels = x.shape
        x = x.view(batch, height // m, m, width // m, m, channels)
        return x.permute(0, 3, 1, 2, 4, 5).reshape(-1, m * m, channels)

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        batch, height, width, channels = size
        x = x.view(batch, width // m, height // m, m, m, channels)
        return x.permute(0, 2, 3, 1, 4, 5).reshape(batch, height, width, channels)


class TokensDownColumns(Port):
    """The tokens of a window are counted down the columns, there and back."""

    born = WINDOWS
    cause = r"column|transpos|order of (the )?tokens|tokens.*order"

    def partition(self, x: Tensor, m: int) -> Tensor:
        batch, height, width, channels = x.shape
        x = x.view(batch, height // m, m, width // m, m, channels)
        return x.permute(0, 1, 3, 4, 2, 5).reshape(-1, m * m, channels)

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        batch, height, width, channels = size
        x = x.view(batch, height // m, width // m, m, m, channels)
        return x.permute(0, 1, 4, 2, 3, 5).reshape(batch, height, width, channels)


class GridInsteadOfWindows(Port):
    """A window has tokens that are H/M apart: the grid of MaxViT."""

    born = WINDOWS
    cause = r"grid|dilat|stride|apart|interleav|spread|every \d+th of \d+ rows, every \d+th of \d+ columns"

    def partition(self, x: Tensor, m: int) -> Tensor:
        batch, height, width, channels = x.shape
        x = x.view(batch, m, height // m, m, width // m, channels)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, m * m, channels)

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        batch, height, width, channels = size
        x = x.view(batch, height // m, width // m, m, m, channels)
        return x.permute(0, 3, 1, 4, 2, 5).reshape(batch, height, width, channels)


class JoinedByView(Port):
    """The windows are viewed as a map, without an exchange of axes."""

    born = JOINED
    cause = SAME_MEMORY

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        return x.reshape(size)


class JoinedDownColumns(Port):
    """The windows are joined down the columns."""

    born = JOINED
    cause = r"column|windows.*(order|transpos)|transpos|exchang"

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        batch, height, width, channels = size
        x = x.view(batch, width // m, height // m, m, m, channels)
        return x.permute(0, 2, 3, 1, 4, 5).reshape(batch, height, width, channels)


class WholeMapIsOneWindow(Port):
    """The second stage's window is cut from the transposed map."""

    born = f"{SINGLE}.attn.windows"
    cause = r"transpos|column|order"

    def partition(self, x: Tensor, m: int) -> Tensor:
        return super().partition(x.transpose(1, 2).contiguous() if x.shape[1] == m else x, m)
