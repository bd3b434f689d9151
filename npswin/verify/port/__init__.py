"""Verifies a port with the answer key: which tensors are wrong, and which mistake the port makes."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from npswin.checks import check_array, check_choice, check_path
from npswin.deprecation import renamed_attributes
from npswin.devices import to_host
from npswin.types import Array
from npswin.verify.graph import UNIT_ROUNDOFF
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace
from npswin.verify.port.candidate import Candidate, CandidateError, DumpedTensor, in_memory
from npswin.verify.port.cases import Cases
from npswin.verify.port.comparison import Comparison
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.recording import Recording
from npswin.verify.port.two_dumps import DumpComparison, compare_two_dumps
from npswin.verify.port.watch import watch

__all__ = [
    "Candidate",
    "CandidateError",
    "Comparison",
    "Diagnosis",
    "DumpComparison",
    "Recording",
    "compare",
    "compare_dumps",
    "diagnose",
    "watch",
]

Key = str | PathLike[str] | AnswerKey | Trace
Dump = str | PathLike[str] | Mapping[str, Array]


def compare(key: Key, dump: Dump, precision: str | None = None) -> Comparison:
    """Compare a port's tensors with the answer key, as `npswin compare` does. `print` the result.

    Args:
        key: the folder of an answer key, or a trace.
        dump: the port's tensors: a file, a folder, or arrays by name.
        precision: in which the port computes; determined from its numbers if not given.

    Returns:
        A row for each tensor, and where the first error is.

    Raises:
        AnswerKeyError: the key is damaged.
        CandidateError: the dump cannot be read, or has none of the key's names.
        ValueError: an unknown precision, or another argument that does not fit.
    """
    return _cases(key, dump, precision).compare()


def compare_dumps(first: Dump, second: Dump, precision: str | None = None) -> DumpComparison:
    """Compare two dumps with each other, without a key: two runs of a port, or before and after a conversion.

    Args:
        first, second: files, folders, or arrays by name.
        precision: in which both were computed; determined for each tensor from its numbers if not given.

    Returns:
        A row for each tensor that both have, and where the first difference is. `print` it.

    Raises:
        CandidateError: a dump cannot be read, or they have no name in common.
        ValueError: an unknown precision, or another argument that does not fit.
    """
    _check_precision(precision)
    return compare_two_dumps(_checked_dump("first", first), _checked_dump("second", second), precision)


def diagnose(key: Key, dump: Dump, precision: str | None = None) -> Diagnosis:
    """Find the mistakes of a port, as `npswin diagnose` does. `print` the result.

    Args:
        key, dump, precision: as for `compare`, with the same errors.
    """
    return _cases(key, dump, precision).diagnose()


def _cases(key: Key, dump: Dump, precision: str | None) -> Cases:
    _check_precision(precision)
    dump = dump if isinstance(dump, Mapping) else check_path("dump", dump, CandidateError)
    key = key if isinstance(key, AnswerKey | Trace) else AnswerKey(check_path("key", key, AnswerKeyError))
    return Cases(key, _checked_dump("dump", dump), precision)


def _check_precision(precision: str | None) -> None:
    if precision is not None:
        check_choice("precision", precision, tuple(UNIT_ROUNDOFF))


def _checked_dump(argument: str, dump: Any) -> Path | dict[str, DumpedTensor]:
    """The path of a dump, or its tensors by name."""
    if not isinstance(dump, Mapping):
        return check_path(argument, dump, CandidateError)
    return {str(name): in_memory(_as_array(f"{argument}[{name!r}]", array)) for name, array in dump.items()}


def _as_array(name: str, value: Any) -> Array:
    """An array of NumPy's, CuPy's or another library's; masked arrays are refused."""
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        check_array(name, value)
    return np.asarray(to_host(value))


if not TYPE_CHECKING:
    __getattr__ = renamed_attributes(__name__, {"Seen": "Recording"})
