"""Derivatives as sums of terms: the right sum is the operation's derivative, and another one is found by its terms."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.terms import DERIVATIVES
from npswin.verify.mistakes.terms.derivative import Known
from tests.thorough import some
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
CASES = [(operation, index) for operation, derivatives in DERIVATIVES.items() for index in derivatives]
# By name: the operation, the index of the input, the factors, and words of the cause.
PLANTED = {
    "norm's mean doubled": (
        "layer_norm", 0, {"g / σ": 1.0, "⟨g⟩ / σ": -2.0, "x̂ ⟨g x̂⟩ / σ": -1.0}, "⟨g⟩ / σ is multiplied by 2"
    ),
    "norm's sum for mean": (
        "layer_norm", 0, {"g / σ": 1.0, "⟨g⟩ / σ": -1.0, "x̂ ⟨g x̂⟩ / σ": "C"}, "x̂ ⟨g x̂⟩ / σ is multiplied by C"
    ),
    "gain applied late": (
        "layer_norm", 0, {"g / σ": 1.0, "weight ⟨dy⟩ / σ": -1.0, "weight x̂ ⟨dy x̂⟩ / σ": -1.0}, "weight ⟨dy⟩ / σ"
    ),
    "gain's gradient of the input": ("layer_norm", 1, {"Σ dy x": 1.0}, "dweight = Σ dy x"),
    "bias' gradient of g": ("layer_norm", 2, {"Σ g": 1.0}, "dbias = Σ g"),
    "softmax over queries": (
        "softmax", 0, {"p dp": 1.0, "p Σ p dp over the queries": -1.0}, "over the queries in place of p Σ p dp"
    ),
    "softmax's sum over the heads, too": (
        "softmax", 0, {"p dp": 1.0, "p Σ p dp over the keys and heads": -1.0}, "over the keys and heads in place of"
    ),
    "softmax of scores": ("softmax", 0, {"scores dp": 1.0, "scores Σ scores dp": -1.0}, "scores dp - scores Σ scores"),
    "gelu of SiLU": ("gelu", 0, {"dy σ(x)": 1.0, "dy x σ(x) (1 - σ(x))": 1.0}, "that of SiLU"),
    "gelu's density doubled": ("gelu", 0, {"dy Φ(x)": 1.0, "dy x φ(x)": 2.0}, "dy x φ(x) is multiplied by 2"),
    "weight's gradient of ReLU": ("linear", 1, {"dyᵀ ReLU(x)": 1.0}, "dW = dyᵀ ReLU(x)"),
    "keys' gradient": ("scores", 1, {"dSᵀ k": 1.0}, "dk = dSᵀ k"),
    "values' gradient": ("mix", 1, {"do": 1.0}, "dv = do"),
    "bias transposed": ("add_bias", 1, {"Σ dyᵀ, query and key exchanged": 1.0}, "query and key exchanged"),
    "table averaged": ("position_bias", 0, {"the mean of its pairs": 1.0}, "the mean of its pairs"),
    "values' gradient of exponentials": (
        "mix", 1, {"(P / max P)ᵀ do": 1.0}, "exp(scores - maximum) in place of P, not divided"
    ),
    "weight after a step": ("linear", 0, {"dy W": 1.0, "dy dW": -0.1}, "dx = dy W - 0.1 dy dW: with the weight after"),
    "gain after a step": (
        "layer_norm", 0,
        {"g / σ": 1.0, "⟨g⟩ / σ": -1.0, "x̂ ⟨g x̂⟩ / σ": -1.0, "(dx with dweight in place of weight)": -0.1},
        "with the weight after an optimizer's step"
    ),
    "a quarter of the channels": (
        "patch_concat", 0, dict.fromkeys(list(DERIVATIVES["patch_concat"][0].right)[:3], 1.0),
        "the part of odd rows and odd columns is missing"
    ),
    "scale left out": ("scale", 0, {"dy / √d": "√d"}, "dq = √d dy / √d"),
    "loss by probabilities": ("cross_entropy", 0, {"t / p / B": -1.0}, "the derivative by the probabilities"),
    "pool at the largest": ("mean_pool", 0, {"dy at the token of the largest number": 1.0}, "of the largest number"),
    "padding added to the edge": ("pad", 0, {"dy with that of the padding added to the edge": 1.0}, "to the edge"),
}  # fmt: skip
SIGNS = {"√d": 1}  # of numbers that are not subtracted
SAMPLE = {"weight after a step", "a quarter of the channels", "norm's mean doubled", "softmax over queries"}
SAMPLE |= {"gelu of SiLU", "table averaged", "loss by probabilities"}


def nodes_of(operation):
    return [node for node in KEY.graph.nodes.values() if node.operation and node.operation.name == operation]


def known_of(run, node):
    inputs = tuple(run.value(read) for read in node.inputs)
    return Known(run.gradient(node.name), inputs, run.value(node.name), node.settings)


@pytest.mark.parametrize(("operation", "index"), CASES)
def test_the_right_sum_is_the_derivative(operation, index):
    run, derivative = Run(KEY.graph, KEY.sources), DERIVATIVES[operation][index]
    for node in nodes_of(operation):
        if len(node.inputs) <= index:
            continue
        known = known_of(run, node)
        _, cache = node.operation.forward(*known.inputs, **node.settings)
        right = node.operation.backward(known.dy, cache)[index]
        made = sum(factor * derivative.terms[name](known) for name, factor in derivative.right.items())
        np.testing.assert_allclose(np.asarray(made).reshape(right.shape), right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("operation", "index"), CASES)
def test_each_term_has_the_size_of_the_input(operation, index):
    run, derivative = Run(KEY.graph, KEY.sources), DERIVATIVES[operation][index]
    node = next(node for node in nodes_of(operation) if len(node.inputs) > index)
    known, used = known_of(run, node), 0
    for term in derivative.terms.values():
        try:
            used += np.size(term(known)) == known.inputs[index].size
        except NotApplicable:
            continue
    assert used >= len(derivative.right)
    assert derivative.symbol.startswith("d")


def planted_everywhere(operation, index, factors):
    derivative, changes = DERIVATIVES[operation][index], {}
    for node in nodes_of(operation):
        if len(node.inputs) > index:
            changes[node.name] = replace(node, operation=with_sum(node, derivative, index, factors))
    return changes


def with_sum(node, derivative, index, factors):
    operation = node.operation

    def forward(*inputs, **settings):
        y, cache = operation.forward(*inputs, **settings)
        return y, (cache, inputs, y)

    def backward(dy, caches):
        cache, inputs, y = caches
        derivatives, known = list(operation.backward(dy, cache)), Known(dy, inputs, y, node.settings)
        numbers = derivative.numbers(known)
        made = sum(
            (SIGNS.get(factor, -1) * numbers[factor] if isinstance(factor, str) else factor)
            * derivative.terms[name](known)
            for name, factor in factors.items()
        )
        derivatives[index] = np.asarray(made).reshape(derivatives[index].shape).astype(dy.dtype)
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)


@pytest.mark.parametrize("name", some(list(PLANTED), SAMPLE))
def test_another_sum_is_found_by_its_terms(name):
    operation, index, factors, words = PLANTED[name]
    changes = planted_everywhere(operation, index, factors)
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=5))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    cause = diagnosis.causes[0].hypothesis
    assert (cause.name, cause.fitted) == ("other-terms", "after a step" in name)
    assert words in str(cause)


def test_noise_in_a_gradient_is_no_sum():
    tensors = computed(KEY.graph, KEY.sources, "float32", seed=5)
    name = "grad/layers.0.blocks.0.mlp.fc1"
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape) * np.abs(tensors[name]).mean()
    diagnosis = diagnose(KEY, tensors | {name: (tensors[name] + 0.1 * noise).astype(np.float32)})
    assert not [cause for cause in diagnosis.causes if cause.hypothesis.name == "other-terms"], str(diagnosis)
