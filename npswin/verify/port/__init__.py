"""A port beside the answer key: where it goes wrong, and which mistake that is."""

from collections.abc import Mapping
from os import PathLike

import numpy as np

from npswin.types import Array
from npswin.verify.graph import UNIT_ROUNDOFF
from npswin.verify.key import AnswerKey, Trace
from npswin.verify.port import diagnosis as _diagnosis
from npswin.verify.port.candidate import Candidate, CandidateError, in_memory, read_candidate
from npswin.verify.port.comparison import Comparer, Comparison
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.watch import Seen, watch

__all__ = ["Candidate", "CandidateError", "Comparison", "Diagnosis", "Seen", "compare", "diagnose", "watch"]

Key = str | PathLike[str] | AnswerKey | Trace
Dump = str | PathLike[str] | Mapping[str, Array]


def compare(key: Key, dump: Dump, precision: str | None = None) -> Comparison:
    """What `npswin compare` does; `print` the result.

    Args:
        key: the folder of an answer key, or a trace.
        dump: what the port computed: a file, a folder, or arrays by name.
        precision: in which the port computes; its numbers tell if it is not given.

    Returns:
        A row for each tensor, and where the first error is.

    Raises:
        AnswerKeyError: the key is damaged.
        CandidateError: the dump cannot be read, or has none of the key's names.
        ValueError: a precision that is none.
    """
    return _comparer(key, dump, precision).compare()


def diagnose(key: Key, dump: Dump, precision: str | None = None) -> Diagnosis:
    """What `npswin diagnose` does; arguments and errors are those of `compare`; `print` the result."""
    return _diagnosis.diagnose(_comparer(key, dump, precision))


def _comparer(key: Key, dump: Dump, precision: str | None) -> Comparer:
    if precision is not None and precision not in UNIT_ROUNDOFF:
        raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(UNIT_ROUNDOFF)}")
    key = key if isinstance(key, AnswerKey | Trace) else AnswerKey(key)
    if not isinstance(dump, Mapping):
        return Comparer(key, read_candidate(dump, key.shapes), precision)
    found = {str(name): in_memory(np.asarray(array)) for name, array in dump.items()}
    return Comparer(key, Candidate(found, key.shapes, "the arrays"), precision)
