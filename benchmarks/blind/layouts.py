"""Mistakes of memory layout, and of the dump itself."""

import numpy as np
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import FACTOR

Arrays = dict[str, np.ndarray]


class NormOnWrongAxisOfTranspose(Port):
    """A map is (B, C, H, W) in memory and is normalized as (B, H, W, C)."""

    born, cause = f"{FIRST}.norm2", r"C, H, W|NCHW|channel|layout|reshape|view|permut"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{FIRST}.norm2":
            return super().norm(x, name)
        return super().norm(x.permute(0, 3, 1, 2).reshape(x.shape), name)


class ContextHeadsLast(Port):
    """The context is (N, d, heads) in memory and is read as (N, heads, d)."""

    born, cause = f"{LAST}.attn.merged_heads", r"\(d, h|d, heads|interleav|order|layout|heads"

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        return context.permute(0, 2, 3, 1).flatten(2) if at == LAST else super().merge_heads(context, at)


class ProjOfTransposedWindow(Port):
    """The merged heads of one block are (C, N) in memory and are read as (N, C)."""

    born, cause = f"{SINGLE}.attn.merged_heads", r"transpos|column|layout|reshape|order|\(C, N"

    def merge_heads(self, context: Tensor, at: str) -> Tensor:
        merged = super().merge_heads(context, at)
        return merged.transpose(1, 2).reshape(merged.shape) if at == SINGLE else merged


class MapReadColumnMajor(Port):
    """The map before the merging is column-major in memory."""

    born, cause = "layers.0.downsample.concat", r"column|transpos|layout|reshape|order|W, H"

    def concat(self, x: Tensor) -> Tensor:
        return super().concat(x.transpose(1, 2).reshape(x.shape))


class HiddenOverlaps(Port):
    """Rows of the hidden buffer are one number too short: every token reads one number of the next."""

    born, cause = (
        f"{SHIFTED}.mlp.act",
        r"stride|shift|offset|overlap|moved|one (number|element)|each is the one after it in the memory",
    )

    def gelu(self, x: Tensor, at: str) -> Tensor:
        y = super().gelu(x, at)
        return y.flatten().roll(-1).view(y.shape) if at == SHIFTED else y


class BatchInnermost(Port):
    """A kernel writes the batch as the last axis."""

    born = f"{SINGLE}.mlp.fc1"
    cause = r"batch|layout|transpos|order|reshape|permut|memory of \(row, column, hidden, B\)"

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = super().linear(x, name)
        return y.permute(1, 2, 3, 0).reshape(y.shape) if name == f"{SINGLE}.mlp.fc1" else y


class _Dump(Port):
    """Everything is computed correctly; the dump is wrong."""

    name = ""

    def dump(self, arrays: Arrays) -> Arrays:
        return arrays | {self.name: self.changed(arrays[self.name], arrays)}

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        raise NotImplementedError


class DumpColumnMajor(_Dump):
    """A tensor is dumped in column-major order."""

    born = name = f"{SHIFTED}.attn.qkv"
    cause = r"column|Fortran|axes|dump"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return array.ravel("F").reshape(array.shape)


class DumpChannelsFirst(_Dump):
    """A map is dumped as (B, C, H, W)."""

    born = name = f"{FIRST}.mlp.fc2"
    cause = r"axes|B, C, H, W|NCHW|permut|channel|transpos|dump"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


class DumpOtherEndian(_Dump):
    """A tensor is dumped with its bytes in another order."""

    born = name = f"{SINGLE}.attn.scores"
    cause = r"byte|endian"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return array.byteswap()


class DumpOfReusedBuffer(_Dump):
    """A buffer was overwritten before the dump: it holds norm2's output."""

    born = name = f"{LAST}.norm1"
    cause = r"norm2|another|other|overwrit|name|dump"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return arrays[f"{LAST}.norm2"]


class DumpNamesExchanged(Port):
    """k and v are dumped under each other's name."""

    born, cause = f"{SINGLE}.attn.k", r"name|exchang|swap|dump|each other"

    def dump(self, arrays: Arrays) -> Arrays:
        k, v = f"{SINGLE}.attn.k", f"{SINGLE}.attn.v"
        return arrays | {k: arrays[v], v: arrays[k]}


class DumpHeadsBeforeWindows(_Dump):
    """Scores are dumped with the heads before the windows."""

    born = name = f"{SHIFTED}.attn.scores"
    cause = r"axes|head|permut|transpos|dump|order"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return np.ascontiguousarray(array.reshape(2, -1, *array.shape[1:]).swapaxes(1, 2)).reshape(array.shape)


class DumpHalfWritten(_Dump):
    """The second half of a tensor was not written to the file."""

    born = name = f"{LAST}.mlp.fc2"
    cause = r"half|zero|part|never written|not written|second|image"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        array = array.copy()
        array[1:] = 0
        return array


class DumpOfHalf(_Dump):
    """One tensor is dumped in half precision."""

    born = name = f"{SHIFTED}.residual"
    cause = r"half|float16|fp16|digits|precision"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return array.astype(np.float16)


class DumpGradientsExchanged(Port):
    """The gradients of q and k are dumped under each other's name."""

    born, cause = f"grad/{LAST}.attn.k", r"name|exchang|swap|dump|each other"

    def dump(self, arrays: Arrays) -> Arrays:
        q, k = f"grad/{LAST}.attn.q", f"grad/{LAST}.attn.k"
        return arrays | {k: arrays[q], q: arrays[k]}


class DumpGradientTransposed(_Dump):
    """A weight's gradient is dumped as (in, out)."""

    born = name = f"grad/{SINGLE}.mlp.fc1.weight"
    cause = r"axes|transpos|\(in, out\)|column|dump"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return np.ascontiguousarray(array.T)


class DumpOfHalfTheBatch(_Dump):
    """One gradient is halved: it was dumped after another division by the batch."""

    born = name = f"grad/{SINGLE}.norm1.weight"
    cause = FACTOR + "|half"

    def changed(self, array: np.ndarray, arrays: Arrays) -> np.ndarray:
        return array / 2
