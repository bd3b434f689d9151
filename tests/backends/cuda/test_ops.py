"""Every op that the cuda backend implements, compared with its definition in `npswin.ops`.

On a GPU if there is one; otherwise the kernels' sources are compiled for the CPU, see `fake_cupy`.
"""

from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.backends import dispatch
from npswin.backends.cuda import convolution
from npswin.backends.cuda.fused import attention as fused_attention
from npswin.backends.cuda.runtime import matrix_product
from npswin.devices import to_gpu, to_host
from npswin.ops.window_attention import AttentionSpec
from tests.backends.comparison import arguments, call_op, expected, implemented_ops, op_of, relative_errors, rounded
from tests.backends.missing_ops import MISSING
from tests.backends.op_cases import DRAWING, OPS, UPDATES, draw_cases
from tests.thorough import examples

LIMIT = 3  # times the error to be expected
COMPARED = sorted(set(implemented_ops("cuda")) - DRAWING)
FALLING_BACK = sorted({op_of(name) for name in MISSING["cuda"]} & set(OPS) - DRAWING)
TAKING_TWO_MAPS = {"batch_norm_backward_input", "batch_norm_backward_sums"}
BOXES = {"box_iou", "decode_boxes", "encode_boxes", "giou_loss", "nms", "paste_masks"}  # 16 bits are too few for places
TAKING_MAPS = set(OPS) - DRAWING - UPDATES - BOXES - {"global_norm", "position_bias"}


def on_device(value):
    """An argument with its arrays on the GPU."""
    if isinstance(value, np.ndarray):
        return to_gpu(value)
    if isinstance(value, list):
        return [on_device(item) for item in value]
    return {name: on_device(item) for name, item in value.items()} if isinstance(value, dict) else value


def results_of(module, op, args, kwargs, dy):
    """The results of a backend, or of the dispatcher, as NumPy arrays."""
    results = call_op(module, op, on_device(args), on_device(kwargs), None if dy is None else to_gpu(dy))
    return [None if result is None else to_host(result) for result in results]


def assert_equals_definition(module, op, dtype, data, large):
    """Compare one drawn case, arguments and results in the dtype."""
    cases = draw_cases(op, data.draw, large)
    wanted = expected(op, cases, dtype)
    args, kwargs = (arguments(value, dtype) for value in (cases[0].args, cases[0].kwargs))
    results = results_of(module, op, args, kwargs, None if wanted.dy is None else wanted.dy.astype(dtype))
    assert max(relative_errors(results, wanted, dtype)) < LIMIT


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", COMPARED)
@settings(max_examples=examples(10))
@given(st.data(), st.booleans())
def test_an_op_equals_its_definition(cuda, op, dtype, data, large):
    assert_equals_definition(cuda, op, dtype, data, large)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=examples(10))
@given(st.data(), st.booleans())
def test_window_attention_equals_its_definition_where_a_block_takes_many_windows(cuda, dtype, data, large):
    with mock.patch.object(fused_attention, "_SHARES", 1):
        assert_equals_definition(cuda, "window_attention", dtype, data, large)


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
@settings(max_examples=examples(10))
@given(st.data())
def test_a_convolution_equals_its_definition_where_few_rows_are_gathered_together(cuda, op, data):
    with mock.patch.object(convolution, "_ROWS_BYTES", 1 << 16):
        assert_equals_definition(cuda, op, np.float64, data, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", FALLING_BACK)
@settings(max_examples=examples(10))
@given(st.data(), st.booleans())
def test_a_missing_op_falls_back_to_its_definition_on_arrays_on_the_gpu(cuda, op, dtype, data, large):
    assert_equals_definition(dispatch, op, dtype, data, large)


def with_maps_in(op, dtype, args, kwargs):
    """The arguments with maps and masks in the dtype and parameters in float32."""
    maps = len(args) if op in ("dropout", "residual") else 2 if op in TAKING_TWO_MAPS else 1
    return [*arguments(args[:maps], dtype), *arguments(args[maps:], np.float32)], arguments(kwargs, dtype)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("op", sorted(TAKING_MAPS & {*COMPARED, *FALLING_BACK}))
@settings(max_examples=5)
@given(st.data(), st.booleans())
def test_an_op_takes_maps_of_16_bits_and_parameters_of_32(cuda, op, dtype, data, large):
    cases = draw_cases(op, data.draw, large)
    wanted = expected(op, cases, dtype)
    args, kwargs = with_maps_in(op, dtype, *(rounded(value, dtype) for value in (cases[0].args, cases[0].kwargs)))
    module = cuda if op in COMPARED else dispatch
    results = results_of(module, op, args, kwargs, None if wanted.dy is None else wanted.dy.astype(dtype))
    for place, result in enumerate(results):
        assert getattr(result, "dtype", np.float32) in (dtype, np.float32), place
    results = [None if result is None else np.asarray(result, np.float64) for result in results]
    assert max(relative_errors(results, wanted, np.float64)) < LIMIT


# Window side, channels of a head, and the tokens that the kernels on tensor cores pad a window to; 0: not supported.
SIZES = [(4, 32, 16), (3, 7, 16), (7, 32, 64), (8, 24, 64), (12, 32, 144), (10, 32, 144), (7, 40, 0), (13, 16, 0)]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32])
@pytest.mark.parametrize(("side", "dim", "padded_tokens"), SIZES)
def test_window_attention_on_tensor_cores(cuda, monkeypatch, side, dim, padded_tokens, dtype):
    monkeypatch.setattr(matrix_product, "tf32_allowed", True)
    rng, heads, channels = np.random.default_rng(side), 2, 6

    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype).astype(np.float64)

    inner_dim = heads * dim
    x, dy = (drawn(2, side + 1, 2 * side - 1, channels) for _ in range(2))
    weights = [
        drawn(3 * inner_dim, channels) / 2,
        drawn(3 * inner_dim),
        drawn(channels, inner_dim) / 8,
        drawn(channels),
        drawn((2 * side - 1) ** 2, heads),
    ]
    spec = AttentionSpec(heads, side, side // 2)
    y, cache = ops.window_attention_forward(x, *weights, spec=spec)
    wanted = [y, *ops.window_attention_backward(dy, cache)]
    names = []
    launch = fused_attention.launch

    def record(file, name, *args, **kwargs):
        names.append(name)
        launch(file, name, *args, **kwargs)

    with mock.patch.object(fused_attention, "launch", record):
        given = [to_gpu(x.astype(dtype)), *(to_gpu(weight.astype(np.float32)) for weight in weights)]
        y, cache = cuda.window_attention_forward(*given, spec=spec)
        found = [y, *cuda.window_attention_backward(to_gpu(dy.astype(dtype)), cache)]
    assert (f"attention_forward_{padded_tokens}" in names) == bool(padded_tokens)
    assert (f"attention_backward_{padded_tokens}" in names) == bool(padded_tokens)
    for place, (exact, result) in enumerate(zip(wanted, found, strict=True)):
        error = np.linalg.norm(to_host(result).astype(np.float64) - exact) / np.linalg.norm(exact)
        assert error < (1e-2 if dtype == ml_dtypes.bfloat16 else 2e-3), place
