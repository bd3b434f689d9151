"""Operations in fewer bits, recognized by their rounding errors. The ports compute with NumPy's own float16."""

from dataclasses import replace
from functools import reduce

import ml_dtypes
import numpy as np
import pytest

from npswin.verify import compare, diagnose
from npswin.verify.fits.explanation import times
from npswin.verify.graph.operations import LAYER_NORM
from npswin.verify.mistakes.mistake import change_node, transform_output, with_backward
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.dump_errors import CorrectedDump
from npswin.verify.port.explainer import Explainer
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.operation_precision import PrecisionExplanation, precision_explanation
from npswin.verify.port.quantization import quantization_text
from npswin.verify.port.rounded_norms import (
    CENTRED,
    DEVIATION,
    FACTOR,
    MEAN,
    MEAN_SQUARE,
    NORMALIZED,
    SQUARES,
    VARIANCE,
    WITH_EPS,
    RoundedNorm,
    X,
)
from npswin.verify.port.symptoms import Symptoms
from npswin.verify.port.trials import Trials
from tests.verify.keys import candidate_of, computed, miniature_trace

BLOCK = "layers.0.blocks.1"
NORM, SOFTMAX, FC1 = f"{BLOCK}.norm1", f"{BLOCK}.attn.probabilities", f"{BLOCK}.mlp.fc1"
SUM = f"{BLOCK}.residual"
SCORES, SCORES_OF_HEADS = f"{BLOCK}.attn.scores", "layers.1.blocks.1.attn.scores"
BLOCKS = ("input", "layers.0.blocks.0", BLOCK, "head")


def half(function, dtype=np.float16):
    """A function computed in 16 bits, whose result is float32 again."""

    def compute(*inputs, **settings):
        return np.asarray(function(*(x.astype(dtype) for x in inputs), **settings), np.float32)

    return compute


def norm(x, weight, bias, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps)) * weight + bias


def norm_by_rsqrt(x, weight, bias, eps):
    """With the reciprocal of the root rounded once."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(eps)
    return centred * (1 / np.sqrt(variance.astype(np.float32))).astype(x.dtype) * weight + bias


def norm_by_means(x, weight, bias, eps):
    """With the variance E[x²] - E[x]² of means in bfloat16."""
    mean, mean_square = (in_bfloat16(each.mean(axis=-1, keepdims=True)) for each in (x, x * x))
    factor = 1 / np.sqrt(np.maximum(mean_square - mean * mean, 0) + np.float32(eps))
    return (x - mean) * factor * weight + bias


def one_pass_in_half(x, weight, bias, eps):
    """With the variance E[x²] - E[x]² in float16."""
    few = x.astype(np.float16)
    mean = few.mean(axis=-1, keepdims=True)
    variance = np.maximum((few * few).mean(axis=-1, keepdims=True) - mean * mean, 0).astype(np.float32)
    return (x - mean.astype(np.float32)) / np.sqrt(variance + np.float32(eps)) * weight + bias


def norm_by_squares_in_order(x, weight, bias, eps):
    """With squares that are added one after the other in float16."""
    centred = x - x.mean(axis=-1, keepdims=True)
    squares = np.moveaxis(centred * centred, -1, 0).astype(np.float16)
    total = reduce(lambda sums, one: sums + one, squares)[..., None]
    variance = (total / np.float16(x.shape[-1])).astype(np.float32)
    return centred / np.sqrt(variance + np.float32(eps)) * weight + bias


def norm_about_half_mean(x, weight, bias, eps):
    mean = x.mean(axis=-1, keepdims=True).astype(np.float16).astype(np.float32)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + np.float32(eps)) * weight + bias


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def linear(x, weight, bias):
    """Products of 16 bits, summed in float32."""
    y = x.astype(np.float32) @ weight.astype(np.float32).T + bias.astype(np.float32)
    return y.astype(x.dtype)


def in_bfloat16(x):
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def with_int8_rows(x, weight, bias):
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    return (x @ (np.rint(weight / step) * step).T + bias).astype(np.float32)


def scores_in_steps_of_image_0(q, k):
    """The steps are the first image's; larger numbers of others are limited."""
    steps = [np.abs(x[0]).max() / 127 for x in (q, k)]
    q, k = (np.clip(np.rint(x / step), -127, 127) * step for x, step in zip((q, k), steps, strict=True))
    return (q @ k.swapaxes(-1, -2)).astype(np.float32)


def scores_with_int8_keys(q, k):
    step = np.abs(k).max(axis=(0, 1, 3, 4), keepdims=True) / 127
    return (q @ (np.rint(k / step) * step).swapaxes(-1, -2)).astype(np.float32)


