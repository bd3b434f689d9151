"""Every op that the cpu backend implements, compared with its definition in `npswin.ops`."""

import inspect

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from npswin import backends, ops
from npswin.backends import cpu
from tests.backends.comparison import (
    LAYOUTS,
    arguments,
    as_bytes,
    as_list,
    call_op,
    expected,
    is_pair,
    relative_errors,
)
from tests.backends.cpu.placement import arrays_apart, moved
from tests.backends.cpu.settings import IMPLEMENTED, INFERENCE, LIMIT, PAIRS, cpu_settings
from tests.backends.op_cases import DRAWING, OPS, UPDATES, draw_cases
from tests.thorough import some

TRAINING = {"drop_mask", "attn_drop_mask", "proj_drop_mask", "hidden_drop_mask", "output_drop_mask", "path_scale"}
DTYPES = [np.float32, np.float64]
SETTINGS = st.builds(cpu_settings, st.integers(1, 3), *[st.sampled_from([None, 1])] * 2, st.sampled_from([None, 0]))

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
# float64 as well with --thorough: what does not depend on how numbers are computed
float32_first = pytest.mark.parametrize("dtype", some(DTYPES, {np.float32}))
CASES = [
    (op, layout, dtype)
    for op in IMPLEMENTED
    for layout in LAYOUTS
    for dtype in DTYPES
    if layout != "read-only" or op not in UPDATES
]


@pytest.mark.parametrize("op", sorted(filter(is_pair, OPS)))
def test_every_pair_has_a_function_for_inference(op, monkeypatch):
    monkeypatch.setattr(backends.dispatch, "_backend", "cpu")
    assert inspect.isfunction(getattr(backends.dispatch, op))  # not the module of this name


@pytest.mark.parametrize("op", sorted(OPS))
@given(data=st.data())
def test_the_definition_takes_the_drawn_arguments_and_keeps_float32(op, data):
    case = OPS[op](data.draw, False)
    args, kwargs = arguments(case.args, np.float32), arguments(case.kwargs, np.float32)
    results = call_op(ops, op, args, kwargs, lambda y: np.ones(np.shape(y), np.float32))
    for result in results:
        assert result is None or np.isfinite(result).all()
        assert np.ndim(result) == 0 or result.dtype == (np.float32 if result.dtype.kind == "f" else result.dtype)


@pytest.mark.parametrize(
    ("op", "layout", "dtype"), some(CASES, lambda case: case[1] == "contiguous" or case[2] is np.float32)
)
@given(st.data(), st.booleans(), SETTINGS)
def test_an_op_equals_its_definition(op, layout, dtype, data, large, setting):
    cases = draw_cases(op, data.draw, large)
    wanted = expected(op, cases, dtype)
    args, kwargs = (arguments(value, dtype, layout) for value in (cases[0].args, cases[0].kwargs))
    with setting:
        results = call_op(cpu, op, args, kwargs, arguments(wanted.dy, dtype, layout))
    assert max(relative_errors(results, wanted, dtype)) < LIMIT


@both_dtypes
@pytest.mark.parametrize("op", INFERENCE)
@given(st.data(), st.booleans(), SETTINGS, st.sampled_from(LAYOUTS))
def test_inference_equals_the_forward_pass(op, dtype, data, large, setting, layout):
    cases = draw_cases(op, data.draw, large)
    for case in cases:
        case.kwargs = {name: value for name, value in case.kwargs.items() if name not in TRAINING}
    wanted = expected(op, cases, dtype)
    args, kwargs = (arguments(value, dtype, layout) for value in (cases[0].args, cases[0].kwargs))
    with setting:
        y = getattr(cpu, op)(*args, **kwargs)
    wanted.results = wanted.results[:1]
    assert max(relative_errors([y], wanted, dtype)) < LIMIT


@float32_first
@pytest.mark.parametrize("op", sorted(set(IMPLEMENTED) - UPDATES - DRAWING))
@given(st.data(), st.booleans(), SETTINGS, st.sampled_from(LAYOUTS))
def test_arguments_are_not_changed(op, dtype, data, large, setting, layout):
    case = OPS[op](data.draw, large)
    args, kwargs = (arguments(value, dtype, layout) for value in (case.args, case.kwargs))
    dys = []

    def dy(y):
        dys.append(np.ones(np.shape(y), dtype))
        return dys[0]

    with setting:
        call_op(cpu, op, args, kwargs, dy)
    for value, given_value in ((args, case.args), (kwargs, case.kwargs), (dys, [np.ones_like(dy) for dy in dys])):
        before = arguments(given_value, dtype)
        np.testing.assert_equal(value, before)


