"""Which entries of one map go into which entries of another, for each place of the kernel."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npswin.ops.conv2d import overlap
from npswin.types import Array


class Places(NamedTuple):
    """For the sum that makes a target map of a source map.

    A convolution makes y of x; its derivative makes dx of dy, with the same pairs of entries the other way round.

    Attributes:
        rows: (rows of the target · kh,) the source's row for each of the target's and each place, or −1.
        first: (kw,) for each place the first column of the target that it meets.
        source_first: (kw,) and that of the source.
        counts: (kw,) how many columns it meets.
        step, source_step: from one of them to the next.
        height, width: of the target.
        source_height, source_width: of the source.
        kernel_height, kernel_width: kh and kw.
    """

    rows: Array
    first: Array
    source_first: Array
    counts: Array
    step: int
    source_step: int
    height: int
    width: int
    source_height: int
    source_width: int
    kernel_height: int
    kernel_width: int


@lru_cache(maxsize=128)
def kernel_places(
    size: tuple[int, int],
    size_out: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
    transposed: bool,
) -> Places:
    """The places of a convolution from x to y, or where it is transposed from y to x.

    Args:
        size, size_out: of x and of y.
        kernel_size: kh and kw.
        stride, padding: of the convolution.
        transposed: which of the two maps is the target.
    """
    (height, width), (source_height, source_width) = (size, size_out) if transposed else (size_out, size)
    rows = np.full((height, kernel_size[0]), -1)
    for place in range(kernel_size[0]):
        target, source = overlap(place, size[0], size_out[0], stride, padding)[:: -1 if transposed else 1]
        rows[target, place] = np.arange(source.start, source.stop, source.step or 1)
    columns = [overlap(place, size[1], size_out[1], stride, padding) for place in range(kernel_size[1])]
    counts = np.array([results.stop - results.start for results, _ in columns])
    first, source_first = (np.array([part.start for part in parts]) for parts in zip(*columns, strict=True))
    if transposed:
        first, source_first = source_first, first
    steps = (stride, 1) if transposed else (1, stride)
    return Places(
        *(rows.reshape(-1), first, source_first, counts, *steps),
        *(height, width, source_height, source_width, *kernel_size),
    )