def sum_in_int8(x, branch):
    """Both terms and the sum are integers of 8 bits, times a step that the terms determine."""
    step = max(np.abs(x).max(), np.abs(branch).max()) / 127
    x, branch = (np.rint(each / step) for each in (x, branch))
    return (np.clip(x + branch, -127, 127) * step).astype(np.float32)


def port(functions, names=None):
    """A float32 port with other functions for some tensors; those of `names` are dumped."""
    key = miniature_trace()
    values = {name: np.float32(x) if x.dtype.kind == "f" else x for name, x in key.sources.items()}
    with np.errstate(all="ignore"):
        for name in key.graph.computed:
            node = key.graph.nodes[name]
            inputs = [values[read] for read in node.inputs]
            function = functions.get(name, lambda *x, node=node, **s: node.operation.forward(*x, **s)[0])
            values[name] = np.asarray(function(*inputs, **node.settings), np.float32)
    return {name: values[name] for name in names or key.graph.computed}


def explanation(tensors, name):
    key = miniature_trace()
    return precision_explanation(LocalErrors(key.graph, key.sources | tensors, "float32"), name, tensors[name])


@pytest.mark.parametrize(
    ("name", "function", "text"),
    [
        (NORM, half(norm), "computed in float16: each of its steps is rounded to float16"),
        (NORM, half(norm_by_rsqrt), "computed in float16: each of its steps is rounded to float16"),
        (NORM, norm_by_means, "the variance is E[x²] - E[x]², with both means rounded to bfloat16"),
        (
            NORM,
            one_pass_in_half,
            "x, the mean, the squares, their mean, the mean's square and the difference rounded to",
        ),
        (NORM, norm_by_squares_in_order, "the variance of each token is a number of float16, up to 1 unit in the last"),
        (NORM, norm_about_half_mean, "computed in float16: the mean is rounded to float16"),
        (SOFTMAX, half(softmax), "computed in float16: each of its steps is rounded to float16"),
        (SOFTMAX, lambda x: softmax(x.astype(np.float16).astype(np.float32)), "its inputs are rounded to float16"),
        (FC1, half(linear, ml_dtypes.bfloat16), "computed in bfloat16: its inputs and its result are rounded"),
        (FC1, lambda x, *params: linear(x, *map(in_bfloat16, params)), "its weights are rounded to bfloat16"),
        (FC1, with_int8_rows, "computed in int8: its weights are int8, one scale for each row"),
        (
            f"{BLOCK}.residual",
            sum_in_int8,
            "its inputs and its result are rounded to int8 with one step",
        ),
        (SCORES, scores_in_steps_of_image_0, "its factors are int8, the scale of the first image, larger numbers"),
        (SCORES_OF_HEADS, scores_with_int8_keys, "its second factor is int8, one scale for each head"),
    ],
)
def test_an_operation_in_few_bits_is_named(name, function, text):
    tensors = port({name: function})
    comparison = compare(miniature_trace(), tensors)
    assert comparison.precision == "float32"
    assert [row.name for row in comparison.local_errors()] == [name]
    assert text in comparison.first_error().note
    found = explanation(tensors, name)
    assert text in found.text
    assert found.places == (name,)
    assert found.left < 0.2


WAYS = [RoundedNorm(frozenset()), RoundedNorm(frozenset(), True), RoundedNorm(frozenset(), exact_centre=True)]
WAYS += [RoundedNorm(frozenset(), True, exact_centre=True), RoundedNorm(frozenset(), exact_variance=True)]
WAYS += [RoundedNorm(frozenset(), True, exact_variance=True)]


class AddedConstants:
    """Rounding that adds, at other numbers, what it added the first time: its derivative is 1."""

    def __init__(self):
        self.added, self.place = [], 0

    def __call__(self, x):
        if self.place == len(self.added):
            self.added.append(x.astype(np.float16) - x)
        self.place += 1
        return x + self.added[self.place - 1]


ROUNDED_WAYS = [RoundedNorm(frozenset({X, MEAN, SQUARES, MEAN_SQUARE}), True), RoundedNorm(frozenset({MEAN, VARIANCE}))]
ROUNDED_WAYS += [RoundedNorm(frozenset({CENTRED, SQUARES, WITH_EPS, DEVIATION, FACTOR, NORMALIZED}))]


