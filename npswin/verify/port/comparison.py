"""A port beside the answer key, tensor by tensor: where an error shows, and where it was born."""

import math
from collections import Counter
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, UNIT_ROUNDOFF, Graph, Node, Run, differing, holds
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace
from npswin.verify.key.trace import Progress
from npswin.verify.port.candidate import PRECISIONS, Candidate
from npswin.verify.port.measure import Distance, distance, spread
from npswin.verify.port.tolerance import MARGIN, Rounding, Tolerance, largest_input

AGREES, INHERITED, BORN = "agrees", "inherited", "BORN HERE"
SHAPE, UNREADABLE, NOT_FINITE = "SHAPE", "UNREADABLE", "NOT FINITE"
SELF_AGREEMENT = {8: 1e-6, 4: 1e-3}  # of a key with itself, by the bytes of its numbers: what is beyond is damage
COMMON = 0.1  # of a port's tensors have to be in a precision for it to be the port's

MOST_MEANT = 50  # unknown names for which a known one is looked for
FAR = 30.0  # times the tolerance of a single draw: so much do draws not differ
TELLING = 16  # different numbers in a tensor


@dataclass(frozen=True)
class Row:
    """One tensor of the port.

    Attributes:
        name: as in the key.
        verdict: "agrees"; "inherited": wrong, though the operation makes it of the port's own inputs; "BORN HERE": the
            operation makes something else of the port's own inputs; "SHAPE", "UNREADABLE", "NOT FINITE".
        found: its distance from the key.
        tolerance: of that distance.
        local: its distance from what the operation makes of the port's own inputs.
        local_tolerance: of that.
        note: what is wrong, where numbers do not say it.
        taken: whether it is the key's, though the port's own inputs make another.
    """

    name: str
    verdict: str
    found: Distance | None = None
    tolerance: Tolerance | None = None
    local: Distance | None = None
    local_tolerance: Tolerance | None = None
    note: str = ""
    taken: bool = False

    @property
    def ok(self) -> bool:
        """Whether it agrees with the key, and with its own inputs."""
        return self.verdict == AGREES

    @property
    def born(self) -> bool:
        """Whether something goes wrong here that went right before."""
        return self.verdict not in (AGREES, INHERITED)


@dataclass
class Comparison:
    """All rows in order of computation, the backward pass after the forward pass.

    Attributes:
        rows: one for each tensor that the port has.
        precision: the port's.
        not_dumped: how many of the key's tensors the port does not have.
        unknown: names that the key does not have, each with the name that may be meant, or "".
        lacks_gradients: whether some of these are gradients, and the key has none.
        of_another_key: whether the port's image has another size than the key's.
        computed: how many of the rows are something that the port computed: not weights, labels or pixels.
    """

    rows: list[Row]
    precision: str
    not_dumped: int
    unknown: dict[str, str] = field(default_factory=dict)
    lacks_gradients: bool = False
    of_another_key: bool = False
    computed: int = 1

    @property
    def ok(self) -> bool:
        """Whether all agree; what the key does not know cannot, and weights alone are no computation."""
        return not self.unknown and self.computed > 0 and all(row.ok for row in self.rows)

    @property
    def unread(self) -> list[Row]:
        """The rows of what could not be read."""
        return [row for row in self.rows if row.verdict == UNREADABLE]

    def __str__(self) -> str:
        from npswin.verify.port.report import comparison_summary, comparison_table

        return f"{comparison_table(self)}\n\n{comparison_summary(self)}"

    def half(self, backward: bool) -> list[Row]:
        """The rows of one pass."""
        return [row for row in self.rows if row.name.startswith(GRADIENT) is backward]

    def first(self, backward: bool = False) -> Row | None:
        """The first row of a pass that does not agree."""
        return next((row for row in self.half(backward) if not row.ok), None)

    def births(self) -> list[Row]:
        """The rows where something goes wrong by itself."""
        return [row for row in self.rows if row.born]


