"""Arguments that do not fit are refused alike by the definitions and the cpu backend; the error names the argument."""

import contextlib
import copy
import re
from importlib import import_module

import numpy as np
import pytest

from npswin import ops
from npswin.backends import cpu
from npswin.backends.dispatcher import Dispatcher
from npswin.ops.arguments import Axes, Each, Value
from npswin.ops.description import DESCRIPTIONS
from npswin.ops.window_attention import AttentionSpec
from tests.backends.comparison import implemented_ops, is_pair, op_of
from tests.backends.op_arguments import ARGUMENTS, I, P, arguments_of
from tests.backends.op_cases import UPDATES

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

BACKENDS = {"numpy": ops, "cpu": Dispatcher("cpu")}
MOVING = {"patch_concat", "window_partition", "window_reverse"}  # take numbers of any dtype
ANY_NUMBER = {"grad_scale"}  # may be negative, NaN or infinite
COMPARING = {"box_iou", "nms", "paste_masks"}  # have no derivative: of complex numbers they compare the real parts
# Axes of any size, whatever else there is: boxes, output channels without a bias, pixels of another size than logits
FREE_AXES = {
    ("box_iou", "b"): (0,),
    ("resized_conv2d", "weight"): (0,),
    ("resized_cross_entropy", "labels"): (1, 2),
    ("roi_align", "rois"): (0,),
}


def main_function(op):
    return f"{op}_forward" if is_pair(op) else op


def described(op):
    """The names of an op's arguments and their descriptions."""
    return DESCRIPTIONS[main_function(op)].arguments.items()


def is_updated(description):
    """Whether the op writes to this array, or to those of this list."""
    axes = description.argument if isinstance(description, Each) else description
    return isinstance(axes, Axes) and axes.updated


def outcome(module, function, arguments):
    """The message of a call's ValueError, or the shapes of its results."""
    try:
        results = getattr(module, function)(**arguments)
    except ValueError as error:
        return str(error)
    results = results if isinstance(results, tuple) else (results,)
    return [result.shape for result in results if isinstance(result, np.ndarray | np.generic)]


def refusal(function, arguments):
    """The message with which both backends refuse the arguments."""
    found = {name: outcome(module, function, arguments()) for name, module in BACKENDS.items()}
    assert found["numpy"] == found["cpu"]
    assert isinstance(found["cpu"], str), f"not refused: {found['cpu']}"
    assert len(found["cpu"]) < 300
    return found["cpu"]


def assert_refused(op, name, value, place=None):
    """The op refuses the value of an argument, or of the entry at a place of its list, and names it."""

    def changed():
        arguments = arguments_of(op)
        if place is None:
            arguments[name] = value
        else:
            arguments[name][place] = value
        return arguments

    assert name in refusal(main_function(op), changed), value


def no_arrays(array):
    """What is taken for an array."""
    values = [array.tolist(), 3, 0.5, "abc", np.float32(1), {}]
    with contextlib.suppress(ImportError):
        values.append(import_module("PIL.Image").new("L", (3, 2)))
    return [*values, np.ma.masked_array(array), np.asmatrix(array.reshape(1, -1))]


def of_other_dtypes(array):
    swapped = array.dtype.newbyteorder()
    return [array.astype(dtype) for dtype in ("float16", "longdouble", "int64", "bool", "object", "U5", swapped)]


def of_other_shapes(array):
    """One axis too many, one too few, and another size along each axis."""
    shapes = [(1, *array.shape), (*array.shape, 1), array.shape[:-1]]
    for axis, size in enumerate(array.shape):
        shapes += [(*array.shape[:axis], other, *array.shape[axis + 1 :]) for other in (0, size - 1, size + 1)]
    return [np.full(shape, 0.5, array.dtype) for shape in shapes]


def wrong_numbers(op, name, value):
    """What is taken for a number."""
    values = [True, np.True_, "1", [value], 1j, np.ones(2), {}]
    if name not in DESCRIPTIONS[main_function(op)].optional:
        values.append(None)
    if name not in ANY_NUMBER:
        values += [float("nan"), -1, -0.5, float("inf"), np.float32("nan")]
    return [*values, 1.5, np.float64(2.5)] if isinstance(value, int) else values


