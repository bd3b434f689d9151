"""A port compared with all cases of an answer key: the key itself and those in its subfolders.

In a dump, the tensors of the case CASE are named CASE/NAME; a folder has them in its subfolder CASE.
"""

import time
from collections.abc import Container, Mapping
from os import PathLike
from typing import Any

from npswin.files import shown_path
from npswin.verify.key import AnswerKey, Trace
from npswin.verify.key.trace import Progress
from npswin.verify.port.candidate import Candidate, DumpedTensor
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import Comparison
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.module_names import KnownNames
from npswin.verify.port.read_dump import opened_dump
from npswin.verify.port.search import TIME_LIMIT_SECONDS, search_mistakes

Shapes = Mapping[str, tuple[int, ...]]


class Cases:
    """The cases of a key of which a port has tensors.

    Args:
        key: the answer key, or the trace of which one would be made; a trace has no further cases.
        dump: the port's tensors: a file, a folder, or tensors by name.
        precision: the port's; determined from its numbers, in each case, if not given.

    Attributes:
        comparers: by the case's name, "" for the key itself.
        not_dumped: names of the cases of which the port has nothing.

    Raises:
        AnswerKeyError: one of the keys is damaged.
        CandidateError: the dump cannot be read, or has none of the key's names.
    """

    def __init__(
        self,
        key: AnswerKey | Trace,
        dump: str | PathLike[str] | Mapping[str, DumpedTensor],
        precision: str | None = None,
    ) -> None:
        keys: dict[str, AnswerKey | Trace] = {"": key}
        if isinstance(key, AnswerKey):
            keys |= {case: AnswerKey(key.folder / case) for case in key.cases}
        shapes = {case: one.shapes for case, one in keys.items()}
        if isinstance(dump, Mapping):
            candidates = _candidates(dump, shapes, "dump")
        else:
            with opened_dump(dump, _Names(shapes)) as found:
                candidates = _candidates(found, shapes, shown_path(dump))
        self.comparers = {case: Comparer(keys[case], one, precision) for case, one in candidates.items()}
        self.not_dumped = [case for case in keys if case not in candidates]

    def compare(self, progress: Progress = lambda *_: None) -> Comparison:
        """The comparison with the first case, which has those with the others as its `cases`."""
        comparisons = {case: comparer.compare(progress) for case, comparer in self.comparers.items()}
        return self._joined(comparisons)

    def diagnose(self, progress: Progress = lambda *_: None, seconds: float = TIME_LIMIT_SECONDS) -> Diagnosis:
        """The diagnosis of the first case, which has those of the others as its `cases`.

        Args:
            progress: called with the name of the work, how many steps are done, and how many there are.
            seconds: the time limit of all searches together.
        """
        end = time.monotonic() + seconds
        diagnoses = [
            search_mistakes(comparer, progress, end - time.monotonic()) for comparer in self.comparers.values()
        ]
        self._joined(dict(zip(self.comparers, (one.comparison for one in diagnoses), strict=True)))
        diagnoses[0].cases = diagnoses[1:]
        return diagnoses[0]

    def _joined(self, comparisons: Mapping[str, Comparison]) -> Comparison:
        for case, comparison in comparisons.items():
            comparison.case = case
        first, *others = comparisons.values()
        first.cases, first.cases_not_dumped = others, self.not_dumped
        return first


class _Names(Container[str]):
    """The names that tensors of a dump may have: those of each case, after the case's name."""

    def __init__(self, shapes: Mapping[str, Shapes]) -> None:
        self._known = {case: KnownNames(named) for case, named in shapes.items()}

    def __contains__(self, name: object) -> bool:
        case, _, inner = str(name).partition("/")
        return inner in self._known[case] if inner and case in self._known else name in self._known[""]


def _candidates(found: Mapping[str, DumpedTensor], shapes: Mapping[str, Shapes], origin: str) -> dict[str, Candidate]:
    """The candidate for each case of which there are tensors.

    Args:
        found: the tensors of the dump by name.
        shapes: by case, of the key's tensors by name.
        origin: of the dump, for messages.
    """
    parts: dict[str, dict[str, Any]] = {case: {} for case in shapes}
    for name, tensor in found.items():
        case, _, inner = name.partition("/")
        if case in parts and inner:
            parts[case][inner] = tensor
        else:
            parts[""][name] = tensor
    dumped = {case: part for case, part in parts.items() if part} or {"": {}}
    return {
        case: Candidate(part, shapes[case], f"{origin}, case {case}" if case else origin)
        for case, part in dumped.items()
    }
