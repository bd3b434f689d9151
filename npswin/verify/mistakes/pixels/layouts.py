"""How images may lie in memory, and the words for how it is read."""

import math
from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np

from npswin.types import Array

AXES = ("B", "channels", "H", "W")
LAYOUTS = ((0, 1, 2, 3), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1), (0, 3, 1, 2), (1, 0, 2, 3))
MULTIPLES = (4, 8, 16, 32, 64, 128)  # to which a buffer's rows are filled up


class Memory(NamedTuple):
    """Where the key's numbers lie in memory: `places` are their numbers in the order (B, c, H, W).

    Behind all numbers there are a 0 and a 255 for fillers. `strides` are those of images, channels, rows and columns;
    `rows` is the length of a row that is filled up, else 0.
    """

    words: str
    places: Array
    strides: tuple[int, ...]
    rows: int


def memories(shape: tuple[int, ...]) -> Iterator[Memory]:
    """The key's order, others, four channels, and rows that are filled up."""
    count = math.prod(shape)
    own = np.arange(count).reshape(shape)
    for order in LAYOUTS:
        words = f"the memory is ({', '.join(AXES[axis] for axis in order)})" if order != LAYOUTS[0] else ""
        yield Memory(words, own.transpose(order).reshape(-1), _dense(shape, order), 0)
    if shape[1] == 3:
        for filler, name in ((count, "0"), (count + 1, "255")):
            four = np.pad(own.transpose(0, 2, 3, 1), ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=filler)
            pixel = (4 * shape[2] * shape[3], 1, 4 * shape[3], 4)
            yield Memory(f"the memory is (B, H, W, 4), with {name} after each pixel", four.reshape(-1), pixel, 0)
    height, channels = shape[2], shape[1]
    for last in (False, True):
        row = shape[3] * (shape[1] if last else 1)
        rows = own.transpose(0, 2, 3, 1).reshape(-1, row) if last else own.reshape(-1, row)
        for more in dict.fromkeys(-row % multiple for multiple in MULTIPLES if row % multiple):
            multiples = ", ".join(str(multiple) for multiple in MULTIPLES if -row % multiple == more)
            places = np.pad(rows, ((0, 0), (0, more)), constant_values=count).reshape(-1)
            words = (
                f"each row of the memory is filled up with zeros from {'W × channels' if last else 'W'} = {row} to "
                f"{row + more} numbers (a multiple of {multiples})"
            )
            long = row + more
            planar = (channels * height * long, height * long, long, 1)
            yield Memory(words, places, (height * long, 1, long, channels) if last else planar, long)


def _dense(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of images, channels, rows, columns where the axes lie in memory in this order."""
    strides, step = [0] * 4, 1
    for axis in reversed(order):
        strides[axis], step = step, step * shape[axis]
    return tuple(strides)


def reading_words(memory: Memory, start: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> str:
    words = [memory.words] if memory.words else []
    dense = next((order for order in permutations(range(4)) if _dense(shape, order) == strides), None)
    if start == 0 and dense is not None:
        words.append(f"the memory is read as ({', '.join(AXES[axis] for axis in dense)}), without gaps")
        return ", and ".join(words)
    names = ("image b", "channel c", "row y", "column x")
    parts = [
        f"{name} begins at {_symbol(name[-1], stride, shape, memory.rows)}, not at "
        f"{_symbol(name[-1], right, shape, memory.rows)}"
        for name, stride, right, size in zip(names, strides, memory.strides, shape, strict=True)
        if stride != right and size > 1
    ]
    parts += [f"it is read from number {start} on"] * (start != 0)
    return ", and ".join([*words, "; ".join(parts)])


def _symbol(index: str, stride: int, shape: tuple[int, ...], rows: int) -> str:
    """A multiple of a stride, as a product of sizes and with its number."""
    _, channels, height, width = shape
    known = {f"{words}W, filled up,": size for words, size in (("", rows), ("H·", height * rows)) if rows}
    known |= {"channels·H·W, filled up,": channels * height * rows} if rows else {}
    known |= {
        "channels·H·W": channels * height * width,
        "H·W": height * width,
        "channels·W": channels * width,
        "W": width,
        "channels": channels,
        "H": height,
        "channels·H": channels * height,
    }
    known |= {f"W, filled up to a multiple of {multiple}": -(-width // multiple) * multiple for multiple in MULTIPLES}
    if stride in (0, 1, -1):
        return ("0", index, f"-{index}")[stride]
    name = next((name for name, size in known.items() if size == abs(stride)), "")
    sign = "-" if stride < 0 else ""
    return f"{sign}{index}·{name} = {sign}{index}·{abs(stride)}" if name else f"{sign}{index}·{abs(stride)}"
