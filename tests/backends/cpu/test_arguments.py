"""Arguments that the cpu backend refuses: its kernels do not check bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.backends import cpu
from npswin.layers import SwinTransformerBlock, WindowAttention
from tests.backends.comparison import arguments
from tests.backends.cpu.settings import IMPLEMENTED
from tests.backends.op_cases import OPS
from tests.thorough import examples

COMPUTED = [
    "attention",
    "attention_branch",
    "conv2d",
    "conv_transpose2d",
    "gelu",
    "layer_norm",
    "linear",
    "mean_pool",
    "mlp",
    "mlp_branch",
]
COMPUTED += ["patch_embed", "patch_merging", "softmax", "window_attention"]
COMPUTED = [op for op in COMPUTED if op in IMPLEMENTED]
WITH_PARAMETERS = sorted(
    ({*COMPUTED, "cross_entropy"} & set(IMPLEMENTED)) - {"attention", "gelu", "mean_pool", "softmax"}
)


@pytest.mark.parametrize("op", COMPUTED)
@settings(max_examples=3)
@given(st.data())
def test_a_gradient_of_another_size_is_refused(op, data):
    case = OPS[op](data.draw, False)
    y, cache = getattr(cpu, f"{op}_forward")(
        *(arguments(value, np.float32) for value in case.args), **arguments(case.kwargs, np.float32)
    )
    with pytest.raises(ValueError, match=r"^d\w+: got float32 of shape"):
        getattr(cpu, f"{op}_backward")(np.ones((*y.shape, 2), np.float32), cache)


@pytest.mark.parametrize("op", WITH_PARAMETERS)
@settings(max_examples=examples(20))
@given(st.data())
def test_a_parameter_that_is_too_short_is_refused(op, data):
    case = OPS[op](data.draw, False)
    args = [arguments(value, np.float32) for value in case.args]
    short = data.draw(
        st.sampled_from([place for place, arg in enumerate(args) if place and isinstance(arg, np.ndarray)])
    )
    is_table = "attention" in op and short == len(args) - 1
    args[short] = args[short][:-1] if is_table else args[short][..., :-1]
    with pytest.raises(ValueError, match=r"^\w+: got shape .*, expected"):
        getattr(cpu, f"{op}_forward")(*args, **arguments(case.kwargs, np.float32))


@pytest.mark.parametrize("place", ["bias", "mask", "drop_mask"])
@given(st.data())
def test_attention_takes_what_the_definition_takes(place, data):
    windows, heads, tokens, dim = (data.draw(st.integers(1, 4)) for _ in range(4))
    rng = np.random.default_rng(0)
    shape = {
        "bias": (heads, tokens, tokens),
        "mask": (1, tokens, tokens),
        "drop_mask": (windows, heads, tokens, tokens),
    }
    other = tuple(data.draw(st.integers(max(1, side - 1), side + 1)) for side in shape[place])
    given_array = {place: rng.standard_normal(other).astype(np.float32)}
    args = {"bias": None, "mask": None, **given_array}
    qkv = rng.standard_normal((windows, tokens, 3 * heads * dim)).astype(np.float32)

    def outcome(module):
        try:
            y, cache = module.attention_forward(qkv, num_heads=heads, **args)
            return [y, *module.attention_backward(np.ones_like(y), cache)]
        except ValueError as error:
            return str(error)

    found, wanted = outcome(cpu), outcome(ops)
    if isinstance(wanted, str):
        assert found == wanted
    else:
        for one, exact in zip(found, wanted, strict=True):
            np.testing.assert_allclose(
                np.float32(0) if one is None else one, np.float32(0) if exact is None else exact, atol=1e-4
            )


def test_a_gradient_of_another_dtype_is_refused():
    block = SwinTransformerBlock(8, 2, 2, np.random.default_rng(0))
    y, cache = block.forward(np.ones((1, 4, 4, 8), np.float32))
    with pytest.raises(ValueError, match=r"dy: got float64 of shape .*, expected float32"):
        block.backward(np.ones(y.shape), cache)


def test_window_attention_with_a_mask_value_beyond_the_dtype_masks_without_a_warning():
    x, value = np.random.default_rng(0).standard_normal((1, 4, 4, 8)).astype(np.float32), np.finfo(np.float32).min
    rng = [np.random.default_rng(1) for _ in range(3)]
    lowest, infinite, usual = (
        WindowAttention(8, 2, 4, rng.pop(), shift_size=2, mask_value=float(mask)) for mask in (value, -np.inf, -1e4)
    )
    np.testing.assert_array_equal(lowest(x), infinite(x))  # RuntimeWarnings are errors here
    np.testing.assert_allclose(lowest(x), usual(x), atol=1e-6)


def test_attention_probabilities_refuse_maps_of_another_width():
    layer = WindowAttention(8, 2, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="8"):
        layer.probabilities(np.ones((1, 4, 4, 7), np.float32))