@pytest.mark.parametrize("norm", ROUNDED_WAYS)
def test_straight_through_the_derivative_of_a_rounded_norm_is_that_with_constants_added(norm):
    rng, step = np.random.default_rng(0), 1e-6
    x, weight, bias, dy = rng.standard_normal((1, 6)), *rng.standard_normal((2, 6)), rng.standard_normal((1, 6))
    rounding = AddedConstants()
    operation = norm.operation(rounding, True, straight_through=True)

    def total(at):
        rounding.place = 0
        return np.sum(dy * operation.forward(at, weight, bias, eps=1e-5)[0])

    total(x)
    moves = step * np.eye(6)
    numeric = [(total(x + move) - total(x - move)) / (2 * step) for move in moves]
    rounding.place = 0
    cache = operation.forward(x, weight, bias, eps=1e-5)[1]
    np.testing.assert_allclose(operation.backward(dy, cache)[0][0], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", WAYS)
@pytest.mark.parametrize("differentiated", [False, True])
def test_without_rounding_the_steps_of_a_norm_have_its_derivative(norm, differentiated):
    rng = np.random.default_rng(0)
    x, weight, bias, dy = rng.standard_normal((5, 6)), *rng.standard_normal((2, 6)), rng.standard_normal((5, 6))
    operation = norm.operation(lambda one: one, differentiated)
    (y, cache), (right, right_cache) = (each.forward(x, weight, bias, eps=1e-5) for each in (operation, LAYER_NORM))
    np.testing.assert_allclose(y, right, rtol=1e-9, atol=1e-12)
    for one, right in zip(operation.backward(dy, cache), LAYER_NORM.backward(dy, right_cache), strict=True):
        np.testing.assert_allclose(one, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "function"), [(NORM, half(norm)), (SOFTMAX, half(softmax)), (FC1, half(linear, ml_dtypes.bfloat16))]
)
def test_it_is_named_from_the_blocks_outputs(name, function):
    found = explanation(port({name: function}, BLOCKS), BLOCK)
    assert found.places == (name,)
    assert found.text.startswith(f"{name}: computed in {'bfloat16' if name == FC1 else 'float16'}")


def test_both_norms_of_a_block_are_named_together():
    tensors = port({f"{BLOCK}.norm1": half(norm), f"{BLOCK}.norm2": half(norm)}, BLOCKS)
    assert set(explanation(tensors, BLOCK).places) == {f"{BLOCK}.norm1", f"{BLOCK}.norm2"}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        lambda x: x / (1 + np.exp(-1.702 * x)),
        lambda x: np.maximum(x, 0),
    ],
)
@pytest.mark.parametrize("names", [None, BLOCKS])
def test_another_mistake_is_not_taken_for_rounding(function, names):
    tensors = port({f"{BLOCK}.mlp.act": function}, names)
    assert explanation(tensors, BLOCK if names else f"{BLOCK}.mlp.act") is None


def norm_with_noise(x, weight, bias, eps):
    """With an error of each token's variance, and one of its mean, as large as those of float16."""
    noise = 1 + 1e-3 * np.random.default_rng(0).standard_normal((2, *x.shape[:-1], 1))
    variance = x.var(axis=-1, keepdims=True) * noise[0]
    return (x - x.mean(axis=-1, keepdims=True) * noise[1]) / np.sqrt(variance + eps) * weight + bias


def norm_about_the_image_before(x, weight, bias, eps):
    return (x - np.roll(x.mean(axis=-1, keepdims=True), 1, 0)) / np.sqrt(
        x.var(axis=-1, keepdims=True) + eps
    ) * weight + bias


@pytest.mark.parametrize("function", [norm_with_noise, norm_about_the_image_before])
def test_other_statistics_are_not_taken_for_rounding(function):
    assert explanation(port({NORM: function}), NORM) is None


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_taken_for_rounding(seed):
    tensors = port({})
    rng = np.random.default_rng(seed)
    for name in ("head", NORM, SOFTMAX):
        noisy = tensors[name] * (1 + 5e-4 * rng.standard_normal(tensors[name].shape))
        assert explanation(tensors | {name: noisy.astype(np.float32)}, name) is None


def test_an_overflow_in_the_variance():
    """Of 100000 float16 has infinity: the variance is infinite, and the norm's result its bias."""
    key = miniature_trace()
    tensors = port({})
    x = f"{BLOCK}.residual"
    name = f"{BLOCK}.norm2"
    tensors[x] = tensors[x] * np.float32(600)
    parameters = [np.float32(key.sources[f"{name}.{part}"]) for part in ("weight", "bias")]
    with np.errstate(all="ignore"):
        tensors[name] = half(norm)(tensors[x], *parameters, eps=1e-5)
    found = explanation(tensors, name)
    assert found.precision == "float16"
    assert "each of its steps is rounded" in found.text


