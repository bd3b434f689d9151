"""The tensors that a port dumped, in the key's shapes."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import numpy as np

from npswin.files import FileError, shortened
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, is_representable_in
from npswin.verify.port.module_names import same_tensor
from npswin.verify.port.similar_names import similar_name

PRECISIONS = ("float64", "float32", "float16", "bfloat16")  # from fine to coarse
MOST_NAMES, LONGEST_PREFIX = 1000, 200  # in which a prefix is looked for, and its letters
MUCH_LARGER = 8  # a tensor of more than so many times the key's size is not read


class CandidateError(FileError):
    """A dump that cannot be read; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class DumpedTensor:
    """One tensor of a dump; `read` returns its numbers."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


def printable(text: str, most: int = 80) -> str:
    """Text from a file for a terminal: shortened, with escapes for letters that cannot be printed."""
    text = text if len(text) <= most else f"{text[:most]}..."
    return "".join(letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}" for letter in text)


def in_memory(array: Array) -> DumpedTensor:
    """An array as a tensor of a dump; its dtype may be ml_dtypes' bfloat16."""
    return DumpedTensor(array.shape, array.dtype.name, lambda: array)


class Candidate:
    """The tensors that a port dumped, under the key's names.

    Args:
        found: the tensors of the dump by name.
        shapes: the shapes of the key's tensors by name.
        origin: the dump's path, for error messages.

    Attributes:
        tensors: by name, in the key's shape, float64 or float32.
        misshapen: by name those whose shape does not fit the key's, as dumped.
        unreadable: by name what is wrong with a tensor that could not be read.
        unknown: names that the key does not have.
        stored: by name the coarsest precision that represents a tensor's numbers exactly.
        dtypes: by name the dtype of a tensor in the dump.
        dumped_as: by name under which other name a tensor is in the dump: that of a container of its module, or of the
            dropout after it.

    Raises:
        CandidateError: no name is one of the key's.
    """

    def __init__(self, found: Mapping[str, DumpedTensor], shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
        self.tensors: dict[str, Array] = {}
        self.misshapen: dict[str, Array] = {}
        self.unreadable: dict[str, str] = {}
        self.stored: dict[str, str] = {}
        self.dtypes = {name: tensor.dtype for name, tensor in found.items()}
        found, self.dumped_as = _with_same_tensors(found, shapes)
        self.unknown = [printable(name) for name in found if name not in shapes]
        if not set(found) & set(shapes):
            raise CandidateError(f"{origin}: no tensor of the key's names; {_names_text(found, shapes)}")
        for name, shape in shapes.items():
            if name in found:
                self._read(name, found[name], shape)

    def _read(self, name: str, tensor: DumpedTensor, shape: tuple[int, ...]) -> None:
        fits = regroups(tensor.shape, shape)
        if not fits and math.prod(tensor.shape) > MUCH_LARGER * max(math.prod(shape), 1):
            found = shortened(_shape_text(tensor.shape))
            self.unreadable[name] = f"has shape {found}, the key {_shape_text(shape)}"
            return
        try:
            array, self.stored[name] = numbers_of(tensor)
        except CandidateError as error:
            self.unreadable[name] = printable(str(error), 400)
            return
        if fits:
            self.tensors[name] = array.reshape(shape)
        else:
            self.misshapen[name] = array


def _with_same_tensors(
    found: Mapping[str, DumpedTensor], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, DumpedTensor], dict[str, str]]:
    """The dump with each container's or dropout's output as the tensor that it is, where the shape fits.

    Dropout that is switched on changes the tensor before it: what comes after the dropout is the tensor that is used.

    Returns:
        The tensors by name, and by name what some were dumped as.
    """
    tensors, dumped_as = dict(found), {}
    for name, tensor in found.items():
        target = "" if name in shapes else same_tensor(name, shapes)
        if not target or not regroups(tensor.shape, shapes[target]):
            continue
        del tensors[name]
        if target in found and _same_numbers(found[target], tensor):
            continue
        tensors[target], dumped_as[target] = tensor, name
    return tensors, dumped_as


def _same_numbers(one: DumpedTensor, other: DumpedTensor) -> bool:
    """Whether two tensors hold the same numbers in the same order; one that cannot be read does not."""
    try:
        return math.prod(one.shape) == math.prod(other.shape) and np.array_equal(
            one.read().reshape(-1), other.read().reshape(-1), equal_nan=True
        )
    except (CandidateError, TypeError):
        return False


def _names_text(found: Mapping[str, DumpedTensor], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Which names a dump has, and what they may mean, for the error that it has none of the key's."""
    names = []
    for name in list(found)[:3]:
        similar = similar_name(name, shapes)
        names.append(f"{printable(name)}{f' ({similar}?)' if similar else ''}")
    wanted = ", ".join([name for name in shapes if not name.startswith(GRADIENT_PREFIX)][-3:])
    prefix = _prefix(found, shapes)
    hint = f'; do they all begin with "{printable(prefix)}"?' if prefix else ""
    return f"found {', '.join(names) or 'nothing'}; the key has such as {wanted}{hint}"


def numbers_of(tensor: DumpedTensor) -> tuple[Array, str]:
    """The numbers of a tensor in float64 or float32, and the coarsest precision that represents them exactly.

    Raises:
        CandidateError: it is damaged, or does not hold real numbers.
    """
    array = tensor.read()
    if array.dtype.kind in "OSUVcMm" and array.dtype.name != "bfloat16":
        raise CandidateError(f"has dtype {printable(str(array.dtype))}, expected real numbers")
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    stored = _precision(array, tensor.dtype)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array, stored


def _prefix(found: Collection[str], shapes: Collection[str]) -> str:
    """The prefix before the key's names in the names of a dump, or ""."""
    for name in list(found)[:MOST_NAMES]:
        for start in range(1, min(len(name), LONGEST_PREFIX)):
            if name[start - 1] in "./" and name[start:] in shapes:
                return name[:start]
    return ""


def regroups(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether two shapes hold the same numbers in the same order, with neighbouring axes joined.

    An example is (B·nW, N, C) for (B, nW, N, C), another (B, H·W, C) for (B, H, W, C).
    """
    if math.prod(shape) != math.prod(wanted):
        return False
    one, other = set(accumulate(shape, mul)), set(accumulate(wanted, mul))
    return one - {1} <= other or other - {1} <= one


def _shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _precision(array: Array, dtype: str) -> str:
    """The coarsest precision that represents these numbers exactly; of two that are equally coarse, the dtype's."""
    order = [dtype] if dtype in ("float16", "bfloat16") else []
    return next(name for name in [*order, *PRECISIONS[::-1], "float64"] if is_representable_in(name, array))
