"""Mistakes of loading and converting weights: orders and names. The dump has no parameters."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port

Params = dict[str, Tensor]


class OneWeight(Port):
    """One parameter is wrong."""

    name = ""

    def load(self, params: Params) -> Params:
        return params | {self.name: self.changed(params[self.name], params)}

    def changed(self, param: Tensor, params: Params) -> Tensor:
        raise NotImplementedError


class SquareWeightTransposed(OneWeight):
    """A square matrix is transposed twice by the conversion of one block."""

    born, name, cause = f"{SHIFTED}.attn.proj", f"{SHIFTED}.attn.proj.weight", r"transpos"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.T


class NormNotLoaded(OneWeight):
    """A norm's gain keeps its initial ones."""

    born, name, cause = f"{LAST}.norm2", f"{LAST}.norm2.weight", r"gain|weight|\b1\b|ones|initial|not loaded"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return torch.ones_like(param)


class TableNotLoaded(OneWeight):
    """A bias table keeps its initial zeros, since the window differs."""

    born = f"{SINGLE}.attn.relative_position_bias"
    name, cause = f"{SINGLE}.attn.relative_position_bias_table", r"is 0\b|zero|not loaded|initial|missing"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return torch.zeros_like(param)


class HeadNotLoaded(OneWeight):
    """The head's weight is drawn anew, since the number of classes differed."""

    born, name, cause = "head", "head.weight", r"weight|not loaded|initial|random|another"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return torch.randn(param.shape, generator=self.random) * 0.02


class WeightOfOtherBlock(OneWeight):
    """The converter's loop index is wrong: block 1 has block 0's qkv weight."""

    born, name, cause = f"{SHIFTED}.attn.qkv", f"{SHIFTED}.attn.qkv.weight", r"blocks\.0|other|another"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return params[f"{FIRST}.attn.qkv.weight"]


class NormsOfOneBlock(Port):
    """All norms of the first stage share the first norm's weights."""

    born, cause = f"{FIRST}.norm1", r"another|other|patch_embed\.norm|shared|tied"

    def load(self, params: Params) -> Params:
        norms = [name for name in params if name.startswith("layers.0.blocks") and "norm" in name]
        return params | {name: params[f"patch_embed.norm.{name.rpartition('.')[2]}"] for name in norms}


class HeadsPermuted(OneWeight):
    """The heads of the query weight are in another order."""

    born, name, cause = f"{SINGLE}.attn.qkv", f"{SINGLE}.attn.qkv.weight", r"head|order|permut|exchang|swap"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        q, k, v = param.chunk(3)
        return torch.cat([q.unflatten(0, (3, -1))[[1, 2, 0]].flatten(0, 1), k, v])


class QueryAndKeyOfOneHead(OneWeight):
    """q and k of the second head are exchanged."""

    born, name, cause = f"{SINGLE}.attn.qkv", f"{SINGLE}.attn.qkv.weight", r"head|exchang|swap|q.*k|order|permut"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        q, k, v = param.clone().unflatten(0, (3, 3, -1))
        q[1], k[1] = k[1].clone(), q[1].clone()
        return torch.stack([q, k, v]).flatten(0, 2)


class KeyAndValueWeights(Port):
    """The weights of k and v are concatenated in the wrong order, weight and bias."""

    born, cause = f"{LAST}.attn.qkv", r"k.*v|order|exchang|swap|permut"

    def load(self, params: Params) -> Params:
        changed = {}
        for name in (f"{LAST}.attn.qkv.weight", f"{LAST}.attn.qkv.bias"):
            q, k, v = params[name].chunk(3)
            changed[name] = torch.cat([q, v, k])
        return params | changed


class QkvInterleaved(Port):
    """The rows of qkv are interleaved head by head, as Megatron stores them."""

    born, cause = f"{FIRST}.attn.qkv", r"head|interleav|order|permut"

    def load(self, params: Params) -> Params:
        names = [name for name in params if name.startswith("layers.0") and "attn.qkv" in name]
        return params | {name: params[name].unflatten(0, (3, 2, 3)).transpose(0, 1).flatten(0, 2) for name in names}


class ColumnMajorWeight(OneWeight):
    """A weight was written in column-major order."""

    born, name = f"{FIRST}.mlp.fc1", f"{FIRST}.mlp.fc1.weight"
    cause = r"column|Fortran|transpos|order|\(in, out\)|memory of \(C, hidden\) is read as \(hidden, C\)"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.T.reshape(param.shape)


class KernelChannelsLast(OneWeight):
    """The patch kernel was written (C, rows, columns, colours)."""

    born, name, cause = "patch_embed.proj", "patch_embed.proj.weight", r"channel|last|order|HWI|row|layout|permut"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.permute(0, 2, 3, 1).reshape(param.shape)


class BiasesExchanged(Port):
    """Gain and bias of one norm are exchanged in the file."""

    born, cause = f"{SINGLE}.norm2", r"gain|bias|exchang|swap"

    def load(self, params: Params) -> Params:
        weight, bias = f"{SINGLE}.norm2.weight", f"{SINGLE}.norm2.bias"
        return params | {weight: params[bias], bias: params[weight]}


class TableColumnsReversed(OneWeight):
    """The bias table is upside down: offsets counted from the other end."""

    born = f"{SHIFTED}.attn.relative_position_bias"
    name, cause = f"{SHIFTED}.attn.relative_position_bias_table", r"revers|sign|upside|key|opposite|transpos|other way"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.flip(0)