def test_scores_that_overflow():
    tensors = port({})
    name = f"{BLOCK}.attn.scores"
    for factor, letter in ((3e3, "q_scaled"), (30, "k")):
        tensors[f"{BLOCK}.attn.{letter}"] = tensors[f"{BLOCK}.attn.{letter}"] * np.float32(factor)
    scores = half(products)(tensors[f"{BLOCK}.attn.q_scaled"], tensors[f"{BLOCK}.attn.k"])
    assert np.isinf(scores).any()
    assert not np.isinf(scores).all()
    found = explanation(tensors | {name: scores}, name)
    assert "which overflows" in found.text
    assert "is above 65504" in found.text
    note = {row.name: row.note for row in compare(miniature_trace(), tensors | {name: scores}).rows}[name]
    assert "numbers are NaN or infinite" in note
    assert "which overflows" in note


@pytest.mark.parametrize("name", [SOFTMAX, f"{BLOCK}.attn.windows"])
def test_a_nan_from_elsewhere_is_no_overflow(name):
    array = port({})[name].copy()
    array.flat[5] = np.nan
    assert explanation(port({}) | {name: array}, name) is None


def products(q, k):
    with np.errstate(over="ignore"):
        return (q.astype(np.float32) @ k.astype(np.float32).swapaxes(-1, -2)).astype(np.float16)


def test_small_numbers_that_become_zero():
    key, tensors = miniature_trace(), port({})
    scores = key.graph.nodes[SOFTMAX].inputs[0]
    tensors[scores] = tensors[scores] * np.float32(6)
    right = softmax(tensors[scores].astype(np.float16).astype(np.float64))
    flushed = np.where(right < 2.0**-14, 0, right).astype(np.float16).astype(np.float32)
    found = explanation(tensors | {SOFTMAX: flushed}, SOFTMAX)
    assert found.precision == "float16"


def test_a_gradient_in_half_precision():
    key, norm_name = miniature_trace(), "layers.1.blocks.1.norm1"
    dy = np.float32(key[f"grad/{norm_name}"]).astype(np.float16)
    node = key.graph.nodes[norm_name]
    inputs = [np.float32(key[name]).astype(np.float16).astype(np.float64) for name in node.inputs]
    cache = node.operation.forward(*inputs, **node.settings)[1]
    gradient = node.operation.backward(dy.astype(np.float64), cache)[1].astype(np.float16).astype(np.float32)
    name = f"{norm_name}.weight"
    given = {one: np.float32(key[one]) for one in (norm_name, f"grad/{norm_name}", *node.inputs[:1])}
    errors = LocalErrors(key.graph, key.sources | given, "float32")
    found = precision_explanation(errors, f"grad/{name}", gradient)
    assert found.precision == "float16"
    assert found.places == (norm_name,)


def flushed(x):
    half = x.astype(np.float16).astype(np.float32)
    return np.where(np.abs(half) < 2.0**-14, np.float32(0), half).astype(x.dtype)


def in_half(x):
    return x.astype(np.float16).astype(x.dtype)


@pytest.mark.parametrize(
    ("rounding", "words"),
    [
        (flushed, "its result is rounded to float16, with 0 for subnormal numbers, in the backward pass alone"),
        (in_half, "its result is rounded to float16, in the backward pass alone"),
    ],
)
def test_derivatives_in_half_precision_are_one_cause(rounding, words):
    key, changes = miniature_trace(), {}
    for node in key.graph.nodes.values():
        if node.name.endswith(".attn.probabilities"):

            def backward(dy, cache, operation=node.operation):
                return tuple(rounding(one) for one in operation.backward(dy, cache))

            changes |= change_node(node, with_backward(node.operation, backward))
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=7))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert words in str(diagnosis.causes[0])


@pytest.mark.parametrize(
    ("of_input", "of_gradient", "words"),
    [
        (in_bfloat16, None, "its first input is rounded to bfloat16, in the backward pass alone"),
        (None, flushed, "the incoming gradient is rounded to float16, with 0 for subnormal numbers"),
    ],
)
def test_what_a_linear_layers_backward_pass_reads_in_16_bits(of_input, of_gradient, words):
    """The input that was kept for it, or the gradient that comes in."""
    key = miniature_trace()
    node = key.graph.nodes[FC1]
    operation = node.operation

    def forward(x, *parameters, **settings):
        y, cache = operation.forward(x, *parameters, **settings)
        return y, operation.forward(of_input(x), *parameters, **settings)[1] if of_input else cache

    def backward(dy, cache):
        return operation.backward(of_gradient(dy) if of_gradient else dy, cache)

    wrong = change_node(node, replace(operation, forward=forward, backward=backward))
    diagnosis = diagnose(key, computed(key.graph.replaced(wrong), key.sources, "float32", seed=7))
    (cause,) = diagnosis.causes
    assert words in str(cause)
    assert not diagnosis.unexplained