ARRAYS = [(op, name) for op in sorted(ARGUMENTS) for name, value in described(op) if isinstance(value, Axes)]
OF_INTEGERS = [(op, name) for op, name in ARRAYS if isinstance(ARGUMENTS[op][name], I)]
LISTS = [(op, name) for op in sorted(ARGUMENTS) for name, value in described(op) if isinstance(value, Each)]
VALUES = [(op, name) for op in sorted(ARGUMENTS) for name, value in described(op) if isinstance(value, Value)]
FLAGS = [(op, name) for op, name in VALUES if isinstance(ARGUMENTS[op][name], bool)]
NUMBERS = [
    (op, name) for op, name in VALUES if isinstance(ARGUMENTS[op][name], int | float) and (op, name) not in FLAGS
]
SIZES = [(op, name) for op, name in VALUES if isinstance(ARGUMENTS[op][name], P)]
UPDATED = [(op, name) for op in sorted(UPDATES) for name, value in described(op) if is_updated(value)]
PAIRS = sorted(filter(is_pair, ARGUMENTS))


def test_every_op_describes_its_arguments():
    names = {name for name in ops.__all__ if not name.endswith("_backward")}
    missing = sorted(names - set(DESCRIPTIONS))
    assert not missing, (
        f"no description of the arguments of {', '.join(missing)}: put @op of npswin/ops/description.py above the "
        'definition, with a word for each axis of an array, such as @op(x="... in", weight="out in", bias="out")'
    )


def test_no_op_is_missing_from_the_table():
    missing = sorted({op_of(name) for name in ops.__all__} - set(ARGUMENTS))
    assert not missing, f"add arguments of {', '.join(missing)} to ARGUMENTS in tests/backends/op_arguments.py"


@pytest.mark.parametrize("op", sorted(ARGUMENTS))
def test_arguments_that_fit_are_taken(op):
    found = [outcome(module, main_function(op), arguments_of(op)) for module in BACKENDS.values()]
    assert found[0] == found[1]
    assert isinstance(found[0], list), found


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_an_array_has_to_be_one(op, name):
    for value in no_arrays(arguments_of(op)[name]):
        assert_refused(op, name, value)


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_none_is_taken_where_the_annotation_allows_it(op, name):
    arguments = arguments_of(op) | {name: None}
    found = [outcome(module, main_function(op), arguments) for module in BACKENDS.values()]
    assert found[0] == found[1]
    both_or_none = op == "patch_merging" and name.startswith("norm")
    if name in DESCRIPTIONS[main_function(op)].optional and not both_or_none:
        assert isinstance(found[0], list), found
    else:
        assert re.search(rf"{name}.*: got .*None", found[0])


@pytest.mark.parametrize(("op", "name"), OF_INTEGERS)
def test_an_array_of_integers_has_one_of_their_dtypes(op, name):
    array = arguments_of(op)[name]
    for dtype in ("float32", "float64", "complex128", "bool", "object", "U5", array.dtype.newbyteorder()):
        assert_refused(op, name, array.astype(dtype))
    for dtype in ("uint8", "int16", "int32", "uint64"):
        for module in BACKENDS.values():
            arguments = arguments_of(op) | {name: array.astype(dtype)}
            assert isinstance(outcome(module, main_function(op), arguments), list)


@pytest.mark.parametrize(("op", "name"), [case for case in ARRAYS if case[0] not in MOVING and case not in OF_INTEGERS])
def test_an_array_has_one_of_the_dtypes(op, name):
    array = arguments_of(op)[name]
    for value in of_other_dtypes(array):
        assert_refused(op, name, value)
    if len([case for case in ARRAYS if case[0] == op and case not in OF_INTEGERS]) > 1:
        assert_refused(op, name, array.astype(np.float64))
        assert_refused(op, name, array.astype(np.complex128))


@pytest.mark.parametrize("op", sorted(MOVING))
def test_an_op_that_moves_numbers_refuses_what_are_none(op):
    name = next(iter(ARGUMENTS[op]))
    array = arguments_of(op)[name]
    for dtype in ("object", "U5", array.dtype.newbyteorder(), "M8[s]"):
        assert_refused(op, name, array.astype("i8").astype(dtype) if dtype == "M8[s]" else array.astype(dtype))


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_an_array_has_the_shape_that_others_give_it(op, name):
    first = next(other for other, _ in described(op) if (op, other) in ARRAYS)
    array = arguments_of(op)[name]
    for value in of_other_shapes(array):
        free = FREE_AXES.get((op, name), ())
        if value.ndim == array.ndim and all(
            axis in free or size == wanted
            for axis, (size, wanted) in enumerate(zip(value.shape, array.shape, strict=True))
        ):
            continue
        if name != first:
            assert_refused(op, name, value)
            continue
        # this array may have other axes; then some other one does not fit, or all is well
        arguments = arguments_of(op) | {name: value}
        found = [outcome(module, main_function(op), arguments) for module in BACKENDS.values()]
        assert found[0] == found[1]
        assert isinstance(found[0], list) or re.search(rf"\b({name}|expected)\b", found[0])


