"""The directions of a gradient check: coordinates, random directions, or directions through all tensors at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.problem import Direction


@dataclass(frozen=True)
class DirectionSet:
    """The directions of one line of a report. Each is made when it is needed, since it may be large.

    Attributes:
        name: of the tensor, or "all tensors".
        shape: of a tensor that is checked along coordinates, else empty.
        kind: "coordinates", "directions" or "joint directions".
        count: of directions.
        direction: from a number below `count` to the direction.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    count: int
    direction: Callable[[int], Direction]

    @property
    def are_coordinates(self) -> bool:
        """Whether each direction is a single coordinate."""
        return self.kind == "coordinates"

    def index(self, number: int) -> tuple[int, ...]:
        """The index of the coordinate in the tensor, or the direction's number."""
        return tuple(int(i) for i in np.unravel_index(number, self.shape)) if self.are_coordinates else (number,)


def direction_sets(
    tensors: dict[str, Array], along: str | None, max_coordinates: int, directions: int, seed: int
) -> Iterator[DirectionSet]:
    """The directions of a check; the arguments are those of `gradcheck`."""
    if along == "joint":
        joint = partial(_random_direction, tensors, list(tensors), seed)
        yield DirectionSet("all tensors", (), "joint directions", directions, joint)
        return
    for name, tensor in tensors.items():
        if along == "coordinates" or (along is None and tensor.size <= max_coordinates):
            yield DirectionSet(name, tensor.shape, "coordinates", tensor.size, partial(_coordinate, tensor, name))
        else:
            random = partial(_random_direction, tensors, [name], seed)
            yield DirectionSet(name, (), "directions", directions, random)


def _coordinate(tensor: Array, name: str, number: int) -> Direction:
    direction = np.zeros(tensor.shape)
    direction.flat[number] = 1
    return {name: direction}


def _random_direction(tensors: dict[str, Array], names: Sequence[str], seed: int, number: int) -> Direction:
    first = list(tensors).index(names[0])
    rng = np.random.default_rng([seed, 1, first, number])
    return {name: rng.choice([-1.0, 1.0], tensors[name].shape) for name in names}
