"""Ops whose products are in bfloat16, beside their definitions in float64."""

import threading

import numpy as np
import pytest

import npswin
from npswin import ops
from npswin.backends import allow_bfloat16, cpu, why_no_bfloat16
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import _local
from npswin.backends.cpu.simd import bfloat16_product
from npswin.ops.window_attention import AttentionSpec
from tests.backends.comparison import call_op
from tests.backends.cpu.settings import cpu_settings

needs_bfloat16 = pytest.mark.skipif(why_no_bfloat16() is not None, reason=str(why_no_bfloat16()))

# The norm of the error of a product, relative to that of the product, where each factor has one of up to 2⁻⁹, of
# either sign, is some 2⁻⁸ / 2. The largest seen is 1.3 times as large for each product that is on the way.
ONE_PRODUCT = 0.75 * 2**-8


@pytest.fixture
def in_bfloat16():
    before = allow_bfloat16(True)
    yield
    allow_bfloat16(before)


def fill_memory_with_nan():
    """What working memory and new arrays hold at first must not matter."""
    _local.working_memory.take(1 << 22, np.dtype(np.float32))[...] = np.nan
    for size in (1 << 20, 1 << 22):
        pooled_empty(size, np.float32)[...] = np.nan


def linear(inputs, outputs, *tokens):
    return "linear", [(*tokens, inputs), (outputs, inputs), (outputs,)], {}, 1


def mlp(channels, hidden, *tokens, op="mlp_branch", scale=None):
    weights = [(hidden, channels), (hidden,), (channels, hidden), (channels,)]
    norm = [(channels,), (channels,)] if op == "mlp_branch" else []
    return op, [(*tokens, channels), *norm, *weights], {} if scale is None else {"path_scale": scale}, 3


def attention(channels, heads, window, shift, *shape, op="attention_branch", scale=None):
    norm = [(channels,), (channels,)] if op == "attention_branch" else []
    inner = 32 * heads
    weights = [(3 * inner, channels), (3 * inner,), (channels, inner), (channels,), ((2 * window - 1) ** 2, heads)]
    named = {"spec": AttentionSpec(num_heads=heads, window_size=window, shift_size=shift)}
    named |= {} if scale is None else {"path_scale": scale}
    return op, [(*shape, channels), *norm, *weights], named, 5


SCALES = np.array([0.5, 2.0, 0.0], np.float32)
CASES = {
    "linear": linear(48, 96, 3, 37),
    "linear, several tiles": linear(40, 32, 3, 333),
    "linear, odd": linear(33, 7, 9),
    "linear, many outputs": linear(96, 1000, 2),
    "patch_merging": ("patch_merging", [(2, 7, 9, 16), (64,), (64,), (32, 64)], {}, 2),
    "mlp": mlp(32, 64, 1, 3, 5, op="mlp"),
    "mlp_branch": mlp(96, 384, 2, 14, 13),
    "mlp_branch, scaled": mlp(48, 192, 3, 33, 7, scale=SCALES),
    "mlp_branch, few tokens": mlp(64, 2048, 1, 3, 3),
    "window_attention": attention(32, 1, 3, 1, 1, 5, 6, op="window_attention"),
    "attention_branch": attention(64, 2, 7, 3, 2, 16, 14),
    "attention_branch, scaled": attention(64, 2, 4, 2, 3, 33, 9, scale=SCALES),
    "attention_branch, few tokens": attention(128, 4, 7, 0, 1, 7, 7),
    "attention_branch, wide heads": attention(96, 2, 5, 2, 1, 10, 10),
}


def drawn(case, seed=0):
    """The op, its arguments in float32 and dy."""
    op, shapes, named, products = CASES[case]
    rng = np.random.default_rng(seed)
    args = [rng.standard_normal(shape) / (np.sqrt(shape[1]) if len(shape) == 2 else 1) for shape in shapes]
    args = [arg.astype(np.float32) for arg in args]
    y = getattr(ops, f"{op}_forward")(*args, **named)[0]
    return op, args, named, rng.standard_normal(y.shape).astype(np.float32), products


def in_float64(args, named):
    wide = {name: value.astype(np.float64) if isinstance(value, np.ndarray) else value for name, value in named.items()}
    return [arg.astype(np.float64) for arg in args], wide


def distance(found, wanted):
    return np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-30)