def test_fewer_bits_that_make_a_right_activation_wrong_settle_nothing(monkeypatch):
    key, name = miniature_trace(), f"{BLOCK}.mlp.act"
    noise = np.random.default_rng(0).standard_normal(key.shapes[name])
    tensors = computed(key.graph, key.sources, "float32", seed=0) | {name: np.float32(key[name] + noise)}
    fc2 = key.graph.nodes["layers.0.blocks.0.mlp.fc2"]
    changes = change_node(fc2, transform_output(fc2.operation, times(2.0)))
    refused = PrecisionExplanation("computed in float16", "", "float16", (name,), changes, 0.1)
    monkeypatch.setattr("npswin.verify.port.explainer.precision_explanation", lambda *_, **__: refused)
    comparer = Comparer(key, candidate_of(tensors, key.shapes), None)
    symptoms = Symptoms(comparer, comparer.compare(), lambda *_: None)
    now = symptoms.state(comparer.local_errors, CorrectedDump(comparer.candidate, dict(comparer.given)))
    explainer = Explainer(symptoms, Trials(symptoms, [], lambda *_: None, np.inf))
    assert not explainer.in_fewer_bits(name, now.dump.tensor(name), now)
    assert name not in symptoms.settled


def test_multiples_of_a_step_are_recognized():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((24, 48)).astype(np.float32)
    step = np.float32(np.abs(weight).max() / 127)
    quantized = np.rint(weight / step).astype(np.float32) * step
    assert f"multiples of {step:.4g}" in quantization_text(quantized)
    rows = np.abs(weight).max(axis=1, keepdims=True) / 127
    assert "for each index of the first axis" in quantization_text((np.rint(weight / rows) * rows).astype(np.float32))
    columns = np.abs(weight).max(axis=0, keepdims=True) / 7
    text = quantization_text((np.rint(weight / columns) * columns).astype(np.float32))
    assert text == "" or "last axis" in text
    for other in (weight, weight[:2, :3], np.zeros((30, 30)), np.arange(100.0), np.full((4, 4), np.nan)):
        assert quantization_text(other) == ""


def test_the_row_of_a_quantized_weight_says_so():
    key = miniature_trace()
    name = "layers.0.blocks.0.mlp.fc1.weight"
    weight = key[name]
    step = np.abs(weight).max() / 127
    comparison = compare(key, port({}) | {name: (np.rint(weight / step) * step).astype(np.float32)})
    assert "its numbers are multiples of" in {row.name: row.note for row in comparison.rows}[name]


def quantized(x, share=1.0):
    """Multiples of a step, of which 127 reach a share of the largest number."""
    step = np.abs(x).max() * share / 127
    return (np.clip(np.rint(x / step), -127, 127) * step).astype(np.float32)


@pytest.mark.parametrize(
    ("inputs", "share", "parts", "words"),
    [
        (True, 1.0, (FC1, "head"), "its inputs (one scale for the tensor) and its result are rounded to int8"),
        (False, 0.9, (f"{BLOCK}.attn.proj", FC1), "its result is rounded to int8"),
    ],
)
def test_int8_activations_are_one_cause_with_their_places(inputs, share, parts, words):
    """Also where the step was chosen from other images, so that large numbers are cut off."""
    places = [f"{BLOCK}.attn.qkv", *parts]

    def compute(x, weight, bias):
        return quantized((quantized(x) if inputs else x) @ weight.T + bias, share)

    found = diagnose(miniature_trace(), port(dict.fromkeys(places, compute)))
    assert not found.unexplained, str(found)
    assert [(str(cause), cause.places) for cause in found.causes] == [(f"computed in int8: {words}", places)]
    assert f"{BLOCK}.attn.qkv (its numbers are multiples of" in str(found)


def test_another_mistake_on_a_grid_is_not_int8():
    found = diagnose(miniature_trace(), port({FC1: lambda *x: quantized(np.tanh(linear(*x)))}))
    assert not any("int8" in str(cause) for cause in found.causes), str(found)


def test_int8_inputs_of_another_scale_are_read_off_the_result():
    found = diagnose(miniature_trace(), port({FC1: lambda x, *rest: linear(quantized(x, 0.9), *rest)}))
    (cause,) = found.causes
    assert cause.places == [FC1]
    assert "norm2: the numbers are rounded to a grid of step" in str(cause)
    assert "as int8 has them" in str(cause)
