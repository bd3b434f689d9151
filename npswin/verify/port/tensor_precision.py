"""In which precision a port computes, and which of its tensors hold numbers of another one.

The precision of a tensor is the coarsest that represents its numbers exactly. A port's own precision is that of most
of its matrix products: under autocast norms and softmax are finer, and a norm in half precision within a float32 port
is coarser. A tensor is judged in its own precision, and does not change in which the others are judged.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, is_representable_in
from npswin.verify.port.candidate import PRECISIONS, Candidate
from npswin.verify.port.dumped_inputs import DumpedInputs
from npswin.verify.port.local_error import LocalErrors

ENOUGH_NUMBERS = 4  # different ones; that they all fit into 16 bits by chance has the probability of 2^-13 for each
ENOUGH_PRODUCTS = 3  # dumped results of matrix products whose precision is the port's
LONGEST_SAMPLE = 65_536  # numbers of a tensor that are looked at
SIXTEEN_BITS = ("float16", "bfloat16")


@dataclass(frozen=True)
class TensorPrecisions:
    """The precisions of a port's tensors.

    Attributes:
        port: the precision in which most of it is computed.
        of_tensors: by name the precision of each computed tensor whose numbers show it.
        of_sources: likewise of the dumped weights and images, which do not show in what the port computes.
    """

    port: str
    of_tensors: Mapping[str, str] = field(default_factory=dict)
    of_sources: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str, otherwise: str) -> str:
        """The precision of a tensor, or `otherwise` if its numbers do not show one."""
        return self.of_tensors.get(name) or self.of_sources.get(name) or otherwise

    def coarser(self) -> dict[str, str]:
        """The tensors that hold numbers of a coarser precision than the port's."""
        own = PRECISIONS.index(self.port)
        return {name: one for name, one in self.of_tensors.items() if PRECISIONS.index(one) > own}

    def finer(self, graph: Graph) -> dict[str, str]:
        """The activations of a port in 16 bits that were computed in float32, as norms are under autocast.

        A product's factors were rounded all the same, and a gradient may be a sum of products.
        """
        if self.port not in SIXTEEN_BITS:
            return {}
        return {
            name: "float32"
            for name, one in self.of_tensors.items()
            if one in ("float32", "float64") and name in graph.nodes and not _is_product(graph, name)
        }


def tensor_precisions(candidate: Candidate, graph: Graph, right: Callable[[str], Array]) -> TensorPrecisions:
    """The precisions that a port's numbers show.

    Args:
        candidate: the port's tensors.
        graph: the key's.
        right: from a tensor's name to its correct value in float64.
    """
    dumped = [*candidate.tensors, *candidate.misshapen]
    sources = [
        name
        for name in dumped
        if not name.startswith(GRADIENT_PREFIX) and graph.nodes[name].operation is None and name in candidate.tensors
    ]
    names = [name for name in dumped if name not in sources]
    found: dict[str, str] = {}
    for enough in (ENOUGH_NUMBERS, 1):  # single numbers count where there is nothing else
        if not found:
            of_each = {name: _precision(candidate, name, right, enough) for name in names}
            found = {name: one for name, one in of_each.items() if one}
    products = [one for name, one in found.items() if _is_product(graph, name)]
    of_sources = {name: _precision(candidate, name, right, ENOUGH_NUMBERS) for name in sources}
    port = _most(products if len(products) >= ENOUGH_PRODUCTS else found.values())
    return TensorPrecisions(port, found, {name: one for name, one in of_sources.items() if one})


def computed_with(
    coarser: Mapping[str, str],
    order: Sequence[str],
    inputs: DumpedInputs,
    candidate: Candidate,
    errors_of: Callable[[Mapping[str, str]], LocalErrors],
) -> set[str]:
    """Of tensors in a coarser precision than the port's, those whose rounded numbers the port computed with.

    The others were rounded when they were dumped: what is computed from them does not follow from their numbers.

    Args:
        coarser: by name the precision.
        order: of the dumped tensors.
        inputs: from which of them each is computed.
        candidate: the port's tensors.
        errors_of: by name the precision of tensors stored in another one than the port's -> the local errors.
    """
    used: set[str] = set()
    strict = errors_of({})
    for name in reversed(order) if coarser else ():
        backward = name.startswith(GRADIENT_PREFIX)
        read = {one for one in inputs.dumped(name) if one in coarser and one.startswith(GRADIENT_PREFIX) is backward}
        # A tensor that was rounded itself tells only if it was not rounded for the dump alone.
        if read <= used or name not in candidate.tensors or (name in coarser and name not in used):
            continue
        errors = errors_of({name: coarser[name]}) if name in coarser else strict
        error = errors.error(name, candidate.tensors[name])
        used |= read if error is not None and not error.is_significant else set()
    return used


def _is_product(graph: Graph, name: str) -> bool:
    operation = graph.nodes[name].operation if name in graph.nodes else None
    return operation is not None and operation.multiplies


def _most(precisions: Collection[str]) -> str:
    """The most frequent precision, the finer one of two that are equally frequent; float32 if there is none."""
    counts = Counter(precisions)
    return max(counts, key=lambda one: (counts[one], -PRECISIONS.index(one)), default="float32")


def _precision(candidate: Candidate, name: str, right: Callable[[str], Array], enough: int) -> str:
    """A tensor's precision, or "" if its numbers do not show one.

    Whole numbers and zeros do not, and neither does a precision that represents the correct tensor as well, as it does
    a mask. A tensor that is stored in 16 bits needs a single number.
    """
    array = candidate.tensors.get(name, candidate.misshapen.get(name))
    assert array is not None
    precision = candidate.stored[name]
    flat = array.reshape(-1)
    sample = flat[:: max(1, flat.size // LONGEST_SAMPLE)]
    telling = sample[np.isfinite(sample) & (sample != np.rint(sample))]
    needed = 1 if candidate.dtypes.get(name) in SIXTEEN_BITS else enough
    if len(np.unique(telling)) < needed:
        return ""
    return precision if precision == "float64" or not is_representable_in(precision, right(name)) else ""
