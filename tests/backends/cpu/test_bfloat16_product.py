"""Products of bfloat16 numbers, in vectors and in tile registers."""

import ctypes
import errno
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from npswin.backends.cpu.machine import amx
from npswin.backends.cpu.machine.compilation import OPTIONS
from npswin.backends.cpu.machine.processor import HAS_BFLOAT16_TILES
from npswin.backends.cpu.simd.amx_product import amx_product
from npswin.backends.cpu.simd.bfloat16_product import (
    begin_whole_tiles,
    end_whole_tiles,
    vectors_product,
    whole_tiles_product,
)
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_MATRIX, FROM_OUTPUT, FROM_ZERO
from tests.backends.cpu.pairs import Flat, as_pair_rows, as_rows, needs_tiles, needs_vectors, numbers, rounded
from tests.ops.drawn import SEEDS
from tests.thorough import examples

PRODUCTS = [pytest.param(vectors_product, marks=needs_vectors), pytest.param(amx_product, marks=needs_tiles)]
STARTS = (FROM_ZERO, FROM_OUTPUT, FROM_BIAS, FROM_MATRIX)
NANS = 0x7FC07FC0  # a pair of NaN
NOTHING = np.zeros((1, 1), np.float32)


def multiply(product, a, b, start=FROM_ZERO, begin=NOTHING, offsets=(0,) * 4, gaps=(0,) * 3):
    """Run a product on bits of bfloat16; returns the result, and whether all around it is as it was."""
    (rows, depth), columns = a.shape, b.shape[1]
    left, right = Flat(as_rows(a), offsets[0], gaps[0], NANS), Flat(as_pair_rows(b), offsets[1], gaps[1], NANS)
    out = Flat(
        begin if start == FROM_OUTPUT else np.full((rows, columns), np.nan, np.float32), offsets[2], gaps[2], np.nan
    )
    bias = Flat(begin, offsets[3], gaps[2] if start == FROM_MATRIX else 0, np.nan)
    product(rows, columns, (depth + 1) // 2, left.place, right.place, out.place, start, (bias.array, bias.offset))
    result = out.matrix.copy()
    out.matrix[...] = np.nan
    return result, np.isnan(out.array).all()


@pytest.mark.parametrize("product", PRODUCTS)
@settings(max_examples=examples(150))
@given(
    SEEDS,
    st.integers(1, 70),
    st.integers(1, 7),
    st.one_of(st.integers(0, 80), st.integers(0, 1200)),
    st.sampled_from(STARTS),
    st.tuples(*[st.integers(0, 20)] * 4),
    st.tuples(*[st.integers(0, 20)] * 3),
)
@example(0, 32, 2, 64, FROM_ZERO, (0, 0, 0, 0), (0, 0, 0))
@example(0, 48, 3, 1200, FROM_BIAS, (0, 0, 0, 0), (0, 0, 0))
@example(0, 33, 1, 545, FROM_MATRIX, (1, 2, 3, 4), (1, 2, 3))
@example(0, 16, 1, 31, FROM_OUTPUT, (0, 0, 0, 0), (0, 0, 0))
@example(0, 5, 2, 0, FROM_BIAS, (0, 0, 0, 0), (0, 0, 0))
def test_the_product_equals_numpy_s_for_integers(product, seed, rows, vectors, depth, start, offsets, gaps):
    rng = np.random.default_rng(seed)
    columns = 16 * vectors
    a, b, matrix = (
        rng.integers(-9, 10, size=shape).astype(np.float32)  # their products and sums are exact
        for shape in ((rows, depth), (depth, columns), (rows, columns))
    )
    begin = {FROM_ZERO: NOTHING, FROM_BIAS: matrix[:, :1]}.get(start, matrix)
    result, kept = multiply(product, rounded(a), rounded(b), start, begin, offsets, gaps)
    np.testing.assert_array_equal(result, begin + a @ b)
    assert kept


@pytest.mark.parametrize("product", PRODUCTS)
@settings(max_examples=examples(40))
@given(SEEDS, st.integers(1, 70), st.integers(1, 5), st.integers(1, 600))
@example(0, 64, 4, 1536)
def test_sums_are_float32(product, seed, rows, vectors, depth):
    rng = np.random.default_rng(seed)
    a, b = (rounded(rng.standard_normal(shape).astype(np.float32)) for shape in ((rows, depth), (depth, 16 * vectors)))
    result, _ = multiply(product, a, b)
    left, right = numbers(a).astype(np.float64), numbers(b).astype(np.float64)
    bound = 2.0**-24 * (depth + 2) * (abs(left) @ abs(right))
    assert (abs(result - left @ right) <= bound).all()


@numba.njit(**OPTIONS)
def two_whole_tiles_products(rows, columns, pairs, left, right, out, start, bias):
    """The second one in tiles that are configured already."""
    begin_whole_tiles()
    whole_tiles_product(rows, columns, pairs, left, right, out, FROM_ZERO, bias)
    whole_tiles_product(rows, columns, pairs, left, right, out, start, bias)
    end_whole_tiles()


@needs_vectors
@pytest.mark.parametrize("start", [FROM_ZERO, FROM_OUTPUT, FROM_MATRIX])
@pytest.mark.parametrize("sizes", [(16, 1, 32), (48, 3, 32), (64, 4, 64), (32, 2, 160)])
def test_whole_tiles_equal_numpy_s_for_integers(sizes, start):
    rows, vectors, depth = sizes
    rng, columns = np.random.default_rng(0), 16 * vectors
    a, b, matrix = (
        rng.integers(-9, 10, size=shape).astype(np.float32)
        for shape in ((rows, depth), (depth, columns), (rows, columns))
    )
    begin = NOTHING if start == FROM_ZERO else matrix
    result, kept = multiply(two_whole_tiles_products, rounded(a), rounded(b), start, begin, (3, 5, 7, 2), (9, 3, 4))
    np.testing.assert_array_equal(result, {FROM_ZERO: 0, FROM_OUTPUT: a @ b, FROM_MATRIX: matrix}[start] + a @ b)
    assert kept


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_number_that_is_none_reaches_its_row_or_column_only(product):
    a, b = np.ones((20, 40), np.float32), np.ones((40, 32), np.float32)
    a[3, 7], a[18, 39], b[12, 30], b[20, 4] = np.nan, np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = a @ b
    result, _ = multiply(product, rounded(a), rounded(b))
    np.testing.assert_array_equal(result, expected)
    assert np.isfinite(result).sum() == 18 * 30


GRANTED_LATE = """
import threading
import numpy as np
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product, why_no_bfloat16
asked, c = threading.Event(), np.zeros(256, np.float32)
ones = np.full(256, 0x3F803F80, np.int32)
def work():
    asked.wait()
    bfloat16_product(16, 16, 16, (ones, 0, 16), (ones, 0, 16), (c, 0, 16), 0, (c, 0))
thread = threading.Thread(target=work)
thread.start()
assert why_no_bfloat16() is None
asked.set()
thread.join()
print(c.min(), c.max())
"""

WITHOUT_INSTRUCTIONS = """
import numpy as np
from numba.core.errors import NumbaError
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product, why_no_bfloat16
print(why_no_bfloat16())
c, ones = np.zeros(256, np.float32), np.zeros(256, np.int32)
try:
    bfloat16_product(16, 16, 16, (ones, 0, 16), (ones, 0, 16), (c, 0, 16), 0, (c, 0))
except NumbaError as error:
    print("no instructions on bfloat16" in str(error))
"""


def output_of(program, **environment):
    """What a process of its own prints: in this one tiles were asked for when tests were collected."""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.skipif(not HAS_BFLOAT16_TILES or sys.platform != "linux", reason="there are no tiles (AMX-BF16)")
def test_linux_grants_tiles():
    """Where it does not, as in a container that forbids the request, tests of tiles are skipped, and this one fails."""
    assert amx.why_tiles_are_refused() is None


@needs_tiles
def test_tiles_are_granted_to_threads_that_run_already():
    assert output_of(GRANTED_LATE) == ["32.0 32.0"]


def test_a_processor_without_instructions():
    lines = output_of(WITHOUT_INSTRUCTIONS, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert lines == ["the processor has no instructions for bfloat16 (AVX512-BF16 or AMX-BF16)", "True"]


class Refusing:
    """A C library in which each system call fails with EPERM."""

    def __init__(self, *args, **options):
        pass

    def syscall(self, *args):
        ctypes.set_errno(errno.EPERM)
        return -1


def test_tiles_that_the_system_refuses(monkeypatch):
    monkeypatch.setattr(amx.sys, "platform", "linux")
    monkeypatch.setattr(amx.ctypes, "CDLL", Refusing)
    refusal = amx.why_tiles_are_refused.__wrapped__()
    assert refusal == f"Linux refuses the tile registers (AMX) to this process: {os.strerror(errno.EPERM)}"
    monkeypatch.setattr(amx.sys, "platform", "win32")
    assert "not on win32" in amx.why_tiles_are_refused.__wrapped__()
