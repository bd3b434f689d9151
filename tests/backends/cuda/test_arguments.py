"""Arguments that the cuda backend refuses before it starts a kernel, which does not check bounds."""

import numpy as np
import pytest

from npswin import ops
from npswin.backends import dispatch
from npswin.devices import on_gpu, to_gpu
from npswin.ops.window_attention import AttentionSpec
from tests.backends.comparison import implemented_ops, is_pair
from tests.backends.op_arguments import ARGUMENTS, arguments_of

IMPLEMENTED = implemented_ops("cuda")


def ones(*shape, dtype=np.float32):
    return to_gpu(np.ones(shape, dtype))


def test_other_dtypes_and_layouts_are_refused(cuda):
    x, weight = ones(3, 4), ones(4)
    with pytest.raises(ValueError, match="weight: got dtype float64, expected float32"):
        cuda.layer_norm_forward(x, weight.astype(np.float64), weight)
    with pytest.raises(ValueError, match="bias: expected a contiguous array"):
        cuda.layer_norm_forward(x, weight, ones(8)[::2])
    with pytest.raises(ValueError, match="bias: got an array on 'cpu', expected one on 'cuda', as x is"):
        cuda.layer_norm_forward(x, weight, np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r"params\[0\]: got shape"):
        cuda.ema_update_all([x], [weight], 0.5)


ATTENTION = {"spec": AttentionSpec(2, 2)}
# An op, its arguments' shapes, which of them is too short, and the message.
TOO_SHORT = [
    ("linear", [(3, 4), (5, 4), (5,)], 1, "bias: got shape"),
    ("linear", [(3, 4), (5, 4), (5,)], 2, "bias: got shape"),
    ("layer_norm", [(3, 4), (4,), (4,)], 1, "weight: got shape"),
    ("layer_norm", [(3, 4), (4,), (4,)], 2, "bias: got shape"),
    ("residual", [(2, 3, 4), (2, 3, 4), (2,)], 0, "branch: got shape"),
    ("residual", [(2, 3, 4), (2, 3, 4), (2,)], 2, "path_scale: got shape"),
    ("dropout", [(3, 4), (3, 4)], 1, "mask: got shape"),
    ("cross_entropy", [(3, 4), (3, 4)], 1, "targets: got shape"),
    ("patch_embed", [(1, 3, 4, 4), (5, 3, 2, 2), (5,)], 2, "bias: got shape"),
    ("patch_merging", [(1, 2, 2, 3), (12,), (12,), (6, 12)], 1, "weight: got shape"),
    ("mlp", [(3, 4), (8, 4), (8,), (4, 8), (4,)], 2, "bias: got shape"),
    ("mlp", [(3, 4), (8, 4), (8,), (4, 8), (4,)], 4, "bias: got shape"),
    ("window_attention", [(1, 2, 2, 4), (12, 4), (12,), (4, 4), (4,), (9, 2)], 1, "qkv_weight: got shape"),
    ("window_attention", [(1, 2, 2, 4), (12, 4), (12,), (4, 4), (4,), (9, 2)], 2, "qkv_bias: got shape"),
    ("window_attention", [(1, 2, 2, 4), (12, 4), (12,), (4, 4), (4,), (9, 2)], 4, "bias: got shape"),
    ("window_attention", [(1, 2, 2, 4), (12, 4), (12,), (4, 4), (4,), (9, 2)], 5, "bias_table: got shape"),
]


@pytest.mark.parametrize(("op", "shapes", "place", "message"), [case for case in TOO_SHORT if case[0] in IMPLEMENTED])
def test_an_argument_that_is_too_short_is_refused(cuda, op, shapes, place, message):
    forward, keywords = getattr(cuda, f"{op}_forward"), ATTENTION if op == "window_attention" else {}
    forward(*(ones(*shape) for shape in shapes), **keywords)
    first, *rest = shapes[place]
    short = [*shapes[:place], (first - 1, *rest), *shapes[place + 1 :]]
    with pytest.raises(ValueError, match=message):
        forward(*(ones(*shape) for shape in short), **keywords)


# An op and its arguments' shapes.
CALLS = [
    ("linear", [(3, 4), (5, 4)]),
    ("layer_norm", [(3, 4), (4,), (4,)]),
    ("gelu", [(3, 4)]),
    ("softmax", [(3, 4)]),
    ("mean_pool", [(3, 2, 2, 4)]),
    ("patch_concat", [(3, 2, 2, 4)]),
    ("patch_merging", [(3, 2, 2, 3), (12,), (12,), (6, 12)]),
    ("mlp", [(3, 4), (8, 4), (8,), (4, 8), (4,)]),
    ("window_attention", [(3, 2, 2, 4), (12, 4), (12,), (4, 4), (4,), (9, 2)]),
]


