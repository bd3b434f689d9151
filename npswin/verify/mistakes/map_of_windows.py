"""A map that is cut into windows after a cyclic shift, and the mask that it needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from npswin.ops.windows import cut_windows, padded_size
from npswin.types import Array

Masked = Callable[[], Array]  # -> (nW, N, N) of booleans: which pairs are masked in which window


@dataclass(frozen=True)
class MapOfWindows:
    """A map, its windows, and its shift.

    Attributes:
        height, width: H and W of the map before padding.
        side: M, the window's.
        shift: rows and columns of the cyclic shift.
        others: (H, W) of the other maps of the model, whose masks a port may take.
    """

    height: int
    width: int
    side: int
    shift: int
    others: tuple[tuple[int, int], ...] = ()

    @property
    def padded(self) -> tuple[int, int]:
        """(Hp, Wp)."""
        return padded_size(self.height, self.width, self.side)

    @property
    def windows(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return self.padded[0] // self.side, self.padded[1] // self.side

    @property
    def right(self) -> Array:
        """The correct mask, (nW, N, N) of booleans."""
        return self.by_regions(self.regions())

    def bands(self, size: tuple[int, int] | None = None, shift: int | None = None) -> tuple[Array, Array]:
        """The band of each row and of each column, 0 to 2, as (Hp, 1) and (1, Wp)."""
        size, shift = size or self.padded, shift or self.shift
        rows, columns = (cuts(length, (length - self.side, length - shift)) for length in size)
        return rows[:, None], columns[None, :]

    def regions(self, size: tuple[int, int] | None = None, shift: int | None = None) -> Array:
        """The number of the region of each token of the rolled map."""
        rows, columns = self.bands(size, shift)
        return 3 * rows + columns

    def cut(self, regions: Array) -> Array:
        """(Hp, Wp) -> (nW, N)."""
        return cut_windows(regions[None, :, :, None], self.side)[..., 0]

    def by_regions(self, regions: Array) -> Array:
        """(Hp, Wp) -> (nW, N, N): the pairs of a window with different numbers."""
        windows = self.cut(regions)
        return windows[:, :, None] != windows[:, None, :]


def cuts(length: int, places: Iterable[int]) -> Array:
    """For each index the number of cuts before it."""
    index = np.arange(length)
    return sum(((index >= place).astype(int) for place in places), np.zeros(length, int))
