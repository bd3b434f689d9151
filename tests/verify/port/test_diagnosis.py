"""Diagnosis: mistakes that are found, and symptoms that no mistake explains."""

import itertools

import numpy as np
import pytest

from npswin.verify import compare, diagnose
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.mistakes import CATALOGUE
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_output, with_backward_of
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.diagnosis import diagnosis_json
from npswin.verify.port.search import search_mistakes
from tests.thorough import some
from tests.verify.keys import candidate_of, computed, miniature_trace, mistake_named, right, without_mistake


def test_a_tensor_on_the_edge_of_its_tolerance_ends_the_search():
    key = miniature_trace()
    planted = mistake_named("linear-bias-missing")
    _, changes = next(iter(planted.plant(key.graph, "head")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    noise = np.random.default_rng(0).standard_normal(tensors["head"].shape)
    for size in (3e-7, 6e-7, 1e-6, 2e-6, 4e-6):
        moved = tensors | {"head": (tensors["head"] * (1 + size * noise)).astype(np.float32)}
        diagnosis = diagnose(key, {name: array for name, array in moved.items() if "grad/" not in name})
        assert len(diagnosis.causes) <= 2


def test_the_factor_of_a_scaled_tensor_is_fitted():
    key = miniature_trace()
    tensors = right("float32")
    tensors = {name: array for name, array in tensors.items() if not name.startswith("grad/")}
    tensors["head"] = tensors["head"] * np.float32(0.75)
    tensors.pop("loss")
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["factor"]
    assert "by 0.75" in str(diagnosis)


def test_a_symptom_that_no_mistake_explains_is_reported():
    key = miniature_trace()
    tensors = right("float32")
    noise = np.random.default_rng(0).standard_normal(tensors["norm"].shape).astype(np.float32)
    tensors["norm"] = tensors["norm"] + noise
    diagnosis = diagnose(key, tensors)
    assert not diagnosis.causes
    assert next(iter(diagnosis.unexplained)) == "norm"
    assert "nothing explains norm" in str(diagnosis)
    assert "norm" in diagnosis_json(diagnosis)["unexplained"]


def test_two_mistakes_between_two_dumped_tensors():
    key = miniature_trace()
    changes = {}
    for name, place in (
        ("gelu-tanh", "layers.0.blocks.0.mlp.act"),
        ("scale-missing", "layers.0.blocks.0.attn.q_scaled"),
    ):
        mistake = mistake_named(name)
        changes |= next(iter(mistake.plant(key.graph, place)))[1]
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    dumped = {name: tensors[name] for name in ("patch_embed.norm", "layers.0.blocks.0", "layers.0.blocks.1", "head")}
    diagnosis = diagnose(key, dumped)
    assert [sorted(cause.hypothesis.name.split(" + ")) for cause in diagnosis.causes] == [
        ["gelu-tanh", "scale-missing"]
    ]


def test_a_forward_mistake_that_the_backward_pass_does_not_make():
    """As in a port with a backward pass written by hand: its derivative is the correct operation's."""
    key = miniature_trace()

    mistake = mistake_named("gelu-tanh")
    _, changes = next(iter(mistake.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    wrong = computed(key.graph.replaced(changes), key.sources)
    forward = {name: array for name, array in wrong.items() if not name.startswith("grad/")}
    run = Run(key.graph, key.sources | forward)
    for name in key.graph.backward_order():
        forward["grad/" + name] = run.gradient(name)
    diagnosis = diagnose(key, forward)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["gelu-tanh", "right-backward"]
    assert "the backward pass is the right one" in str(diagnosis)


def test_a_comparison_leaves_the_candidate_as_it_was():
    tensors = right("float32")
    before = {name: array.copy() for name, array in tensors.items()}
    diagnose(miniature_trace(), tensors | {"head": tensors["head"] * 2})
    assert all(np.array_equal(tensors[name], before[name]) for name in tensors)


def test_a_tensor_that_is_never_written():
    for name in ("grad/layers.0.blocks.1.attn.proj.bias", "layers.1.blocks.0.attn.q"):
        tensors = right("float32")
        tensors = tensors if name.startswith("grad/") else {n: a for n, a in tensors.items() if "grad/" not in n}
        diagnosis = diagnose(miniature_trace(), tensors | {name: np.zeros_like(tensors[name])})
        assert diagnosis.causes[0].hypothesis.name == "never-written"
        assert diagnosis.causes[0].symptom == name


def test_a_port_of_one_block_that_starts_from_the_key():
    """Its input and the gradient of its output are the key's; between them it makes a mistake."""
    key, block = miniature_trace(), "layers.0.blocks.1"
    planted = mistake_named("gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, f"{block}.mlp.act")))
    start = {name: key[name] for name in ("layers.0.blocks.0", f"grad/{block}")}
    run = Run(key.graph.replaced(changes), key.sources | start)
    names = [name for name in key.shapes if block in name and name not in key.sources]
    dumped = {name: run.value(name).astype(np.float32) for name in [*names, "layers.0.blocks.0"]}
    comparison = compare(key, dumped)
    assert {row.name: row.note for row in comparison.rows}[f"grad/{block}"].startswith("taken from the key")
    assert comparison.local_errors()[0].name == f"{block}.mlp.act"
    diagnosis = diagnose(key, dumped)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["gelu-tanh"]
    assert not diagnosis.unexplained


@pytest.mark.parametrize(
    "name", some(["gelu-tanh", "bias-sign", "roll-direction", "merge-order", "pool-before-norm"], {"bias-sign"})
)
def test_a_mistake_of_a_whole_model_from_its_logits_alone(name):
    """A port that dumps nothing but its logits, and makes the mistake wherever it can."""
    key = miniature_trace()
    mistake = mistake_named(name)
    changes, first = {}, None
    for place in key.graph.nodes:
        for detail, change in mistake.plant(key.graph, place):
            first = detail if first is None else first
            if detail == first:
                changes |= change
    logits = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32")).value("head")
    diagnosis = diagnose(key, {"head": logits})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == [name], str(diagnosis)


def test_an_unexplained_operation_does_not_hide_a_later_mistake():
    """All norms have noise, and patch merging has another order."""
    key = miniature_trace()
    merging = next(iter(mistake_named("merge-order").plant(key.graph, "layers.0.downsample.concat")))[1]
    noise = np.random.default_rng(0).standard_normal(2**12)
    strange_norm = (lambda y: (y + 0.3 * noise[: y.size].reshape(y.shape), None)), (lambda dy, _: dy)
    strange = {}
    for node in key.graph.nodes.values():
        if is_output_of(node, "layer_norm"):
            strange |= change_node(node, transform_output(node.operation, strange_norm))
    run = Run(key.graph.replaced(strange | merging), key.sources, Arithmetic("float32", 0))
    diagnosis = diagnose(key, {name: run.value(name) for name in key.graph.computed})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["merge-order"], str(diagnosis)
    assert set(diagnosis.unexplained) == set(strange)
    assert "nor layers.0.blocks.1.norm1" in str(diagnosis)


def test_a_hypothesis_that_makes_a_correct_tensor_wrong_is_rejected(monkeypatch):
    """The second half of a block starts from the block's input.

    A missing first branch gives the same output of the block, but another one of the MLP, which was dumped and is
    correct.
    """
    key, name = miniature_trace(), "layers.0.blocks.0"
    run = Run(
        key.graph.replaced(dict(mistake_named("blocks-input").plant(key.graph, name))["the shortcut"]), key.sources
    )
    tensors = {part: run.value(part).astype(np.float32) for part in (name, f"{name}.mlp.fc2", "patch_embed.norm")}
    without_mistake(monkeypatch, "blocks-input")
    diagnosis = diagnose(key, tensors)
    assert "residual-missing" not in [cause.hypothesis.name for cause in diagnosis.causes], str(diagnosis)
    assert f"{name}.residual: it is patch_embed.norm" in str(diagnosis)


def test_a_column_that_is_not_written_is_no_dropout():
    tensors = {name: array for name, array in right("float32").items() if "grad/" not in name}
    name = "layers.0.blocks.0.mlp.fc1"
    tensors[name] = tensors[name].copy()
    tensors[name][..., -1] = 0
    diagnosis = diagnose(miniature_trace(), tensors)
    assert "dropout" not in str(diagnosis)


def test_one_mistake_in_every_block_has_one_name():
    """In a block where other mistakes give the same numbers, the one found before is chosen."""
    key = miniature_trace()
    changes = {}
    for place in key.graph.nodes:
        for _, change in mistake_named("bias-xy").plant(key.graph, place):
            changes |= change
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 0))
    dumped = [name for name in key.graph.computed if name == "head" or name.rpartition(".")[2].isdigit()]
    diagnosis = diagnose(key, {name: run.value(name) for name in dumped})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["bias-xy"], str(diagnosis)
    assert diagnosis.causes[0].places == list(changes)


@pytest.mark.parametrize(
    "name", some(["pad-value", "roll-one-axis", "pad-other-side", "crop-elsewhere"], {"pad-value"})
)
def test_a_mistake_whose_backward_pass_is_the_right_one(name):
    """As in a backward pass written by hand. The forward mistake stays in the graph while gradients are examined."""
    key = miniature_trace()
    place = next(place for place in key.graph.nodes if any(mistake_named(name).plant(key.graph, place)))
    changes = next(iter(mistake_named(name).plant(key.graph, place)))[1]
    right_backward = {at: with_backward_of(node, key.graph.nodes[at]) for at, node in changes.items()}
    tensors = computed(key.graph.replaced(right_backward), key.sources, "float32", seed=0)
    diagnosis = diagnose(key, tensors)
    assert name in [cause.hypothesis.name for cause in diagnosis.causes], str(diagnosis)


@pytest.mark.parametrize("dumped", some(["", ".bias"], {""}), ids=["everything", "biases"])
def test_a_fitted_gradient_has_its_operations_place(dumped):
    name = "grad/layers.0.blocks.1.attn.proj.bias"
    tensors = {part: array for part, array in right("float32").items() if part.endswith(dumped)}
    diagnosis = diagnose(miniature_trace(), tensors | {name: tensors[name] * 2})
    assert [cause.places for cause in diagnosis.causes] == [["layers.0.blocks.1.attn.proj"]], str(diagnosis)


def test_a_mask_of_minus_infinity_is_found():
    key = miniature_trace()
    tensors = {name: array for name, array in right("float32").items() if "grad/" not in name}
    for name in ("mask", "masked_scores"):
        name = f"layers.0.blocks.1.attn.{name}"
        tensors[name] = np.where(tensors[name] < -50, np.float32(-np.inf), tensors[name])
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mask-value"], str(diagnosis)
    assert "-inf rather than -100" in str(diagnosis)


def test_the_search_in_noise_ends_soon():
    """For a port that has nothing in common with the key, only a few symptoms are searched."""
    rng = np.random.default_rng(0)
    noise = {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in right().items()}
    diagnosis = diagnose(miniature_trace(), noise)
    assert not diagnosis.causes
    assert len(diagnosis.unexplained) == len(diagnosis.comparison.local_errors())
    assert diagnosis.tried < 1500
    assert len(str(diagnosis).splitlines()) < 25


def test_the_search_ends_at_its_time_limit(monkeypatch):
    """Each reading of the clock is a second later."""
    key = miniature_trace()
    mistake = next(one for one in CATALOGUE if one.name == "scale-missing")
    changes = next(iter(mistake.plant(key.graph, "layers.0.blocks.0.attn.q_scaled")))[1]
    logits = Run(key.graph.replaced(changes), key.sources).value("head")
    clock = itertools.count()
    monkeypatch.setattr("npswin.verify.port.search.time.monotonic", lambda: next(clock))
    found = search_mistakes(Comparer(key, candidate_of({"head": logits}, key.shapes)), seconds=20)
    assert found.timed_out
    assert 10 < found.tried < 20
    assert not found.ok
    assert "the time limit was reached before the search was complete: dump more tensors" in str(found)
