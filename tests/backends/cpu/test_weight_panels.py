"""The transpose of a weight in panels, and products with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.backends.cpu.machine.processor import TILE_ROWS, vector_lanes
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.tile.weight_panels import panels_product, transposed_panels
from tests.backends.cpu.settings import cpu_settings
from tests.ops.drawn import SEEDS

SIZES = st.one_of(st.integers(1, 3 * TILE_ROWS), st.integers(1, 20 * TILE_ROWS))
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@both_dtypes
@given(SIZES, SIZES, st.integers(1, 3))
def test_a_panel_has_the_columns_of_the_weight(dtype, outputs, inputs, threads):
    weight = np.arange(1, outputs * inputs + 1, dtype=dtype).reshape(outputs, inputs)
    with cpu_settings(threads):
        panels = transposed_panels(weight.reshape(-1), inputs).reshape(-1, outputs, TILE_ROWS)
    for column in range(inputs):
        np.testing.assert_array_equal(panels[column // TILE_ROWS, :, column % TILE_ROWS], weight[:, column])


@both_dtypes
@given(SEEDS, SIZES, SIZES, st.integers(1, 3), st.sampled_from([FROM_ZERO, FROM_OUTPUT]), st.data())
def test_a_product_with_panels_equals_numpy(dtype, seed, outputs, inputs, vectors, start, data):
    rng = np.random.default_rng(seed)
    columns = vectors * vector_lanes(np.dtype(dtype).itemsize)
    first_k = data.draw(st.integers(0, outputs - 1))
    depth = data.draw(st.integers(1, outputs - first_k))
    first_row = data.draw(st.integers(0, (inputs - 1) // TILE_ROWS)) * TILE_ROWS
    rows = inputs - first_row
    weight, x = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((outputs, inputs), (depth, columns)))
    out = rng.integers(-9, 10, (rows, columns)).astype(dtype)
    expected = out * (start == FROM_OUTPUT) + weight[first_k : first_k + depth, first_row:].T @ x
    panels = transposed_panels(weight.reshape(-1), inputs)
    at = first_row * outputs + first_k * TILE_ROWS
    panels_product(
        *(rows, columns, depth, (panels, at, outputs)),
        *((x.reshape(-1), 0, columns), (out.reshape(-1), 0, columns), start),
    )
    np.testing.assert_array_equal(out, expected)