def without_entries(op, axes):
    """The op's arguments with nothing along their first axis, where that is one of these."""
    arguments = arguments_of(op)
    for name, description in described(op):
        if isinstance(description, Axes) and description.alternatives[0].split()[0] in axes:
            arguments[name] = arguments[name][:0]
    return arguments


EMPTY = [
    (op, axes)
    for op in PAIRS
    for axes in (("B", "n"), ("n",), ("...",))
    if any(isinstance(value, np.ndarray) and not value.size for value in without_entries(op, axes).values())
]


@pytest.mark.parametrize(("op", "axes"), EMPTY)
def test_of_no_images_boxes_or_tokens_all_gradients_are_zeros(op, axes):
    arguments = without_entries(op, axes)
    found = []
    for module in BACKENDS.values():
        y, cache = getattr(module, f"{op}_forward")(**arguments)
        gradients = getattr(module, f"{op}_backward")(np.ones_like(y), cache)
        found.append([y, *(gradients if isinstance(gradients, tuple) else (gradients,))])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert not one.any()


@pytest.mark.parametrize(("op", "name"), LISTS)
def test_a_list_has_an_entry_for_each_parameter(op, name):
    entries = arguments_of(op)[name]
    for value in (None, 3, "abc", {}, set(), {0.1, 0.2}, np.ones((2, 3), np.float32)):
        assert_refused(op, name, value)
    if len([case for case in LISTS if case[0] == op]) > 1:
        assert "expected" in refusal(op, lambda: arguments_of(op) | {name: entries[:1]})
        assert "expected" in refusal(op, lambda: arguments_of(op) | {name: [*entries, entries[0]]})
    for place, entry in enumerate(entries):
        if not isinstance(entry, np.ndarray):
            for value in wrong_numbers(op, name, entry):
                assert_refused(op, name, value, place)
            continue
        for value in [None, *no_arrays(entry), *of_other_dtypes(entry)]:
            assert_refused(op, name, value, place)
        if op != "global_norm":
            refusal(op, lambda place=place, entry=entry: _with_entry(op, name, place, entry.astype(np.float64)))
            refusal(op, lambda place=place, entry=entry: _with_entry(op, name, place, entry[:1]))


def _with_entry(op, name, place, value):
    arguments = arguments_of(op)
    arguments[name][place] = value
    return arguments


@pytest.mark.parametrize(("op", "name"), UPDATED)
def test_an_array_that_is_updated_can_be_written_to(op, name):
    def read_only():
        arguments = arguments_of(op)
        entries = arguments[name] if isinstance(arguments[name], list) else [arguments[name]]
        entries[-1].flags.writeable = False
        return arguments

    assert re.match(rf"{name}.*: got a read-only array", refusal(op, read_only))


@pytest.mark.parametrize(("op", "name"), UPDATED)
def test_an_array_that_is_updated_is_given_once(op, name):
    for other, value in described(op):
        if other == name or isinstance(ARGUMENTS[op][other], float | int) or isinstance(value, Value):
            continue

        def changed(other=other):
            arguments = arguments_of(op)
            arguments[other] = arguments[name]
            return arguments

        if isinstance(value, Axes) or isinstance(value.argument, Axes):
            assert re.match(r"\w+(\[0\])?: got the same array as \w+.*, which is updated", refusal(op, changed)), other


@pytest.mark.parametrize("op", [op for op, name in NUMBERS if name == "eps"])
def test_a_number_that_is_added_to_arrays_is_one_in_their_dtype(op):
    for value in (1e-60, 1e300):
        assert re.match(
            "eps: got 1e.*, which in float32 is (0|inf)", refusal(main_function(op), arguments_with(op, value))
        )


def arguments_with(op, eps):
    return lambda: arguments_of(op) | {"eps": eps}