@pytest.mark.parametrize(("op", "shapes"), [case for case in CALLS if case[0] in IMPLEMENTED])
def test_a_gradient_that_is_too_short_is_refused(cuda, op, shapes):
    y, cache = getattr(cuda, f"{op}_forward")(
        *(ones(*shape) for shape in shapes), **(ATTENTION if op == "window_attention" else {})
    )
    with pytest.raises(ValueError, match="got"):
        getattr(cuda, f"{op}_backward")(ones(y.shape[0] - 1, *y.shape[1:]), cache)


def test_linear_refuses_matrices_whose_sides_do_not_fit(cuda):
    with pytest.raises(ValueError, match=r"weight: got shape \(5, 3\), expected \(out, in\) with in = 4, as x has"):
        cuda.linear_forward(ones(3, 4), ones(5, 3))


@pytest.mark.parametrize("op", sorted(set(ARGUMENTS) & set(IMPLEMENTED)))
def test_arrays_on_another_device_and_of_another_dtype_are_refused(cuda, op):
    function = getattr(cuda, f"{op}_forward" if is_pair(op) else op)
    arrays = [name for name, value in arguments_of(op).items() if isinstance(value, np.ndarray)]
    for name in arrays:
        wrong = [np.ones(3, np.float32), [1.0], to_gpu(np.ones(3, np.int64)), to_gpu(np.ones(3, np.float16))]
        for value in wrong if name != arrays[0] else wrong[:3]:
            with pytest.raises(ValueError, match=f"^{name}: got"):
                function(**on_gpu_by_name(op) | {name: value})


def on_gpu_by_name(op):
    return {name: _moved(value) for name, value in arguments_of(op).items()}


def _moved(value):
    """Arrays, also those in a list, on the GPU; numbers as they are."""
    if isinstance(value, list):
        return [_moved(item) for item in value]
    return to_gpu(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("op", sorted(filter(is_pair, set(ARGUMENTS) & set(IMPLEMENTED))))
def test_a_cache_is_that_of_the_forward_function(cuda, op):
    y, cache = getattr(cuda, f"{op}_forward")(**on_gpu_by_name(op))
    _, foreign = getattr(ops, f"{op}_forward")(**arguments_of(op))
    backward, dy = getattr(cuda, f"{op}_backward"), to_gpu(np.ones(y.shape, y.dtype))
    with pytest.raises(ValueError, match=r"^cache: got that of the backend 'numpy'"):
        backward(dy, foreign)
    with pytest.raises(ValueError, match=r"^cache: got a tuple"):
        backward(dy, (1, 2))
    for wrong in (np.ones((*y.shape, 1), y.dtype), to_gpu(np.ones((*y.shape, 1), y.dtype)), [1.0]):
        with pytest.raises(ValueError, match=r"^d\w+: got"):
            backward(wrong, cache)
    if y.shape:
        with pytest.raises(ValueError, match=r"^d\w+: got float32 of shape .* on 'cpu', expected"):
            backward(np.ones(y.shape, y.dtype), cache)
    backward(dy, cache)


def test_lists_without_parameters_change_nothing(cuda):
    cuda.adamw_update_all([], [], [], [], 0.1, 0.9, 0.999, 1e-8, [], 1)
    cuda.sgd_update_all([], [], [], 0.1, 0.9, [])
    cuda.ema_update_all([], [], 0.5)


def test_masks_are_drawn_by_a_generator_on_the_gpu(cuda):
    with pytest.raises(ValueError, match=r"^rng: got Generator.*, expected a generator of CuPy"):
        cuda.draw_mask(np.random.default_rng(0), (2, 3), 0.5, "float32")


def test_an_op_is_dispatched_by_its_first_argument_whichever_way_it_is_given(cuda):
    x = ones(2, 3)
    assert on_gpu(dispatch.gelu_forward(x=x)[0])
    assert not on_gpu(dispatch.gelu_forward(x=np.ones((2, 3), np.float32))[0])
    for grads in ([x], (x,), iter([x]), {"x": x}.values()):
        assert on_gpu(dispatch.global_norm(grads))
    assert on_gpu(dispatch.global_norm(grads=iter([x])))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        dispatch.gelu_forward()
    for wrong in ([1.0], None, np.ma.masked_array(np.ones(3, np.float32))):
        with pytest.raises(ValueError, match=r"^x: got"):
            dispatch.gelu_forward(wrong)
