"""Where a port's numbers come from: axes moved, memory read in another order, and what only looks like it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.verify.fits.positions import find_placement
from npswin.verify.fits.words import Axis

MAP = [[Axis("B", 2)], [Axis("row", 6)], [Axis("column", 10)], [Axis("C", 12)]]
QKV = [[Axis("B", 2)], [Axis("window", 4)], [Axis("token", 9)], [Axis("q|k|v", 3), Axis("head", 3), Axis("d", 4)]]
KEYS = [[Axis("B", 2)], [Axis("head", 3)], [Axis("token row", 4), Axis("token column", 4)], [Axis("d", 8)]]
SMALL_KEYS = [[Axis("B", 2)], [Axis("head", 3)], [Axis("token row", 4), Axis("token column", 4)], [Axis("d", 4)]]
SIZES = {"map": MAP, "qkv": QKV, "keys": KEYS, "small keys": SMALL_KEYS}


def numbers(kind):
    shape = [int(np.prod([part.size for part in axis])) for axis in SIZES[kind]]
    return np.random.default_rng(0).standard_normal(shape)


def split(x):
    return x.reshape(*x.shape[:-1], 3, 3, 4)


def reshaped(x, one, other):
    """Two axes exchanged by a new shape in place of a transposition."""
    shape = list(x.shape)
    shape[one], shape[other] = shape[other], shape[one]
    return x.reshape(shape).swapaxes(one, other)


def with_heads_exchanged(x):
    y = split(x).copy()
    y[..., [0, 1], 2, :] = y[..., [1, 0], 2, :]
    return y.reshape(x.shape)


def moved_with_zeros(x):
    y = np.zeros_like(x)
    y[:, 1:, 2:] = x[:, :-1, :-2]
    return y


CASES = [
    ("map", lambda x: x[::-1], "the images are in reversed order"),
    ("map", lambda x: np.roll(x, 1, 1), "the rows are rolled by 1"),
    ("map", lambda x: np.roll(x, (-1, 2), (1, 2)), "the rows are rolled by -1; the columns are rolled by 2"),
    ("map", lambda x: np.roll(x.reshape(2, 60, 12), 1, 1).reshape(x.shape), "rolled as one list, by 1"),
    (
        "map",
        lambda x: x[:, [0, 0, 2, 2, 4, 4]][:, :, [1, 1, *range(2, 10)]],
        "odd rows are the one before; column 1 in place of column 0",
    ),
    ("map", lambda x: np.repeat(x[:1], 2, 0), "image 0 in place of all images"),
    ("map", lambda x: x * (np.arange(6) < 5)[:, None, None], "the last row is 0"),
    ("map", moved_with_zeros, "moved by (1, 2) along (row, column), zeros come in"),
    ("map", lambda x: x.transpose(0, 3, 1, 2).reshape(x.shape), "the memory of (B, C, row, column) is read as"),
    ("map", lambda x: x.swapaxes(1, 2).reshape(x.shape), "the memory of (B, column, row, C) is read as"),
    ("map", lambda x: x[..., [1, 0, *range(2, 12)]], "channel 0 and channel 1 are exchanged"),
    ("qkv", lambda x: split(x)[..., [1, 0, 2], :, :].reshape(x.shape), "q and k are exchanged"),
    ("qkv", with_heads_exchanged, "q of head 2 and k of head 2 are exchanged"),
    ("qkv", lambda x: split(x).swapaxes(-3, -2).reshape(x.shape), "(B, window, token, head, q|k|v, d) is read as"),
    *(
        (kind, lambda x: reshaped(x, 2, 3), "the memory of (token, d) is read as (d, token): reshaped, not transposed")
        for kind in ("keys", "small keys")
    ),
    ("keys", lambda x: reshaped(x, 1, 2), "the memory of (head, token) is read as (token, head): reshaped"),
    ("map", lambda x: reshaped(x, 1, 2), "the memory of (row, column) is read as (column, row): reshaped"),
    (
        "qkv",
        lambda x: reshaped(split(x), 2, 3).reshape(x.shape),
        "the memory of (token, q|k|v) is read as (q|k|v, token): reshaped",
    ),
    (
        "keys",
        lambda x: x.swapaxes(2, 3).reshape(x.shape),
        "the memory of (B, head, d, token row, token column) is",
    ),
    ("qkv", lambda x: np.repeat(split(x)[..., :1, :], 3, -2).reshape(x.shape), "head 0 in place of all heads"),
]


@pytest.mark.parametrize(("kind", "move", "words"), CASES, ids=[words for _, _, words in CASES])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_moved_numbers(kind, move, words, noise):
    right = numbers(kind)
    found = move(right) * (1 + noise * np.random.default_rng(1).standard_normal(right.shape))
    placement = find_placement(found, right, SIZES[kind], 10 * noise or 1e-12)
    assert words in placement.words
    flat = np.append(right.reshape(-1), 0.0)
    np.testing.assert_allclose(flat[placement.positions], found, rtol=1e-5)


@given(st.permutations(range(4)), st.integers(0, 99))
def test_axes_in_any_order(order, seed):
    """The memory of permuted axes, read as the axes in their order."""
    sizes = np.random.default_rng(seed).integers(2, 6, 4)
    right = np.random.default_rng(seed).standard_normal(sizes)
    axes = [[Axis(name, size)] for name, size in zip("abcd", sizes.tolist(), strict=True)]
    found = right.transpose(order).reshape(right.shape)
    placement = find_placement(found, right, axes, 1e-12)
    if np.array_equal(found, right):
        assert placement is None
    else:
        assert placement.is_permutation
        np.testing.assert_array_equal(right.reshape(-1)[placement.positions], found)


def shuffled(x):
    return np.random.default_rng(5).permutation(x.reshape(-1)).reshape(x.shape)


@pytest.mark.parametrize(
    "change",
    [np.array, lambda x: x + 1, lambda x: np.where(x > 0, x, 0.5), shuffled],
    ids=["equal", "sum", "some", "any"],
)
def test_what_is_no_move(change):
    right = numbers("map")
    assert find_placement(change(right), right, MAP, 1e-9) is None


def test_many_slices_are_compared_in_little_memory():
    """Columns and channels as one list are 2,400 slices: all pairs of them would take 180 MB."""
    axes = [[Axis("B", 1)], [Axis("row", 20)], [Axis("column", 40)], [Axis("C", 60)]]
    found, right = np.random.default_rng(0).standard_normal((2, 1, 20, 40, 60))
    tracemalloc.start()
    try:
        assert find_placement(found, right, axes, 1e-9) is None
        assert find_placement(np.roll(right.reshape(1, 20, -1), 5, 2).reshape(right.shape), right, axes, 1e-9)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