@pytest.mark.parametrize(("op", "name"), [case for case in ARRAYS + LISTS if case[0] in UPDATES])
def test_an_op_that_updates_arrays_takes_no_complex_numbers(op, name):
    def changed():
        arguments = arguments_of(op)
        array = arguments[name]
        is_list = isinstance(array, list)
        arguments[name] = [*array[:-1], array[-1] + 0j] if is_list else array + 0j
        return arguments

    if isinstance(ARGUMENTS[op][name], tuple) or isinstance(ARGUMENTS[op][name][0], tuple):
        assert re.match(rf"{name}.*: got dtype complex64, expected float32", refusal(op, changed))


@pytest.mark.parametrize(("op", "name"), NUMBERS)
def test_a_number_is_in_its_range(op, name):
    for value in wrong_numbers(op, name, ARGUMENTS[op][name]):
        assert_refused(op, name, value)


@pytest.mark.parametrize(("op", "name"), NUMBERS)
def test_numbers_of_numpy_are_numbers(op, name):
    for kind in (np.asarray, np.asarray(ARGUMENTS[op][name]).dtype.type):
        arguments = arguments_of(op)
        arguments[name] = kind(arguments[name])
        for module in BACKENDS.values():
            assert isinstance(outcome(module, main_function(op), copy.deepcopy(arguments)), list)


@pytest.mark.parametrize(("op", "name"), FLAGS)
def test_a_flag_is_true_or_false(op, name):
    for value in (0, 1, 0.0, None, "True", [True], np.ones(1, bool)):
        assert_refused(op, name, value)
    for module in BACKENDS.values():
        assert isinstance(outcome(module, main_function(op), arguments_of(op) | {name: np.True_}), list)


@pytest.mark.parametrize(("op", "name"), SIZES)
def test_a_size_is_made_of_integers(op, name):
    for value in (None, 3, "ab", (1.5, 2), (True, 2), (-1, 2), [None, 2], np.ones(2), (float("nan"), 2)):
        assert_refused(op, name, value)
    if name == "shape":
        for value in ((10**30, 2), (2**31 - 1,) * 3, (0, *(2**31 - 1,) * 3), (1,) * 65):
            assert_refused(op, name, value)
    else:
        for value in ((), (2,), (2, 3, 4), (0, 3), (10**9, 3), (10**30, 3)):
            assert_refused(op, name, value)


@pytest.mark.parametrize("op", ["attention_branch", "window_attention"])
def test_a_spec_is_checked_field_by_field(op):
    for value in (None, 3, tuple(ARGUMENTS[op]["spec"]), {"num_heads": 2}):
        assert_refused(op, "spec", value)
    usual = ARGUMENTS[op]["spec"]
    wrong = {
        "num_heads": [0, -3, True, 3.0, "3", None, [3]],
        "window_size": [0, -1, True, 2.0, "2", None, 10**9],
        "shift_size": [-1, 2, True, 0.5, "1", None],
        "mask_value": [1.0, 0, float("nan"), True, "x", None, float("inf")],
    }
    for field, values in wrong.items():
        for value in values:
            assert_refused(op, "spec", usual._replace(**{field: value}))
    arguments = arguments_of(op) | {"spec": AttentionSpec(np.int64(3), np.int32(2), np.int8(1), np.float32(-100))}
    for module in BACKENDS.values():
        assert isinstance(outcome(module, f"{op}_forward", arguments), list)


def test_a_generator_and_a_dtype_are_ones():
    for value in (0, None, np.random, np.random.RandomState(0)):
        assert_refused("draw_mask", "rng", value)
    for value in ("int32", "no_dtype", None, np.longdouble, ">f4", 3, np.ones(2), np.float32(0.5), np.float64("nan")):
        assert_refused("draw_mask", "dtype", value)


def test_deviations_are_four_positive_numbers():
    for op in ("decode_boxes", "encode_boxes"):
        for value in (0.1, None, (0.1, 0.1, 0.2), (0.1, 0.1, 0.2, 0), (0.1, 0.1, 0.2, float("nan")), np.ones((2, 2))):
            assert_refused(op, "deviations", value)


def test_a_norm_has_a_weight_and_a_bias():
    for name in ("norm_weight", "norm_bias"):
        message = refusal("patch_merging_forward", lambda name=name: arguments_of("patch_merging") | {name: None})
        other = "norm_bias" if name == "norm_weight" else "norm_weight"
        assert message.startswith(f"{name}: got None, expected an array, as {other} is one")


