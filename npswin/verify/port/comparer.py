"""Compares a port with the answer key, tensor by tensor, and finds the tensors that are wrong by themselves."""

import math
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np

from npswin.checks import shown
from npswin.files import shown_path
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, UNIT_ROUNDOFF, Graph, Run, is_representable_in
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace
from npswin.verify.key.trace import Progress
from npswin.verify.port.candidate import PRECISIONS, Candidate
from npswin.verify.port.comparison import AGREES, INHERITED, NOT_FINITE, SHAPE, UNREADABLE, WRONG_HERE, Comparison, Row
from npswin.verify.port.distance import Distance, distance, relative_and_peak
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.tolerance import MARGIN, Tolerance, ToleranceEstimator, largest_input_magnitude

# The largest relative error of a key's numbers, by their bytes, against the key's own weights; above, it is damaged.
KEY_ERROR = {8: 1e-6, 4: 1e-3}
COMMON = 0.1  # share of a port's tensors that have to be in a precision for it to be the port's
MOST_SIMILAR_NAMES = 50  # unknown names for which a similar one is looked for
DISTINCT_NUMBERS = 16  # that a tensor needs for its precision to be determined


class Comparer:
    """A key and a candidate, with the values that several comparisons share.

    Args:
        key: the answer key, or the trace of which one would be made.
        candidate: the port's tensors.
        precision: the port's; determined from its numbers if not given.

    Raises:
        AnswerKeyError: a tensor of the key is not what its weights and images lead to.
    """

    @np.errstate(all="ignore")  # a key's or a port's numbers may be of any size
    def __init__(self, key: AnswerKey | Trace, candidate: Candidate, precision: str | None = None) -> None:
        self.key, self.candidate = key, candidate
        self.sources, self.shapes = key.sources, key.shapes
        self.exact = Run(key.graph, self.sources)
        self._check_shapes()
        found, self.coarser = self._precisions()
        self.precision = precision or found
        self.estimator = ToleranceEstimator(key.graph, self.sources, self.precision)
        # The tolerances for tensors that were computed from one of a coarser precision.
        self.coarse_estimator = (
            ToleranceEstimator(key.graph, self.sources, self.precision, self.coarser) if self.coarser else None
        )
        # They depend on the key and the precision alone, so that all comparisons with one key share them.
        self.tolerances: dict[str, Tolerance] = key.tolerances.setdefault(self.precision, {})
        # Labels and pixels in a dump are compared but not computed with: a dump may hold them as floats.
        dumped = {name: array for name, array in candidate.tensors.items() if name not in ("labels", "pixels")}
        self.given = self.sources | dumped
        self.local_errors = self.local_errors_of(key.graph, self.given)
        self.order = [name for name in self.shapes if self._dumped(name)]
        self.not_dumped = sum(name not in self.sources and not self._dumped(name) for name in self.shapes)

    def _check_shapes(self) -> None:
        """Raise an AnswerKeyError unless the tensors of the dump have the shape in the key that the key says."""
        for name in self.shapes:
            if self._dumped(name):
                shape = self.exact.value(name).shape
                if shape != self.shapes[name]:
                    raise AnswerKeyError(
                        f"{self._key_path()}{name} has shape {shown(self.shapes[name])} in the manifest, "
                        f"its operation gives {shown(shape)}"
                    )

    def _key_path(self) -> str:
        return f"{shown_path(self.key.folder)}: " if isinstance(self.key, AnswerKey) else ""

    def _dumped(self, name: str) -> bool:
        candidate = self.candidate
        return name in candidate.tensors or name in candidate.misshapen or name in candidate.unreadable

    def _precisions(self) -> tuple[str, dict[str, str]]:
        """The port's precision, and by name the precision of tensors that it stored in a coarser one.

        The precision of a tensor is the coarsest one that represents its numbers exactly. It is not determined for
        sources, for whole numbers, for a tensor of few different numbers, and where that precision represents the key's
        tensor as well, as it does a mask's. The port's precision is the coarsest one of a tenth of its tensors.
        """
        dumped = {**self.candidate.tensors, **self.candidate.misshapen}
        determined: dict[str, str] = {}
        for name, array in dumped.items():
            stored = self.candidate.stored[name]
            whole = np.array_equal(array, np.rint(array))
            if name in self.sources or whole or len(np.unique(array)) < DISTINCT_NUMBERS:
                continue
            if stored == "float64" or not is_representable_in(stored, self.exact.value(name)):
                determined[name] = stored
        counts = Counter(determined.values())
        common = [precision for precision in counts if counts[precision] >= COMMON * len(determined)]
        own = max(common, key=PRECISIONS.index, default="float32")
        coarser = {name: one for name, one in determined.items() if PRECISIONS.index(one) > PRECISIONS.index(own)}
        return own, coarser

    @np.errstate(all="ignore")
    def compare(self, progress: Progress = lambda *_: None) -> Comparison:
        """Compare every tensor with the key and with its operation's result on the port's own inputs.

        Args:
            progress: called with the name of the work, how many tensors are done, and how many there are.
        """
        rows: list[Row] = []
        for name in self.order:
            progress("comparing", len(rows), len(self.order))
            rows.append(self.row(name))
        progress("comparing", len(self.order), len(self.order))
        unknown = {name: self.similar_name(name) for name in self.candidate.unknown[:MOST_SIMILAR_NAMES]}
        unknown |= dict.fromkeys(self.candidate.unknown[MOST_SIMILAR_NAMES:], "")
        key_has_gradients = any(name.startswith(GRADIENT_PREFIX) for name in self.shapes)
        lacking = not key_has_gradients and any(name.startswith(GRADIENT_PREFIX) for name in unknown)
        computed = sum(name not in self.sources for name in self.order)
        return Comparison(rows, self.precision, self.not_dumped, unknown, lacking, self.of_another_key(), computed)

    def similar_name(self, unknown: str) -> str:
        """The most similar name of the same pass that the key has and the port does not, or ""."""
        gradient = unknown.startswith(GRADIENT_PREFIX)
        names = [
            name for name in self.shapes if name.startswith(GRADIENT_PREFIX) == gradient and not self._dumped(name)
        ]
        return next(iter(get_close_matches(unknown, names, 1)), "")

    def local_errors_of(self, graph: Graph, given: Mapping[str, Array]) -> LocalErrors:
        """The local errors of a graph's operations, given the port's tensors."""
        return LocalErrors(graph, given, self.precision, self.coarser)

    def row(self, name: str) -> Row:
        """The result for one tensor."""
        if name in self.candidate.unreadable:
            return Row(name, UNREADABLE, note=self.candidate.unreadable[name])
        if name in self.candidate.misshapen:
            shape, wanted = self.candidate.misshapen[name].shape, self.shapes[name]
            axes = self.key.graph.nodes[name.removeprefix(GRADIENT_PREFIX)].axes
            return Row(name, SHAPE, note=f"shape {_shape_text(shape)}, the key has {_shape_text(wanted)}: {axes}")
        array = self.candidate.tensors[name]
        right, tolerance = self.reference(name)
        self.check_key(name, right)
        if name in self.coarser:
            tolerance = self._with_storage_rounding(tolerance, name, right)
        found = distance(array, right, self.scale(name))
        local = self.local_errors.error(name, array)
        if not np.isfinite(array).all() and not found.finite:
            return self._not_finite_row(name, array, found, tolerance)
        agrees = tolerance.ratio(found.relative, found.peak) <= 1
        if not agrees and self.coarse_estimator is not None and local is not None and not local.is_significant:
            tolerance = self.coarse_estimator.tolerance(name, right, lambda run: run.value(name))
            agrees = tolerance.ratio(found.relative, found.peak) <= 1
        if agrees and local is not None and local.is_significant and self.is_copied_from_key(name, array):
            note = "taken from the key: on the port's own inputs the operation gives another result"
            return Row(name, AGREES, found, tolerance, note=note, copied_from_key=True)
        if local is not None and local.is_significant:
            verdict = WRONG_HERE
        elif agrees:
            verdict = AGREES
        else:
            verdict = INHERITED if local is not None else WRONG_HERE
        local_distance, local_tolerance = (None, None) if local is None else (local.distance, local.tolerance)
        return Row(name, verdict, found, tolerance, local_distance, local_tolerance)

    def _with_storage_rounding(self, tolerance: Tolerance, name: str, right: Array) -> Tolerance:
        """The tolerance of a tensor that was rounded once more, to a coarser precision."""
        unit = MARGIN * UNIT_ROUNDOFF[self.coarser[name]]
        largest = relative_and_peak(np.zeros_like(right), right)[1]
        return Tolerance(tolerance.relative + unit, tolerance.peak + unit * largest)

    def _not_finite_row(self, name: str, array: Array, found: Distance, tolerance: Tolerance) -> Row:
        indices = np.argwhere(~np.isfinite(array))
        first = ", ".join(map(str, indices[0]))
        note = f"{len(indices)} of {array.size} numbers are NaN or infinite, the first at ({first})"
        expected = self.local_errors.expected(name)
        inherited = expected is not None and _non_finite_pattern(array) == _non_finite_pattern(expected) != b""
        return Row(name, INHERITED if inherited else NOT_FINITE, found, tolerance, note=note)

    def reference(self, name: str) -> tuple[Array, Tolerance]:
        """The tensor computed in float64 from the key's sources, and its tolerance in the port's precision."""
        right = self.exact.value(name)
        if name not in self.tolerances:
            scale = self.scale(name)
            self.tolerances[name] = self.estimator.tolerance(name, right, lambda run: run.value(name), scale=scale)
        return right, self.tolerances[name]

    def scale(self, name: str) -> float:
        """The largest number that a tensor is computed from; 0 for a source."""
        return 0.0 if name in self.sources else largest_input_magnitude(self.exact, name)

    def agrees_with_key(self, name: str, array: Array) -> bool:
        """Whether an array is the key's tensor of this name."""
        right, tolerance = self.reference(name)
        return array.shape == right.shape and tolerance.ratio(*relative_and_peak(array, right)) <= 1

    def of_another_key(self) -> bool:
        """Whether the port's image has another size than the key's: then nothing can be compared."""
        misshapen, shapes = self.candidate.misshapen, self.shapes
        images = [name for name in ("pixels", "input") if name in misshapen]
        return any(misshapen[name].size != math.prod(shapes[name]) for name in images) and not any(
            name in self.candidate.tensors for name in ("layers.0.blocks.0", "patch_embed.proj", "patch_embed.norm")
        )

    def is_copied_from_key(self, name: str, array: Array) -> bool:
        """Whether a tensor agrees with the key though its operation's result on the port's own inputs does not.

        A port of a single block has such tensors: the block's input is the key's.
        """
        right, tolerance = self.reference(name)
        expected = self.local_errors.expected(name)
        if expected is None or expected.shape != right.shape or array.shape != right.shape:
            return False
        ratio = tolerance.ratio(*relative_and_peak(array, right))
        return ratio <= 1 < tolerance.ratio(*relative_and_peak(expected, right))

    def check_key(self, name: str, right: Array) -> None:
        """Raise an AnswerKeyError unless the key's tensor follows from its own weights and images.

        Args:
            name: of the tensor.
            right: the tensor computed from the key's sources.
        """
        if name not in self.key:
            return
        stored, positions = self.key[name], self.key.positions(name)
        if positions is not None:
            right = right.reshape(-1)[positions]
        far = stored.shape != right.shape or relative_and_peak(stored, right)[0] > KEY_ERROR.get(stored.itemsize, 0.0)
        if far and stored.dtype == np.float32 and stored.shape == right.shape:  # allowed behind a cancellation
            estimator = ToleranceEstimator(self.key.graph, self.sources, "float32")
            allowed = estimator.tolerance(name, self.exact.value(name), lambda run: run.value(name))
            far = not allowed.ratio(*relative_and_peak(stored, right)) <= 1
        if far and name not in self.sources:
            raise AnswerKeyError(
                f"{self._key_path()}{name} does not follow from the key's own weights and images: "
                "its files are damaged, or of two keys"
            )


def _non_finite_pattern(array: Array) -> bytes:
    """Where an array has NaN, or which infinity; empty if it has neither."""
    pattern = np.where(np.isnan(array), 2, np.where(np.isinf(array), np.sign(array), 0)).astype(np.int8)
    return pattern.tobytes() if pattern.any() else b""


def _shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "()"
