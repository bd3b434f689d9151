"""Along which ways a gradient check goes: coordinates, random directions, or directions through all tensors at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.problem import Move


@dataclass(frozen=True)
class Path:
    """What one line of a report is about: moves of a kind, each made when it is asked for, since it may be large.

    Attributes:
        name: of the tensor, or "all tensors".
        shape: of the tensor where it is checked along coordinates, else empty.
        kind: "coordinates", "directions" or "joint directions".
        count: of moves.
        move: the move of a number below count.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    count: int
    move: Callable[[int], Move]

    @property
    def alone(self) -> bool:
        """Whether a single coordinate moves."""
        return self.kind == "coordinates"

    def index(self, place: int) -> tuple[int, ...]:
        """The index into the tensor, or the direction's number."""
        return tuple(int(i) for i in np.unravel_index(place, self.shape)) if self.alone else (place,)


def paths(
    tensors: dict[str, Array], along: str | None, max_coordinates: int, directions: int, seed: int
) -> Iterator[Path]:
    """The paths of a check; the arguments are those of `gradcheck`."""
    if along == "joint":
        yield Path("all tensors", (), "joint directions", directions, partial(_direction, tensors, list(tensors), seed))
        return
    for name, tensor in tensors.items():
        if along == "coordinates" or (along is None and tensor.size <= max_coordinates):
            yield Path(name, tensor.shape, "coordinates", tensor.size, partial(_axis, tensor, name))
        else:
            yield Path(name, (), "directions", directions, partial(_direction, tensors, [name], seed))


def _axis(tensor: Array, name: str, place: int) -> Move:
    way = np.zeros(tensor.shape)
    way.flat[place] = 1
    return {name: way}


def _direction(tensors: dict[str, Array], names: Sequence[str], seed: int, place: int) -> Move:
    number = list(tensors).index(names[0])
    rng = np.random.default_rng([seed, 1, number, place])
    return {name: rng.choice([-1.0, 1.0], tensors[name].shape) for name in names}