@needs_bfloat16
@pytest.mark.usefixtures("in_bfloat16")
@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 3}, {"threads": 2, "own_sums_bytes": 0}, "small"])
@pytest.mark.parametrize("case", CASES)
def test_the_op_equals_its_definition_up_to_the_rounding(case, settings):
    op, args, named, dy, products = drawn(case)
    wanted = call_op(ops, op, *in_float64(args, named), dy.astype(np.float64))
    if settings == "small":
        settings = {"threads": 1, "own_sums_bytes": 0, "tile_bytes": 1, "chunk_bytes": 1}
    with cpu_settings(**settings):
        fill_memory_with_nan()
        found = call_op(cpu, op, args, named, dy)
        inference = getattr(cpu, op)(*args, **{name: value for name, value in named.items() if name == "spec"})
        again = call_op(cpu, op, args, named, dy)
    if "path_scale" not in named:
        assert distance(inference, found[0]) < 1e-3 * ONE_PRODUCT
    residual = op.endswith("_branch")
    for place, (one, other, same) in enumerate(zip(found, wanted, again, strict=True)):
        if other is None:
            assert one is None
            continue
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, same)
        # without the shortcut, which is exact and would hide an error
        shortcut = (args[0], dy)[place] if residual and place < 2 else 0
        assert distance(one - shortcut, other - shortcut) < products * ONE_PRODUCT, place


@needs_bfloat16
@pytest.mark.usefixtures("in_bfloat16")
@pytest.mark.parametrize("case", ["linear", "mlp_branch", "attention_branch"])
def test_operands_are_rounded(case):
    op, args, named, dy, _ = drawn(case)
    wanted = call_op(ops, op, *in_float64(args, named), dy.astype(np.float64))
    found = call_op(cpu, op, args, named, dy)
    assert distance(found[0] - args[0] if op != "linear" else found[0], wanted[0]) > 1e-4


@needs_bfloat16
@pytest.mark.parametrize("case", ["linear", "patch_merging", "mlp_branch", "attention_branch"])
def test_a_backward_pass_does_as_its_forward_pass_did(case):
    op, args, named, dy, _ = drawn(case)
    forward, backward = getattr(cpu, f"{op}_forward"), getattr(cpu, f"{op}_backward")
    results = {}
    for at_forward in (False, True):
        for at_backward in (False, True):
            allow_bfloat16(at_forward)
            _, cache = forward(*args, **named)
            allow_bfloat16(at_backward)
            results[at_forward, at_backward] = backward(dy, cache)
    allow_bfloat16(False)
    for precision in (False, True):
        for one, other in zip(results[precision, False], results[precision, True], strict=True):
            np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(results[False, False], results[True, True], strict=True))


@needs_bfloat16
@pytest.mark.parametrize(("case", "dtype"), [("mlp_branch", np.float64), ("attention_branch", np.float64)])
def test_float64_is_not_rounded(case, dtype):
    op, args, named, dy, _ = drawn(case)
    args, named = in_float64(args, named)
    before = call_op(cpu, op, args, named, dy.astype(dtype))
    allow_bfloat16(True)
    try:
        after = call_op(cpu, op, args, named, dy.astype(dtype))
    finally:
        allow_bfloat16(False)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_bfloat16
def test_two_threads_with_models_of_their_own(in_bfloat16):
    """The setting is one for all; what they compute is their own."""
    op, args, named, dy, _ = drawn("attention_branch")
    wanted, results = call_op(cpu, op, args, named, dy), {}

    def work(index):
        results[index] = [call_op(cpu, op, args, named, dy) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in (found for index in range(2) for found in results[index]):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_processor_without_the_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(bfloat16_product, "HAS_BFLOAT16_VECTORS", False)
    with pytest.raises(RuntimeError, match="no products in bfloat16: the processor has no instructions"):
        npswin.allow_bfloat16(True)
    assert npswin.allow_bfloat16(False) is False


def test_a_system_that_refuses_tiles_is_named(monkeypatch):
    monkeypatch.setattr(bfloat16_product, "HAS_BFLOAT16_VECTORS", True)
    monkeypatch.setattr(bfloat16_product, "HAS_BFLOAT16_TILES", True)
    monkeypatch.setattr(bfloat16_product, "why_tiles_are_refused", lambda: "Linux refuses")
    with pytest.raises(RuntimeError, match="Linux refuses"):
        npswin.allow_bfloat16(True)
    assert npswin.allow_bfloat16(False) is False


@needs_bfloat16
def test_what_was_allowed_is_returned():
    assert [npswin.allow_bfloat16(allowed) for allowed in (True, True, False, False)] == [False, True, True, False]
