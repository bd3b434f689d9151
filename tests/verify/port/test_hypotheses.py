"""Hypotheses: a mistake that does not apply is skipped, and a programming error in a mistake surfaces."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes import CATALOGUE, Mistake
from npswin.verify.mistakes.gradients import GRADIENTS
from npswin.verify.mistakes.mistake import at_outputs_of, change_node, gather_node, in_same_module, transform_output
from npswin.verify.mistakes.not_applicable import NotApplicable, shape_errors_as_not_applicable
from npswin.verify.port.hypotheses import HypothesisGenerator
from tests.verify.keys import computed, miniature_trace, mistake_named, odd_trace, right

SCALED = "layers.0.blocks.0.attn.q_scaled"


def wrong_scale():
    """The tensors of a port that does not scale the queries."""
    key = miniature_trace()
    changes = next(iter(mistake_named("scale-missing").plant(key.graph, SCALED)))[1]
    return computed(key.graph.replaced(changes), key.sources, "float32", seed=0)


def with_only(monkeypatch, *mistakes):
    monkeypatch.setattr("npswin.verify.port.hypotheses.CATALOGUE", mistakes)


def wrong_setting(graph, node):
    yield "", change_node(node, settings={"facto": 1.0})


def wrong_node(graph, node):
    yield "", change_node(graph.nodes[in_same_module(node.name, "q_scalde")])


def wrong_attribute(graph, node):
    yield "", change_node(node, replace(node.operation, forward=node.operation.forwad))


def wrong_arguments(graph, node):
    yield "", change_node(node, replace(node.operation, forward=lambda x: (x, None)))


@pytest.mark.parametrize(
    ("variants", "error"),
    [
        (wrong_setting, KeyError),
        (wrong_node, KeyError),
        (wrong_attribute, AttributeError),
        (wrong_arguments, TypeError),
    ],
    ids=lambda value: value.__name__,
)
def test_a_programming_error_in_a_mistake_surfaces(monkeypatch, variants, error):
    with_only(monkeypatch, Mistake("typo", "it has a typo", "correct it", at_outputs_of("scale", variants)))
    with pytest.raises(error):
        diagnose(miniature_trace(), wrong_scale())


def test_a_mistake_that_does_not_apply_is_skipped_when_it_is_planted(monkeypatch):
    def variants(graph, node):
        raise NotApplicable(node.name)
        yield

    scale_missing = mistake_named("scale-missing")
    with_only(monkeypatch, Mistake("none", "it never applies", "", at_outputs_of("scale", variants)), scale_missing)
    diagnosis = diagnose(miniature_trace(), wrong_scale())
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["scale-missing"]


@pytest.mark.parametrize("error", [NotApplicable, ValueError, IndexError], ids=lambda error: error.__name__)
def test_a_mistake_that_does_not_apply_is_skipped_when_it_is_computed(monkeypatch, error):
    def variants(graph, node):
        def forward(x, factor):
            raise error("another shape")

        yield "", change_node(node, replace(node.operation, forward=forward))

    scale_missing = mistake_named("scale-missing")
    with_only(monkeypatch, Mistake("none", "it never applies", "", at_outputs_of("scale", variants)), scale_missing)
    diagnosis = diagnose(miniature_trace(), wrong_scale())
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["scale-missing"]


def test_a_rearrangement_of_a_node_with_two_inputs_is_not_applicable():
    key = miniature_trace()
    node = key.graph.nodes["layers.0.blocks.0.attn.context"]
    run = Run(key.graph.replaced(gather_node(node, "mix", lambda x: x)), key.sources)
    with pytest.raises(NotApplicable, match="has 2 inputs"):
        run.value(node.name)


@pytest.mark.parametrize("mistake", GRADIENTS, ids=lambda mistake: mistake.name)
def test_a_wrong_backward_pass_of_a_changed_operation_is_computed_or_not_applicable(mistake):
    """The operation's output is transformed, so that its cache has other parts."""
    key = miniature_trace()
    name = next(name for name in key.graph.nodes if any(mistake.plant(key.graph, name)))
    node, identity = key.graph.nodes[name], ((lambda y: (y, None)), (lambda dy, _: dy))
    graph = key.graph.replaced(change_node(node, transform_output(node.operation, identity)))
    for _, changes in mistake.plant(graph, name):
        run = Run(graph.replaced(changes), key.sources)
        for read in node.inputs:
            if read in graph.differentiable:
                with suppress(NotApplicable), shape_errors_as_not_applicable(read), np.errstate(all="ignore"):
                    assert run.gradient(read).shape == run.value(read).shape


def test_the_nodes_of_an_undumped_unit_are_between_its_dumped_tensors():
    key = miniature_trace()
    given = key.sources | {name: key[name] for name in ("layers.0.blocks.0.norm1", "layers.0.blocks.0.attn.qkv")}
    generator = HypothesisGenerator(key.graph, given, key.graph)
    unit = ["padded", "windows", "qkv"]
    assert generator.nodes_between("layers.0.blocks.0.attn.qkv") == [f"layers.0.blocks.0.attn.{part}" for part in unit]


def test_a_parameter_of_another_shape_has_no_cause():
    tensors = right("float32") | {"head.weight": np.ones((3, 4), np.float32)}
    diagnosis = diagnose(miniature_trace(), tensors)
    assert "head.weight" in diagnosis.unexplained
    assert not diagnosis.causes


def test_every_name_of_the_catalogue_is_a_hypothesis_of_some_tensor():
    symptoms = ("loss", "grad/input", "grad/layers.0.blocks.0.attn.relative_position_bias_table")
    names = set()
    for key in (miniature_trace(), odd_trace()):
        generator = HypothesisGenerator(key.graph, key.sources, key.graph)
        names |= {hypothesis.name for symptom in symptoms for hypothesis in generator.hypotheses(symptom)}
    assert names == {mistake.name for mistake in CATALOGUE}