def test_a_window_that_is_shifted_by_its_side_is_refused():
    for op in ("window_partition", "window_reverse"):
        assert_refused(op, "shift_size", 2)


def cache_of(module, op):
    return getattr(module, f"{op}_forward")(**arguments_of(op))


@pytest.mark.parametrize("op", PAIRS)
def test_a_cache_is_that_of_the_forward_function(op):
    other = "gelu" if op != "gelu" else "softmax"
    for module in BACKENDS.values():
        y, cache = cache_of(module, op)
        dy, backward = np.ones_like(y), getattr(module, f"{op}_backward")
        own = cache.backend  # "numpy" where the backend lacks the op
        foreign = next(other for other in ("cpu", "numpy", "cuda") if other != own)
        of_another = copy.copy(cache)
        of_another.backend = foreign
        cases = [
            ((1, 2), f"cache: got a tuple, expected the cache that {op}_forward returned"),
            (None, "cache: got a NoneType, expected"),
            (cache.value, "cache: got a .*, expected"),
            (cache_of(module, other)[1], f"cache: got that of {other}_forward, expected that of {op}_forward"),
            (of_another, f"cache: got that of the backend '{foreign}', expected that of '{own}'"),
        ]
        for wrong, message in cases:
            with pytest.raises(ValueError, match=message):
                backward(dy, wrong)
        for same in (cache, copy.copy(cache), copy.deepcopy(cache)):
            backward(dy, same)


@pytest.mark.parametrize("op", sorted(set(implemented_ops("cpu")) & set(PAIRS)))
def test_a_cache_is_read_by_the_backend_that_made_it(op):
    for own, other in (("numpy", "cpu"), ("cpu", "numpy")):
        y, cache = cache_of(BACKENDS[own], op)
        with pytest.raises(ValueError, match=f"^cache: got that of the backend '{own}', expected that of '{other}'"):
            getattr(BACKENDS[other], f"{op}_backward")(np.ones_like(y), cache)


@pytest.mark.parametrize("op", PAIRS)
def test_a_gradient_is_like_y(op):
    name = GRADIENT_NAMES.get(op, "dy")
    caches = {backend: cache_of(module, op) for backend, module in BACKENDS.items()}
    y = np.asarray(caches["cpu"][0])
    wrong = [None, "abc", {}, [1.0], np.ones((*y.shape, 1), y.dtype), np.ma.masked_array(np.ones(y.shape, y.dtype))]
    if y.ndim:
        dy = np.ones(y.shape, y.dtype)
        wrong += [*no_arrays(dy), *of_other_dtypes(dy), *of_other_shapes(dy), dy.astype(np.float64), dy + 1j]
    else:
        wrong += [True, 1j, np.ones((2,), y.dtype), np.ones((), np.int64), np.ones((), complex)]
    for value in wrong:
        messages = set()
        for backend, module in BACKENDS.items():
            with pytest.raises(ValueError, match=f"^{name}: got") as error:
                getattr(module, f"{op}_backward")(value, caches[backend][1])
            messages.add(str(error.value))
        assert len(messages) == 1


GRADIENT_NAMES = {
    **dict.fromkeys(("cross_entropy", "giou_loss", "l1_loss", "pixel_cross_entropy"), "dloss"),
    **dict.fromkeys(("resized_cross_entropy", "sigmoid_cross_entropy", "smooth_l1_loss"), "dloss"),
    "position_bias": "dbias",
    "softmax": "dp",
    "window_partition": "dwindows",
    "window_reverse": "dx",
}


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.float64(2), np.float32([[2]])[0, 0], np.asarray(2.0)])
def test_the_derivative_of_a_loss_may_be_any_number(number):
    for module in BACKENDS.values():
        _, cache = cache_of(module, "cross_entropy")
        usual = module.cross_entropy_backward(np.float32(1), cache)
        np.testing.assert_array_equal(module.cross_entropy_backward(number, cache), 2 * usual)