@float32_first
@pytest.mark.parametrize("op", PAIRS)
@given(st.data(), st.booleans(), SETTINGS)
def test_caches_are_independent_and_can_be_used_twice(op, dtype, data, large, setting):
    forward, backward = getattr(cpu, f"{op}_forward"), getattr(cpu, f"{op}_backward")
    cases = draw_cases(op, data.draw, large)[:2]
    calls = [[arguments(value, dtype) for value in (case.args, case.kwargs)] for case in cases]

    def outcome(y, cache):
        gradients = backward(np.cos(np.arange(np.size(y), dtype=dtype)).reshape(np.shape(y)), cache)
        return as_bytes([y, *as_list(gradients)])

    with setting:
        alone = [outcome(*forward(*args, **kwargs)) for args, kwargs in calls]
        first, second = (forward(*args, **kwargs) for args, kwargs in calls)
        assert [outcome(*first), outcome(*second)] == alone
        assert [outcome(*second), outcome(*first)] == alone[::-1]


@float32_first
@pytest.mark.parametrize("op", IMPLEMENTED)
@given(st.data(), st.booleans(), SETTINGS)
def test_results_do_not_depend_on_where_arrays_are(op, dtype, data, large, setting):
    """Side by side and far apart: vector code that asks whether arrays overlap decides the same."""
    case, found = OPS[op](data.draw, large), []

    def dy(y):
        return np.cos(np.arange(np.size(y), dtype=dtype)).reshape(np.shape(y))

    with setting:
        for placement in ((0,), (0, True), (1 << 20,)):
            with arrays_apart(*placement) as copy:
                args, kwargs = (moved(arguments(value, dtype), copy) for value in (case.args, case.kwargs))
                found.append(as_bytes(call_op(cpu, op, args, kwargs, lambda y: copy(dy(y)))))
    assert found[0] == found[1] == found[2]


@float32_first
@pytest.mark.parametrize("op", sorted(set(IMPLEMENTED) - DRAWING))
@given(st.data(), SETTINGS, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_infinity_propagate_as_in_the_definition(op, dtype, data, setting, value):
    """In the same entries; a gradient at infinity may also be a finite limit, as that of GELU is."""
    case = OPS[op](data.draw, False)
    args, kwargs = arguments(case.args, dtype), arguments(case.kwargs, dtype)
    flat = [item for arg in args for item in (arg if isinstance(arg, list) else [arg])]
    arrays = [item for item in flat if isinstance(item, np.ndarray) and item.size and item.dtype.kind == "f"]
    assume(arrays)
    array = data.draw(st.sampled_from(arrays))
    assume(op != "nms" or array.ndim == 2 or not np.isnan(value))  # NaN is no score
    array.reshape(-1)[data.draw(st.integers(0, array.size - 1))] = value

    def finite(module):
        results = call_op(module, op, arguments(args, dtype), kwargs, lambda y: np.ones(np.shape(y), dtype))
        return [None if result is None else np.isfinite(result) for result in results]

    with setting, np.errstate(all="ignore"):
        for place, (found, wanted) in enumerate(zip(finite(cpu), finite(ops), strict=True)):
            assert (found is None) == (wanted is None)
            if place == 0 or np.isnan(value):
                np.testing.assert_array_equal(found, wanted)
            elif wanted is not None:
                assert (found >= wanted).all()


@float32_first
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
@given(st.integers(0, 99), st.lists(st.integers(0, 60), min_size=1, max_size=3), SETTINGS)
def test_draw_mask_is_bitwise_identical_and_so_is_the_generator_afterwards(dtype, rate, seed, shape, setting):
    own, definition = np.random.default_rng(seed), np.random.default_rng(seed)
    with setting:
        mask = cpu.draw_mask(own, tuple(shape), rate, dtype)
    np.testing.assert_array_equal(mask, ops.draw_mask(definition, tuple(shape), rate, dtype), strict=True)
    assert own.random() == definition.random()


# Layers call the other ops with float32 and float64 alone.
ANY_DTYPE = [
    *("attention", "attention_probabilities", "dropout", "patch_concat", "position_bias", "position_embed"),
    *("residual", "resize_bicubic", "window_partition", "window_reverse"),
]


@pytest.mark.parametrize("op", sorted(set(ANY_DTYPE) & set(IMPLEMENTED)))
@given(st.data(), SETTINGS)
def test_complex_numbers_give_bitwise_the_definition(op, data, setting):
    case = OPS[op](data.draw, False)
    args, kwargs = (arguments(value, np.complex128) for value in (case.args, case.kwargs))

    def dy(y):
        return np.full(np.shape(y), 1 + 2j)

    with setting:
        results = call_op(cpu, op, args, kwargs, dy)
    assert as_bytes(results) == as_bytes(call_op(ops, op, args, kwargs, dy))


@pytest.mark.parametrize("op", sorted({"patch_concat", "window_partition", "window_reverse"} & set(IMPLEMENTED)))
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int64, np.float16])
@given(st.data(), SETTINGS)
def test_ops_that_only_move_numbers_take_any_dtype(op, dtype, data, setting):
    case = OPS[op](data.draw, False)
    args = arguments([10 * case.args[0], *case.args[1:]], dtype)
    with setting:
        results = call_op(cpu, op, args, {}, lambda y: y)
    for result, wanted in zip(results, call_op(ops, op, args, {}, lambda y: y), strict=True):
        np.testing.assert_array_equal(result, wanted, strict=True)
