"""Two dumps compared without a key: two runs of a port, or a port before and after it is converted."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

from npswin.files import shown_path
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, UNIT_ROUNDOFF
from npswin.verify.key.trace import Progress
from npswin.verify.port.candidate import PRECISIONS, CandidateError, DumpedTensor, numbers_of, printable, regroups
from npswin.verify.port.distance import Distance, distance
from npswin.verify.port.name_order import in_computation_order
from npswin.verify.port.randomness import random_pattern
from npswin.verify.port.read_dump import opened_dump
from npswin.verify.port.text import join_names, json_value

EQUAL, ROUNDING, DIFFERS = "equal", "rounding", "DIFFERS"
SHAPE, UNREADABLE, NOT_FINITE = "SHAPE", "UNREADABLE", "NOT FINITE"
# The relative difference, in roundings of one number, that rounding may explain; gradients sum over a batch's tokens,
# and pass through all layers twice. With a key, the tolerance of each tensor is computed.
ROUNDINGS, ROUNDINGS_OF_GRADIENTS = 128, 1024

SOURCES = ("pixels", "input", "labels")

Dump = str | PathLike[str] | Mapping[str, DumpedTensor]


@dataclass(frozen=True)
class DumpRow:
    """A tensor that both dumps have.

    Attributes:
        name: in both.
        verdict: "equal", number by number; "rounding": no further apart than rounding may explain; "DIFFERS", "SHAPE",
            "UNREADABLE", "NOT FINITE".
        precision: the coarser one of the two dumps, by the numbers of this tensor.
        distance: of the second dump's tensor from the first's.
        roundings: the relative distance over the unit roundoff of this precision.
        note: what is wrong, where it is not a distance; at the first difference, what it looks like.
    """

    name: str
    verdict: str
    precision: str = ""
    distance: Distance | None = None
    roundings: float = 0.0
    note: str = ""


@dataclass
class DumpComparison:
    """Two dumps, tensor by tensor. `print` it.

    Attributes:
        rows: of the tensors that both have: in the order of computation where the names are the key's, else as in the
            first dump.
        only_in_first, only_in_second: names that the other dump does not have.
        random: what the first difference looks like, if it is what a random operation leaves, else "".
    """

    rows: list[DumpRow]
    only_in_first: list[str]
    only_in_second: list[str]
    random: str = ""

    @property
    def ok(self) -> bool:
        """Whether the dumps have the same tensors, and these differ by no more than rounding may explain."""
        return not self.only_in_first and not self.only_in_second and all(row.verdict in _FINE for row in self.rows)

    @property
    def unreadable(self) -> list[DumpRow]:
        """The rows of tensors that could not be read."""
        return [row for row in self.rows if row.verdict == UNREADABLE]

    @property
    def first_unequal(self) -> DumpRow | None:
        """The first tensor that is not equal, number by number."""
        return next((row for row in self.rows if row.verdict not in (EQUAL, UNREADABLE)), None)

    @property
    def first_beyond_rounding(self) -> DumpRow | None:
        """The first tensor that differs by more than rounding may explain."""
        return next((row for row in self.rows if row.verdict not in (*_FINE, UNREADABLE)), None)

    def __str__(self) -> str:
        return f"{dumps_table(self)}\n\n{dumps_summary(self)}"


_FINE = (EQUAL, ROUNDING)


class _EveryName:
    def __contains__(self, name: object) -> bool:
        return True


def compare_two_dumps(
    first: Dump, second: Dump, precision: str | None = None, progress: Progress = lambda *_: None
) -> DumpComparison:
    """Compare the tensors of two dumps that have the same names.

    Args:
        first, second: files or folders as in `npswin compare`, or tensors by name.
        precision: in which both were computed; determined for each tensor from its numbers if not given.
        progress: called with the name of the work, how many tensors are done, and how many there are.

    Raises:
        CandidateError: a dump cannot be read, or they have no name in common.
    """
    with ExitStack() as stack:
        one, other = (
            dump if isinstance(dump, Mapping) else stack.enter_context(opened_dump(dump, _EveryName()))
            for dump in (first, second)
        )
        common = in_computation_order([name for name in one if name in other])
        if not common:
            names = [", ".join(map(printable, list(dump)[:3])) or "nothing" for dump in (one, other)]
            origins = [
                title if isinstance(dump, Mapping) else shown_path(dump)
                for title, dump in (("first", first), ("second", second))
            ]
            raise CandidateError(
                f"{origins[0]}: has {names[0]}; {origins[1]}: has {names[1]}; expected dumps with names in common"
            )
        rows: list[DumpRow] = []
        pattern, differed = "", False
        for name in common:
            progress("comparing", len(rows), len(common))
            row, arrays = _row(name, one[name], other[name], precision)
            rows.append(row)
            if arrays is not None and row.verdict in (ROUNDING, DIFFERS) and not differed:
                pattern = random_pattern(*arrays)
            differed = differed or row.verdict != EQUAL
        progress("comparing", len(common), len(common))
        only_first, only_second = (
            [printable(name) for name in dump if name not in rest] for dump, rest in ((one, other), (other, one))
        )
    return DumpComparison(rows, only_first, only_second, pattern)


@np.errstate(all="ignore")
def _row(
    name: str, one: DumpedTensor, other: DumpedTensor, precision: str | None
) -> tuple[DumpRow, tuple[Array, Array] | None]:
    """The result for a tensor, and its numbers in both dumps in float64 or float32."""
    shown = printable(name)
    if not regroups(other.shape, one.shape):
        shapes = [" × ".join(map(str, dump.shape)) or "a single number" for dump in (one, other)]
        return DumpRow(shown, SHAPE, note=f"{shapes[0]} and {shapes[1]}"), None
    try:
        (first, its), (second, others) = numbers_of(one), numbers_of(other)
    except CandidateError as error:
        return DumpRow(shown, UNREADABLE, note=printable(str(error), 400)), None
    second = second.reshape(first.shape)
    coarser = precision or max(its, others, key=PRECISIONS.index)
    found = distance(second, first)
    roundings = found.relative / UNIT_ROUNDOFF[coarser]
    if np.array_equal(first, second, equal_nan=True):
        return DumpRow(shown, EQUAL, coarser, found), (first, second)
    if not found.finite:
        counts = [int((~np.isfinite(array)).sum()) for array in (first, second)]
        note = f"{counts[0]} and {counts[1]} of {first.size} numbers are NaN or infinite"
        return DumpRow(shown, NOT_FINITE, coarser, found, note=note), (first, second)
    allowed = ROUNDINGS_OF_GRADIENTS if name.startswith(GRADIENT_PREFIX) else ROUNDINGS
    return DumpRow(shown, ROUNDING if roundings <= allowed else DIFFERS, coarser, found, roundings), (first, second)


def dumps_table(comparison: DumpComparison) -> str:
    """A line for each tensor."""
    width = max(len(row.name) for row in comparison.rows)
    lines = [f"{'tensor':{width}}  {'max error':>9}  {'relative':>9}  {'cosine':>12}  {'roundings':>9}  verdict"]
    for row in comparison.rows:
        numbers = f"{'':9}  {'':9}  {'':12}  {'':9}"
        if row.distance is not None and row.verdict != NOT_FINITE:
            far = row.distance
            numbers = f"{far.largest:9.2e}  {far.relative:9.2e}  {far.cosine:12.9f}  {row.roundings:9.3g}"
        ending = f" in {row.precision}" if row.verdict == ROUNDING else f": {row.note}" if row.note else ""
        lines.append(f"{row.name:{width}}  {numbers}  {row.verdict}{ending}")
    return "\n".join(lines)


def dumps_summary(comparison: DumpComparison) -> str:
    """A few lines: how many tensors are equal, where the first difference is, and what it looks like."""
    rows = comparison.rows
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in _FINE}
    lines = [
        f"{counts[EQUAL]} of {len(rows)} tensors are equal, {counts[ROUNDING]} differ by what rounding may explain, "
        f"{len(rows) - counts[EQUAL] - counts[ROUNDING]} by more"
    ]
    unequal, different = comparison.first_unequal, comparison.first_beyond_rounding
    if unequal is not None:
        lines.append(f"the first that is not equal is {unequal.name}{_before(unequal, rows)}")
        if unequal.name in SOURCES:
            lines.append("  the two begin with different images: feed both the same")
        elif comparison.random:
            lines.append(f"  {comparison.random}")
    if different is not None and different is not unequal:
        lines.append(f"the first that differs by more than rounding is {different.name}{_before(different, rows)}")
    if unequal is not None and unequal.name not in SOURCES:
        index = rows.index(unequal)
        where = f"between {rows[index - 1].name} and {unequal.name}" if index else f"at {unequal.name} or before"
        lines.append(
            f"if both are runs of one program, something random is left on {where}: switch dropout and drop path off "
            "(in PyTorch module.eval()), and fix the order of sums"
        )
    if comparison.unreadable:
        lines.append(f"could not be read: {join_names([row.name for row in comparison.unreadable])}")
    for names, place in ((comparison.only_in_first, "first"), (comparison.only_in_second, "second")):
        if names:
            lines.append(f"only in the {place} dump: {join_names(names)}")
    return "\n".join(lines)


def _before(row: DumpRow, rows: list[DumpRow]) -> str:
    index = rows.index(row)
    return f"; {rows[index - 1].name} before it is {rows[index - 1].verdict}" if index else ", the first of all"


def dumps_json(comparison: DumpComparison) -> dict[str, Any]:
    """The comparison for a program; numbers that JSON does not have are null."""
    first = {"unequal": comparison.first_unequal, "beyond_rounding": comparison.first_beyond_rounding}
    value: dict[str, Any] = json_value(
        {
            "agrees": comparison.ok,
            "first": {title: None if row is None else row.name for title, row in first.items()},
            "random": comparison.random,
            "only_in_first": comparison.only_in_first,
            "only_in_second": comparison.only_in_second,
            "tensors": [asdict(row) for row in comparison.rows],
        }
    )
    return value