class Comparer:
    """A key and a candidate, with what they share among several comparisons.

    Args:
        key: the answer key, or the trace of which one would be made.
        candidate: the port's tensors.
        precision: the port's, where its numbers do not tell.

    Raises:
        AnswerKeyError: the key is not what its own sources come to.
    """

    def __init__(self, key: AnswerKey | Trace, candidate: Candidate, precision: str | None = None) -> None:
        self.key, self.candidate = key, candidate
        self.sources = key.sources
        self.exact = Run(key.graph, self.sources)
        found, self.coarser = self._precisions()
        self.precision = precision or found
        self.reference = Rounding(key.graph, self.sources, self.precision)
        # What comes after a tensor of a coarser precision is as coarse, if it was computed from it.
        self.coarse = Rounding(key.graph, self.sources, self.precision, self.coarser) if self.coarser else None
        self.tolerances: dict[str, Tolerance] = {}
        # Labels and pixels are whole numbers: what a dump in floats has of them is compared, not computed with.
        dumped = {name: array for name, array in candidate.tensors.items() if name not in ("labels", "pixels")}
        self.given = self.sources | dumped
        self.start = self.local(key.graph, self.given)  # each operation, as it should be, on the port's own inputs
        self.order = [name for name in key.shapes if self._dumped(name)]
        self.not_dumped = sum(name not in self.sources and not self._dumped(name) for name in key.shapes)

    def _dumped(self, name: str) -> bool:
        candidate = self.candidate
        return name in candidate.tensors or name in candidate.misshapen or name in candidate.unreadable

    def _precisions(self) -> tuple[str, dict[str, str]]:
        """In which the port computes, and the tensors that it kept in a coarser one.

        A tensor tells by the coarsest precision that its numbers fit into, if the right ones would not, as those of a
        mask do; whole numbers and a few numbers tell nothing. The port's is the coarsest of a tenth of its tensors.
        """
        dumped = {**self.candidate.tensors, **self.candidate.misshapen}
        telling: dict[str, str] = {}
        for name, array in dumped.items():
            stored = self.candidate.stored[name]
            whole = np.array_equal(array, np.rint(array))
            if name in self.sources or whole or len(np.unique(array)) < TELLING:
                continue
            if stored == "float64" or not holds(stored, self.exact.value(name)):
                telling[name] = stored
        counts = Counter(telling.values())
        common = [precision for precision in counts if counts[precision] >= COMMON * len(telling)]
        own = max(common, key=PRECISIONS.index, default="float32")
        coarser = {name: one for name, one in telling.items() if PRECISIONS.index(one) > PRECISIONS.index(own)}
        return own, coarser

    def compare(self, progress: Progress = lambda *_: None) -> Comparison:
        """Every tensor beside the key, and beside what its own inputs come to; `progress` is told what, and how far."""
        rows: list[Row] = []
        for name in self.order:
            progress("comparing", len(rows), len(self.order))
            rows.append(self.row(name))
        progress("comparing", len(self.order), len(self.order))
        unknown = {name: self.meant(name) for name in self.candidate.unknown[:MOST_MEANT]}
        unknown |= dict.fromkeys(self.candidate.unknown[MOST_MEANT:], "")
        gradients = any(name.startswith(GRADIENT) for name in self.key.shapes)
        lacking = not gradients and any(name.startswith(GRADIENT) for name in unknown)
        computed = sum(name not in self.sources for name in self.order)
        return Comparison(rows, self.precision, self.not_dumped, unknown, lacking, self.of_another_key(), computed)

    def meant(self, unknown: str) -> str:
        """The name of the same pass that may be meant by one that the key does not have, or ""."""
        gradient = unknown.startswith(GRADIENT)
        names = [name for name in self.key.shapes if name.startswith(GRADIENT) == gradient and not self._dumped(name)]
        return next(iter(get_close_matches(unknown, names, 1)), "")

    def local(self, graph: Graph, given: Mapping[str, Array]) -> "Local":
        """Each operation of a graph on the port's own inputs."""
        return Local(graph, given, self.precision, self.coarser)

    def row(self, name: str) -> Row:
        """One tensor beside the key, and beside what its own inputs come to."""
        if name in self.candidate.unreadable:
            return Row(name, UNREADABLE, note=self.candidate.unreadable[name])
        if name in self.candidate.misshapen:
            shape, wanted = self.candidate.misshapen[name].shape, self.key.shapes[name]
            axes = self.key.graph.nodes[name.removeprefix(GRADIENT)].axes
            return Row(name, SHAPE, note=f"shape {_shape(shape)}, the key has {_shape(wanted)}: {axes}")
        array = self.candidate.tensors[name]
        whole, tolerance = self.standard(name)
        self.check(name, whole)
        if name in self.coarser:  # it was rounded once more
            unit = MARGIN * UNIT_ROUNDOFF[self.coarser[name]]
            tolerance = Tolerance(
                tolerance.relative + unit, tolerance.peak + unit * spread(np.zeros_like(whole), whole)[1]
            )
        found = distance(array, whole, self.scale(name))
        born = self.start.born(name, array)
        if not np.isfinite(array).all() and not found.finite:
            lost = np.argwhere(~np.isfinite(array))
            place = ", ".join(map(str, lost[0]))
            note = f"{len(lost)} of {array.size} numbers are NaN or infinite, the first at ({place})"
            own = self.start.exact_of(name)
            inherited = own is not None and _lost_at(array) == _lost_at(own) != b""
            return Row(name, INHERITED if inherited else NOT_FINITE, found, tolerance, note=note)
        agrees = tolerance.excess(found.relative, found.peak) <= 1
        if not agrees and self.coarse is not None and born is not None and not born.wrong:
            tolerance = self.coarse.of(name, whole, lambda run: run.value(name))
            agrees = tolerance.excess(found.relative, found.peak) <= 1
        if agrees and born is not None and born.wrong and self.is_the_keys(name, array):
            return Row(
                name,
                AGREES,
                found,
                tolerance,
                note="taken from the key: the port's own inputs make another",
                taken=True,
            )
        if born is not None and born.wrong:
            verdict = BORN
        elif agrees:
            verdict = AGREES
        else:
            verdict = INHERITED if born is not None else BORN
        return Row(
            name,
            verdict,
            found,
            tolerance,
            None if born is None else born.distance,
            None if born is None else born.tolerance,
        )

    def standard(self, name: str) -> tuple[Array, Tolerance]:
        """The tensor as the key's sources come to, and its tolerance in the port's precision."""
        whole = self.exact.value(name)
        if name not in self.tolerances:
            compute, scale = lambda run: run.value(name), self.scale(name)
            self.tolerances[name] = self.reference.of(name, whole, compute, scale=scale)
        return whole, self.tolerances[name]

    def scale(self, name: str) -> float:
        """The largest number that a tensor is made of."""
        return 0.0 if name in self.sources else largest_input(self.exact, name)

    def is_standard(self, name: str, array: Array) -> bool:
        """Whether an array is the key's tensor of this name."""
        whole, tolerance = self.standard(name)
        return array.shape == whole.shape and tolerance.excess(*spread(array, whole)) <= 1

    def of_another_key(self) -> bool:
        """Whether the port's image has another size than the key's: then nothing can be compared."""
        misshapen, shapes = self.candidate.misshapen, self.key.shapes
        images = [name for name in ("pixels", "input") if name in misshapen]
        return any(misshapen[name].size != math.prod(shapes[name]) for name in images) and not any(
            name in self.candidate.tensors for name in ("layers.0.blocks.0", "patch_embed.proj", "patch_embed.norm")
        )

    def is_the_keys(self, name: str, array: Array) -> bool:
        """Whether the port has the right tensor though its own inputs make a wrong one: then it took the key's, as a
        port of a single block does with what the block starts from."""
        whole, tolerance = self.standard(name)
        own = self.start.exact_of(name)
        if own is None or own.shape != whole.shape or array.shape != whole.shape:
            return False
        return tolerance.excess(*spread(array, whole)) <= 1 < tolerance.excess(*spread(own, whole))

    def check(self, name: str, whole: Array) -> None:
        """Raise an AnswerKeyError unless the key's numbers are what its own weights and images come to."""
        if name not in self.key:
            return
        stored, positions = self.key[name], self.key.positions(name)
        if positions is not None:
            whole = whole.reshape(-1)[positions]
        far = stored.shape != whole.shape or spread(stored, whole)[0] > SELF_AGREEMENT.get(stored.itemsize, 0.0)
        if far and stored.dtype == np.float32 and stored.shape == whole.shape:  # behind a cancellation it may be
            own = Rounding(self.key.graph, self.sources, "float32")
            allowed = own.of(name, self.exact.value(name), lambda run: run.value(name))
            far = allowed.excess(*spread(stored, whole)) > 1
        if far and name not in self.sources:
            raise AnswerKeyError(
                f"{name} is not what the key's own weights and images come to: its files are damaged, or of two keys"
            )


