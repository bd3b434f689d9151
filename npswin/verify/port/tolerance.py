"""The tolerance of a tensor: the largest distance from the key that rounding in the port's precision explains.

The graph is computed several times in the port's precision with random roundings (`npswin.verify.graph.precision`), and
once in float64. A tensor's tolerance is `MARGIN` times the largest distance between these results. It grows with depth
as rounding errors do, is small where an operation only moves numbers, and large behind a cancellation.

The tolerance for a port in float64 is computed in float32 and scaled down, since rounding errors are proportional to
the unit roundoff as long as they are small. Where they are not, because a difference of nearly equal numbers has no
correct digit in float32, the tolerance is one float64 rounding of the numbers that are subtracted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, UNIT_ROUNDOFF, Arithmetic, Graph, Run, storage_roundoff
from npswin.verify.port.distance import finite_rms, relative_and_peak, relative_and_peak_to

MARGIN = 4.0
DRAWS = 4  # runs with random roundings
FEWER_DRAWS = 2
MANY_NUMBERS = 2**22  # of all given tensors: from here on FEWER_DRAWS, as maxima vary less and a run takes longer
LOOSEST = 0.5  # a relative tolerance above which rounding would explain anything
PROPORTIONAL = 0.1  # relative error up to which rounding errors are proportional to the unit roundoff


@dataclass(frozen=True)
class Tolerance:
    """The largest `relative` and `peak` of a `Distance` that rounding explains."""

    relative: float
    peak: float

    def ratio(self, relative: float, peak: float) -> float:
        """A distance divided by the tolerance, the larger of the two quotients; up to 1 the tensors agree."""
        return max(relative / self.relative, peak / self.peak)


class ToleranceEstimator:
    """Computes the tolerances of a graph's tensors, given some of the tensors.

    Args:
        graph: the computation.
        given: tensors from which it starts: the sources alone, or all that a port has.
        precision: the port's.
        stored: by name the precision of a tensor that the port stored in another one.
    """

    def __init__(
        self, graph: Graph, given: Mapping[str, Array], precision: str, stored: Mapping[str, str] | None = None
    ) -> None:
        self.precision, self.stored = precision, stored or {}
        # In float64 the key itself is rounded as much as the port is, hence twice. Beside tensors of a coarser
        # precision the roundings of float64 are drawn as they are, since those of the others cannot be scaled down.
        scaled_down = precision == "float64" and not self.stored
        self.scale = 2.0 if precision == "float64" else 1.0
        self.scale *= UNIT_ROUNDOFF["float64"] / UNIT_ROUNDOFF["float32"] if scaled_down else 1.0
        computed = "float32" if scaled_down else precision
        draws = DRAWS if sum(array.size for array in given.values()) < MANY_NUMBERS else FEWER_DRAWS
        self.runs = [Run(graph, given, Arithmetic(computed, draw), stored) for draw in range(draws)]

    def with_graph(self, graph: Graph, differing: Collection[str]) -> "ToleranceEstimator":
        """The estimator of another graph. It reuses all values but those of the tensors named in `differing`."""
        other = copy(self)
        other.runs = [run.with_graph(graph, differing) for run in self.runs]
        return other

    def tolerance(
        self,
        name: str,
        exact: Array,
        compute: Callable[[Run], Array],
        scale: float = 0.0,
        suffices: Callable[[Tolerance], bool] = lambda _: False,
    ) -> Tolerance:
        """The tolerance of a tensor.

        Args:
            name: the tensor's.
            exact: its value in float64.
            compute: returns its value in a run.
            scale: the largest number that it is computed from.
            suffices: whether the tolerance from the first run is returned, without the other runs.
        """
        rms = finite_rms(exact)
        distances = [relative_and_peak_to(compute(self.runs[0]), exact, rms, scale)]
        first = self._from_distances(distances, name, exact, rms, scale)
        if suffices(first):
            return first
        distances += [relative_and_peak_to(compute(run), exact, rms, scale) for run in self.runs[1:]]
        return self._from_distances(distances, name, exact, rms, scale)

    def _from_distances(
        self, distances: Sequence[tuple[float, float]], name: str, exact: Array, rms: float, scale: float
    ) -> Tolerance:
        """The tolerance of a tensor from its distances in several runs.

        Args:
            distances: the attributes `relative` and `peak` of each.
            name, exact, scale: as in `tolerance`.
            rms: the root mean square of `exact`.
        """
        unit = storage_roundoff(self.stored.get(name, self.precision))
        relative, peak = (max(each) for each in zip(*distances, strict=True))
        least = 0.0
        if self.scale < 1 and relative > PROPORTIONAL and exact.any():
            least = (
                UNIT_ROUNDOFF["float64"] * relative_and_peak(np.full_like(exact, scale), np.zeros_like(exact), 1.0)[0]
            )
            least /= relative_and_peak(exact, np.zeros_like(exact), 1.0)[0]
        relative, peak = max(relative * self.scale, least), max(peak * self.scale, least)
        _, largest = relative_and_peak_to(np.zeros((), exact.dtype), exact, rms)  # whose rounding is allowed too
        return Tolerance(MARGIN * (relative + unit), MARGIN * (peak + unit * largest + unit))


def largest_input_magnitude(run: Run, name: str) -> float:
    """The largest number that a tensor is computed from.

    A rounding error is relative to it where the tensor is 0, or nearly 0, as a difference of equal numbers. For a
    gradient it is the largest incoming gradient, times the largest value if that is above 1: the rounding error of
    exp(x) is up to x times that of x.
    """
    inputs = run.inputs_of(name)
    gradients = [read for read in inputs if read.startswith(GRADIENT_PREFIX)]
    values = [read for read in inputs if not read.startswith(GRADIENT_PREFIX)]
    largest, steepest = (
        max((float(np.abs(_finite(run.value(read))).max(initial=0)) for read in part), default=0.0)
        for part in (gradients, values)
    )
    return largest * max(1.0, steepest) if name.startswith(GRADIENT_PREFIX) else steepest


def _finite(array: Array) -> Array:
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, 0)
