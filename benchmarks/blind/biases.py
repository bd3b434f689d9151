"""Mistakes of the relative position bias."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, Port
from benchmarks.blind.words import SAME_MEMORY


class _Bias(Port):
    born = f"{FIRST}.attn.relative_position_bias"

    def table(self, at: str) -> Tensor:
        return self.params[f"{at}.attn.relative_position_bias_table"]


class BiasAxesExchanged(_Bias):
    """meshgrid counts in the order xy: rows and columns of the table are exchanged."""

    cause = r"\(x, y\)|xy|(row|column|axes).*(exchang|swap|transpos)|(exchang|swap|transpos).*(row|column|axes)"

    def position_index(self, m: int) -> Tensor:
        coordinates = torch.stack(torch.meshgrid(torch.arange(m), torch.arange(m), indexing="xy")).flatten(1)
        relative = coordinates[:, :, None] - coordinates[:, None, :] + m - 1
        return relative[0] * (2 * m - 1) + relative[1]


class BiasFromKeyToQuery(_Bias):
    """The offset is key minus query."""

    cause = r"key.*(minus|-|−|to|from)|sign|transpos|revers|opposite|quer"

    def position_index(self, m: int) -> Tensor:
        return super().position_index(m).T


class BiasRowStride(_Bias):
    """Rows of the table are taken to be M apart, not 2M - 1."""

    cause = r"stride|\bM\b|2M|apart|row"

    def position_index(self, m: int) -> Tensor:
        index = super().position_index(m)
        return index // (2 * m - 1) * m + index % (2 * m - 1)


class BiasNotShiftedToZero(_Bias):
    """M - 1 is not added; negative positions count from the table's end."""

    cause = r"M ?[-−] ?1|negativ|wrap|not.*(added|shift|start)|offset"

    def position_index(self, m: int) -> Tensor:
        return (super().position_index(m) - (m - 1) * 2 * m) % (2 * m - 1) ** 2


class BiasShiftedByWindow(_Bias):
    """M is added to the columns, not M - 1."""

    cause = r"M|off by one|one (entry|position|too)|offset|next entry|column|query 0 and key 1 take row 12$"

    def position_index(self, m: int) -> Tensor:
        return (super().position_index(m) + 1).clamp(max=(2 * m - 1) ** 2 - 1)


class BiasSymmetric(_Bias):
    """The offset's absolute value is used."""

    cause = (
        r"absolute|\||symmetr|distance|sign"
        r"|offset row (4|6|8) in place of offset row 0, [^;]+; offset column \1 in place of offset column 0\b"
    )

    def position_index(self, m: int) -> Tensor:
        side = 2 * m - 1
        index = super().position_index(m)
        return (index // side - m + 1).abs().add(m - 1) * side + (index % side - m + 1).abs() + m - 1


class BiasOfPosition(_Bias):
    """The table's first N rows are the bias of the key's position."""

    cause = r"absolute|key|first (N|nine|rows)|position"

    def position_index(self, m: int) -> Tensor:
        return torch.arange(m * m).expand(m * m, m * m)


class BiasViewedWithoutPermute(_Bias):
    """(N, N, heads) is viewed as (heads, N, N)."""

    cause = SAME_MEMORY + "|heads and positions.*exchanged"

    def position_bias(self, at: str) -> Tensor:
        bias = super().position_bias(at)
        return bias.permute(1, 2, 0).reshape(bias.shape)


class BiasTableOfHeadsFirst(_Bias):
    """The table ((2M - 1)², heads) is read as (heads, (2M - 1)²)."""

    cause = r"heads.*first|transpos|read as|reshape|\(heads|table"

    def position_bias(self, at: str) -> Tensor:
        table = self.table(at)
        return table.reshape(table.shape[1], -1)[:, self.position_index(self.window_and_shift(at)[0])]


class BiasHeadsReversed(_Bias):
    """The heads of the table are in reverse order."""

    cause = r"head"

    def position_bias(self, at: str) -> Tensor:
        return super().position_bias(at).flip(0)


class BiasSigmoid(_Bias):
    """16 sigmoid(bias), as in Swin V2."""

    cause = r"sigmoid|V2|16"

    def position_bias(self, at: str) -> Tensor:
        return 16 * super().position_bias(at).sigmoid()


class BiasResized(_Bias):
    """The table was resized for a larger window and back, bicubically."""

    cause = r"interpol|resiz|bicubic"

    def position_bias(self, at: str) -> Tensor:
        m = self.window_and_shift(at)[0]
        table = self.table(at).T.unflatten(1, (2 * m - 1, 2 * m - 1))[None]
        larger = F.interpolate(table, (2 * m + 3, 2 * m + 3), mode="bicubic", align_corners=False)
        table = F.interpolate(larger, table.shape[2:], mode="bicubic", align_corners=False)
        return table[0].flatten(1)[:, self.position_index(m)]


class BiasResizedAsList(_Bias):
    """The table was resized linearly along its rows, as a list, for a smaller window and back."""

    cause = r"interpol|resiz|linear"

    def position_bias(self, at: str) -> Tensor:
        m = self.window_and_shift(at)[0]
        table = self.table(at).T[None]
        table = F.interpolate(F.interpolate(table, (2 * m - 3) ** 2, mode="linear"), table.shape[2], mode="linear")
        return table[0][:, self.position_index(m)]


class BiasMeanOverHeads(_Bias):
    """All heads have the mean of the table's columns."""

    cause = r"mean|averag|same.*heads|all heads|shared"

    def position_bias(self, at: str) -> Tensor:
        bias = super().position_bias(at)
        return bias.mean(0, keepdim=True).expand_as(bias)


class BiasMeanRemoved(_Bias):
    """The table's mean is subtracted."""

    cause = r"mean|centr|center|constant|subtract|added|offset"

    def position_bias(self, at: str) -> Tensor:
        return super().position_bias(at) - self.table(at).mean(0)[:, None, None]


class BiasOfFirstBlock(Port):
    """Both blocks of the first stage use the first block's table."""

    born = f"{SHIFTED}.attn.relative_position_bias"
    cause = r"another|other|shared|blocks\.0|first block|block 0"

    def position_bias(self, at: str) -> Tensor:
        return super().position_bias(FIRST if at == SHIFTED else at)
