"""How large a difference is still right: what the same computation, in the port's precision, comes to.

The graph is computed in that precision with random roundings (`npswin.verify.graph.precision`), several times, and once
in float64. A tensor's tolerance is `MARGIN` times the largest distance between them: it grows with depth as rounding
does, is small where an operation only moves numbers, and large behind a cancellation. What float64 does is computed in
float32 and scaled, since rounding errors are proportional to the unit roundoff as long as they are small; where they
are not, since float32 leaves nothing of a difference, it is one rounding of the numbers that are subtracted.
"""

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, UNIT_ROUNDOFF, Arithmetic, Graph, Run, unit_of_stored
from npswin.verify.port.measure import spread

MARGIN = 4.0
DRAWS = 4
PROPORTIONAL = 0.1  # of a tensor: up to which rounding errors are proportional to the unit roundoff
LARGE = 2**22  # numbers; the more there are, the less does chance matter, and the longer does a draw take


@dataclass(frozen=True)
class Tolerance:
    """The largest `relative` and `peak` of a `Distance` that rounding explains."""

    relative: float
    peak: float

    def excess(self, relative: float, peak: float) -> float:
        """How many times a distance is the tolerance; up to 1 it agrees."""
        return max(relative / self.relative, peak / self.peak)


class Rounding:
    """The tolerances of a graph's tensors, given some of them.

    Args:
        graph: the computation.
        given: tensors from which it starts: the sources alone, or all that a port has.
        precision: the port's.
        stored: by name the precision of a given tensor that the port kept in a coarser one.
    """

    def __init__(
        self, graph: Graph, given: Mapping[str, Array], precision: str, stored: Mapping[str, str] | None = None
    ) -> None:
        self.precision, self.stored = precision, stored or {}
        # In float64 the key itself is rounded as much as the port is, hence twice.
        self.scale = 2 * UNIT_ROUNDOFF["float64"] / UNIT_ROUNDOFF["float32"] if precision == "float64" else 1.0
        computed = "float32" if precision == "float64" else precision
        draws = DRAWS if sum(array.size for array in given.values()) < LARGE else 2
        self.runs = [Run(graph, given, Arithmetic(computed, draw), stored) for draw in range(draws)]

    def on(self, graph: Graph, differing: Collection[str]) -> "Rounding":
        """Of another graph, which takes over all values but those that are `differing`."""
        rounding = copy(self)
        rounding.runs = [run.on(graph, differing) for run in self.runs]
        return rounding

    def of(
        self, name: str, exact: Array, compute: Callable[[Run], Array], draws: int | None = None, scale: float = 0.0
    ) -> Tolerance:
        """The tolerance of a tensor.

        Args:
            name: the tensor's.
            exact: its exact value.
            compute: gets its value from a run.
            draws: how many runs are made; all if not given.
            scale: the largest number that it is made of.
        """
        found = [spread(compute(run), exact, scale) for run in self.runs[:draws]]
        unit = max(unit_of_stored(self.precision), unit_of_stored(self.stored.get(name, self.precision)))
        relative, peak = (max(each) for each in zip(*found, strict=True))
        least = 0.0
        if self.scale < 1 and relative > PROPORTIONAL and exact.any():
            least = UNIT_ROUNDOFF["float64"] * spread(np.full_like(exact, scale), np.zeros_like(exact), 1.0)[0]
            least /= spread(exact, np.zeros_like(exact), 1.0)[0]
        relative, peak = max(relative * self.scale, least), max(peak * self.scale, least)
        _, top = spread(np.zeros_like(exact), exact)  # of the largest number one rounding
        return Tolerance(MARGIN * (relative + unit), MARGIN * (peak + unit * top + unit))


def largest_input(run: Run, name: str) -> float:
    """What a rounding error of a tensor is relative to where it is 0, or nearly, as a difference of equal numbers.

    That is the largest number that it is made of. Of a gradient it is the largest gradient, times the largest value if
    that is above 1: exp(x) is off by x roundings of x.
    """
    reads = run.reads(name)
    gradients = [read for read in reads if read.startswith(GRADIENT)]
    values = [read for read in reads if not read.startswith(GRADIENT)]
    largest, steepest = (
        max((float(np.abs(_finite(run.value(read))).max(initial=0)) for read in part), default=0.0)
        for part in (gradients, values)
    )
    return largest * max(1.0, steepest) if name.startswith(GRADIENT) else steepest


def _finite(array: Array) -> Array:
    return np.where(np.isfinite(array), array, 0)