@pytest.mark.parametrize("op", PAIRS)
def test_complex_numbers_are_left_to_the_definition(op):
    arguments, results = arguments_of(op, "complex128"), []
    for module in BACKENDS.values():
        y, cache = getattr(module, f"{op}_forward")(**arguments)
        gradients = getattr(module, f"{op}_backward")(np.full_like(y, 1 + 2j), cache)
        results.append([y, *(gradients if isinstance(gradients, tuple) else (gradients,))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    # in a complex-step check, other arrays of the call may be real
    first = next(iter(arguments))
    mixed = arguments_of(op, "float64") | {first: arguments[first]}
    y, _ = getattr(ops, f"{op}_forward")(**mixed)
    np.testing.assert_array_equal(getattr(BACKENDS["cpu"], f"{op}_forward")(**mixed)[0], y)
    if op in INFERENCE:
        np.testing.assert_array_equal(getattr(cpu, op)(**mixed), y)


def first_array(result):
    return next(one for one in result if hasattr(one, "dtype")) if isinstance(result, tuple) else result


@pytest.mark.parametrize(
    ("op", "name"), [case for case in ARRAYS if case[0] not in UPDATES | COMPARING and case not in OF_INTEGERS]
)
def test_one_complex_array_is_enough_for_a_complex_call(op, name):
    function, all_complex = main_function(op), arguments_of(op, "complex128")
    mixed = arguments_of(op, "float64") | {name: all_complex[name]}
    for module in BACKENDS.values():
        expected, found = (getattr(module, function)(**arguments) for arguments in (all_complex, mixed))
        one, other = (first_array(result) for result in (expected, found))
        assert one.dtype == np.complex128
        np.testing.assert_array_equal(one, other, strict=True)
        if op in INFERENCE:
            np.testing.assert_array_equal(getattr(module, op)(**mixed) if module is not ops else one, one)


INFERENCE = [op for op in PAIRS if op in cpu.__all__]


@pytest.mark.parametrize("op", INFERENCE)
def test_inference_refuses_what_the_forward_function_refuses(op):
    """And takes what that takes, by name as well as by position."""
    arguments = arguments_of(op)
    assert outcome(cpu, op, arguments) == outcome(cpu, f"{op}_forward", arguments)
    first = next(iter(arguments))
    wrong = arguments | {first: arguments[first].astype(np.float16)}
    assert outcome(cpu, op, wrong) == outcome(ops, f"{op}_forward", wrong)


def test_a_wrong_name_of_an_argument_is_pythons_own_error():
    x = np.ones((2, 3), np.float32)
    for module in BACKENDS.values():
        with pytest.raises(TypeError, match=r"gelu_forward\(\) got an unexpected keyword argument 'y'"):
            module.gelu_forward(x, y=1)
        with pytest.raises(TypeError, match=r"linear_forward\(\) missing 1 required positional argument: 'weight'"):
            module.linear_forward(x)
        with pytest.raises(TypeError, match="unexpected keyword argument 'drop_mask'"):
            module.mlp_branch_forward(**arguments_of("mlp_branch"), drop_mask=None)


def test_a_message_says_what_was_given_and_what_is_expected():
    x, weight = np.ones((2, 4), np.float32), np.ones((3, 5), np.float32)
    cases = {
        "weight: got shape (3, 5), expected (out, in) with in = 4, as x has": lambda: (x, weight),
        "weight: got dtype float64, expected float32, as x has": lambda: (x, weight.astype(np.float64)),
        "bias: got shape (4,), expected (out) with out = 3, as weight has": lambda: (x, weight[:, :4], x[0]),
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            ops.linear_forward(*arguments())
    with pytest.raises(ValueError, match=r"^qkv: .* expected \(windows, N, 3\*h\*d\) with h = 2, by num_heads$"):
        ops.attention_forward(np.ones((2, 4, 13)), None, None, 2)
    with pytest.raises(ValueError, match=r"with nW = 2, by size, by window_size, and N = 4, by window_size$"):
        ops.window_reverse_forward(np.ones((3, 4, 5)), (2, 4), 2, 0)


def test_calls_are_remembered_by_all_that_the_checks_depend_on():
    """The second call of a kind is compared with the first: a subclass, a dtype, a number are parts of the kind."""
    qkv = np.ones((2, 4, 12), np.float32)
    for module in BACKENDS.values():
        module.attention_forward(qkv, None, None, 2)
        for wrong, heads in ((np.ma.masked_array(qkv), 2), (qkv.astype(">f4"), 2), (qkv, 5), (qkv, True)):
            with pytest.raises(ValueError, match=r"(qkv|num_heads): got"):
                module.attention_forward(wrong, None, None, heads)
