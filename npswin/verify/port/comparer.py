"""Compares a port with the answer key, tensor by tensor, and finds the tensors that are wrong by themselves."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from npswin.checks import shown
from npswin.files import shown_path
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, UNIT_ROUNDOFF, Graph, Run, storage_roundoff
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace
from npswin.verify.key.trace import Progress
from npswin.verify.port.candidate import Candidate
from npswin.verify.port.comparison import AGREES, INHERITED, NOT_FINITE, UNREADABLE, WRONG_HERE, Comparison, Row
from npswin.verify.port.distance import distance, relative_and_peak
from npswin.verify.port.dumped_inputs import DumpedInputs
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.missing_gradients import missing_gradients
from npswin.verify.port.reasons import Reasons
from npswin.verify.port.similar_names import similar_name
from npswin.verify.port.tensor_precision import computed_with, tensor_precisions
from npswin.verify.port.tolerance import MARGIN, Tolerance, ToleranceEstimator, largest_input_magnitude
from npswin.verify.port.unjudged_rows import non_finite_row, shape_row

# The largest relative error of a key's numbers, by their bytes, against the key's own weights; above, it is damaged.
KEY_ERROR = {8: 1e-6, 4: 1e-3}
MOST_SIMILAR_NAMES = 50  # unknown names for which a similar one is looked for


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
        self.precisions = tensor_precisions(candidate, key.graph, self.exact.value)
        self.precision = precision or self.precisions.port
        self.estimator = ToleranceEstimator(key.graph, self.sources, self.precision)
        # They depend on the key and the precision alone, so that all comparisons with one key share them.
        self.tolerances: dict[str, Tolerance] = key.tolerances.setdefault(self.precision, {})
        # Labels and pixels in a dump are compared but not computed with: a dump may hold them as floats.
        dumped = {name: array for name, array in candidate.tensors.items() if name not in ("labels", "pixels")}
        self.given = self.sources | dumped
        self.order = [name for name in self.shapes if self._dumped(name)]
        self.not_dumped = sum(name not in self.sources and not self._dumped(name) for name in self.shapes)
        self.inputs = DumpedInputs(self.exact, set(self.order))
        self.of_another_size = [
            name
            for name in self.order
            if name in candidate.misshapen and candidate.misshapen[name].size != math.prod(self.shapes[name])
        ]
        coarser = {} if precision else self.precisions.coarser()
        self.computed_coarser = computed_with(coarser, self.order, self.inputs, candidate, self._errors_of)
        # By name the precision of tensors that are judged in another one than the port's.
        self.stored = {name: one for name, one in coarser.items() if name not in self.computed_coarser}
        self.stored |= {} if precision else self.precisions.finer(key.graph)
        self.local_errors = self.local_errors_of(key.graph, self.given)
        self.reasons = self._new_reasons()

    def _new_reasons(self) -> Reasons:
        names = self.candidate.dumped_as
        return Reasons(self.local_errors, self.inputs, self.precisions, self.precision, self.computed_coarser, names)

    def _errors_of(self, stored: Mapping[str, str]) -> LocalErrors:
        return LocalErrors(self.key.graph, self.given, self.precision, stored)

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

    @np.errstate(all="ignore")
    def compare(self, progress: Progress = lambda *_: None) -> Comparison:
        """Compare every tensor with the key and with its operation's result on the port's own inputs.

        Args:
            progress: called with the name of the work, how many tensors are done, and how many there are.
        """
        rows: list[Row] = []
        reached_by_nan, self.reasons = "", self._new_reasons()
        for name in self.order:
            progress("comparing", len(rows), len(self.order))
            row = self.row(name)
            if row.verdict == NOT_FINITE:
                reached_by_nan = reached_by_nan or name
            elif row.verdict == INHERITED and row.distance is not None and not row.distance.finite:
                row = replace(row, origin=row.origin or reached_by_nan)
            rows.append(row)
        progress("comparing", len(self.order), len(self.order))
        unknown = {name: self.similar_name(name) for name in self.candidate.unknown[:MOST_SIMILAR_NAMES]}
        unknown |= dict.fromkeys(self.candidate.unknown[MOST_SIMILAR_NAMES:], "")
        key_has_gradients = any(name.startswith(GRADIENT_PREFIX) for name in self.shapes)
        lacking = not key_has_gradients and any(name.startswith(GRADIENT_PREFIX) for name in unknown)
        computed = sum(name not in self.sources for name in self.order)
        shown_precisions = {**self.precisions.of_sources, **self.precisions.of_tensors}
        others = {name: one for name, one in shown_precisions.items() if self._is_of_another_precision(name)}
        missing = missing_gradients(self.key.graph, self.shapes, self.order) if key_has_gradients else ""
        return Comparison(
            rows, self.precision, self.not_dumped, unknown, lacking, self.of_another_key(), computed, others,
            missing_gradients=missing,
        )  # fmt: skip

    def _is_of_another_precision(self, name: str) -> bool:
        """Whether a tensor holds coarser numbers than the port computes with, or is judged in a finer precision."""
        own = storage_roundoff(self.precision)
        return name in self.stored or storage_roundoff(self.precisions.of(name, self.precision)) > own

    def similar_name(self, unknown: str) -> str:
        """The most similar name of the key, or ""."""
        return similar_name(unknown, self.shapes)

    def local_errors_of(self, graph: Graph, given: Mapping[str, Array]) -> LocalErrors:
        """The local errors of a graph's operations, given the port's tensors."""
        return LocalErrors(graph, given, self.precision, self.stored)

    def row(self, name: str) -> Row:
        """The result for one tensor."""
        if name in self.candidate.unreadable:
            return Row(name, UNREADABLE, note=self.candidate.unreadable[name])
        origin = self.of_another_size[0] if self.follows_from_another_size(name) else ""
        if name in self.candidate.misshapen:
            return shape_row(name, self.candidate.misshapen[name].shape, self.shapes[name], self.key.graph, origin)
        array = self.candidate.tensors[name]
        right, tolerance = self.reference(name)
        self.check_key(name, right)
        coarse = self.reasons.holds(name) if name in self.stored else ""
        if coarse:
            tolerance = self._with_storage_rounding(tolerance, name, right)
        found = distance(array, right, self.scale(name))
        local = self.local_errors.error(name, array)
        if not np.isfinite(array).all() and not found.finite:
            row = non_finite_row(name, array, self.local_errors.expected(name), found, tolerance)
            why = self.reasons.text(name, array) if row.verdict == NOT_FINITE else ""
            return replace(row, note=f"{row.note}{why and f'; {why}'}")
        agrees = tolerance.ratio(found.relative, found.peak) <= 1
        if local is None or not local.is_significant:
            verdict = AGREES if agrees else INHERITED if local is not None else WRONG_HERE
            local_distance, local_tolerance = (None, None) if local is None else (local.distance, local.tolerance)
            note = self.reasons.text(name, array) if verdict == WRONG_HERE else coarse
            return Row(name, verdict, found, tolerance, local_distance, local_tolerance, note)
        if agrees and self.is_copied_from_key(name, array):
            note = "taken from the key: on the port's own inputs the operation gives another result"
            return Row(name, AGREES, found, tolerance, note=note, copied_from_key=True)
        if origin:
            note = f"follows from the shape of {origin}"
            return Row(name, INHERITED, found, tolerance, local.distance, local.tolerance, note, origin=origin)
        return Row(name, WRONG_HERE, found, tolerance, local.distance, local.tolerance, self.reasons.text(name, array))

    def follows_from_another_size(self, name: str) -> bool:
        """Whether a tensor is computed from one of another size than the key's, so that it cannot be judged."""
        inner = name.removeprefix(GRADIENT_PREFIX)
        if not self.of_another_size:
            return False
        own = inner != name and inner in self.of_another_size
        return own or not set(self.of_another_size).isdisjoint(self.inputs.dumped(name))

    def _with_storage_rounding(self, tolerance: Tolerance, name: str, right: Array) -> Tolerance:
        """The tolerance of a tensor that was rounded once more, to a coarser precision."""
        unit = MARGIN * UNIT_ROUNDOFF[self.stored[name]]
        largest = relative_and_peak(np.zeros_like(right), right)[1]
        return Tolerance(tolerance.relative + unit, tolerance.peak + unit * largest)

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