@dataclass(frozen=True)
class Birth:
    """Whether a tensor is what its operation makes of the port's own inputs."""

    distance: Distance
    tolerance: Tolerance

    @property
    def excess(self) -> float:
        """How many times the distance is the tolerance."""
        return self.tolerance.excess(self.distance.relative, self.distance.peak)

    @property
    def wrong(self) -> bool:
        """Whether it is more than rounding explains."""
        return not self.excess <= 1


class Local:
    """Each operation run on the port's own inputs."""

    def __init__(
        self, graph: Graph, given: Mapping[str, Array], precision: str, stored: Mapping[str, str] | None = None
    ) -> None:
        self.exact = Run(graph, given)
        self.rounding = Rounding(graph, given, precision, stored)
        self.births: dict[str, tuple[Array, Birth | None]] = {}  # what was asked for before

    def replaced(self, changes: Mapping[str, Node]) -> "Local":
        """With some nodes of the graph made otherwise; what does not depend on these is not computed again."""
        graph, local = self.exact.graph.replaced(changes), copy(self)
        other = differing(self.exact.graph, graph, self.exact.given)
        local.exact, local.rounding = self.exact.on(graph, other), self.rounding.on(graph, other)
        local.births = {name: birth for name, birth in self.births.items() if name not in other}
        return local

    def exact_of(self, name: str) -> Array | None:
        """What the operation makes of the port's inputs; None for a source."""
        inner = name.removeprefix(GRADIENT)
        if inner == name and self.exact.graph.nodes[name].operation is None:
            return None
        with np.errstate(all="ignore"):
            return self.exact.predicted(name)

    def born(self, name: str, array: Array) -> Birth | None:
        """The tensor beside what it should be, given the port's own inputs; None for a source."""
        known = self.births.get(name)
        if known is None or known[0] is not array:
            known = self.births[name] = array, self._born(name, array)
        return known[1]

    def _born(self, name: str, array: Array) -> Birth | None:
        expected = self.exact_of(name)
        if expected is None:
            return None
        if expected.shape != array.shape:
            if expected.size != array.size:
                return Birth(Distance(np.inf, np.inf, np.inf, np.nan, (), np.nan, np.nan), Tolerance(1.0, 1.0))
            array = array.reshape(expected.shape)
        scale = largest_input(self.exact, name)
        found = distance(array, expected, scale)
        for draws in (1, None):  # what is far beyond the first tolerance is beyond the second, which takes longer
            with np.errstate(all="ignore"):
                tolerance = self.rounding.of(name, expected, lambda run: run.predicted(name), draws, scale)
            if tolerance.excess(found.relative, found.peak) > FAR:
                break
        return Birth(found, tolerance)


def _lost_at(array: Array) -> bytes:
    """Where an array has NaN, or which infinity; empty if it has neither."""
    lost = np.where(np.isnan(array), 2, np.where(np.isinf(array), np.sign(array), 0)).astype(np.int8)
    return lost.tobytes() if lost.any() else b""


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "()"
