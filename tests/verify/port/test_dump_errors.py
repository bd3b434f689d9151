"""Diagnosis of dump errors: correct tensors in another layout, or under another name."""

from types import SimpleNamespace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.port.dump_errors import _explains
from npswin.verify.port.tolerance import Tolerance
from tests.verify.keys import computed, miniature_trace, mistake_named, right, without_mistake

MAPS = ("patch_embed.proj", "layers.0.blocks.0.norm1", "layers.0.blocks.0", "norm")


@pytest.mark.parametrize(
    ("dump", "description"),
    [
        (lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)), "its axes are B, C, H, W; the key's are B, H, W, C"),
        (
            lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)).reshape(a.shape),
            "its memory is laid out as B, C, H, W; the key's as B, H, W, C",
        ),
        (lambda a: a.byteswap(), "its bytes are big-endian"),
        (lambda a: a.reshape(a.shape[::-1]), "its memory is right, its shape is listed from the last axis on"),
    ],
)
def test_maps_in_another_layout(dump, description):
    tensors = right("float32")
    with np.errstate(all="ignore"):
        diagnosis = diagnose(miniature_trace(), tensors | {name: dump(tensors[name]) for name in MAPS})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["layout"], str(diagnosis)
    assert description in str(diagnosis)
    assert set(diagnosis.causes[0].places) == set(MAPS)
    assert not diagnosis.unexplained


@pytest.mark.thorough  # in the default run test_maps_in_another_layout has some of these shapes
def test_shapes_that_are_listed_from_the_last_axis_on():
    """As in Fortran, Julia and ggml, for every tensor and the image."""
    tensors = {name: array.reshape(array.shape[::-1]) for name, array in right("float32").items()}
    diagnosis = diagnose(miniature_trace(), tensors)
    assert {cause.hypothesis.name for cause in diagnosis.causes} == {"layout"}, str(diagnosis)
    assert not diagnosis.unexplained


def test_a_mistake_behind_a_dump_in_another_layout():
    """The layout is found first, and then the mistake."""
    key = miniature_trace()
    planted = mistake_named("gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    tensors |= {name: np.ascontiguousarray(tensors[name].transpose(0, 3, 1, 2)) for name in MAPS}
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["layout", "gelu-tanh"], str(diagnosis)


def test_a_tensor_under_anothers_name():
    tensors = right("float32")
    diagnosis = diagnose(miniature_trace(), tensors | {"layers.0.blocks.0.norm1": tensors["layers.0.blocks.0.norm2"]})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mislabelled"], str(diagnosis)
    assert "it holds the numbers of layers.0.blocks.0.norm2" in str(diagnosis)
    assert not diagnosis.unexplained


def test_two_tensors_under_each_others_names():
    """Not an order of q, k and v: what follows is computed with the right ones."""
    tensors, k, v = right("float32"), "layers.0.blocks.0.attn.k", "layers.0.blocks.0.attn.v"
    diagnosis = diagnose(miniature_trace(), tensors | {k: tensors[v], v: tensors[k]})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mislabelled"], str(diagnosis)
    assert f"{k} and {v} are under each other's names" in str(diagnosis)
    assert not diagnosis.unexplained


def test_numbers_that_nothing_follows_from_may_be_wrong_in_the_dump_alone():
    tensors, name = right("float32"), "layers.1.blocks.0.mlp.fc2"
    half = tensors[name] * np.array([1, 0], np.float32).reshape(2, 1, 1, 1)
    diagnosis = diagnose(miniature_trace(), tensors | {name: half})
    assert [cause.hypothesis.description for cause in diagnosis.causes] == [f"{name}: the last image is 0"]
    assert "layers.1.blocks.0 agrees with the key nevertheless" in str(diagnosis)
    assert not diagnosis.unexplained


def test_a_mistake_behind_a_tensor_under_anothers_name():
    key = miniature_trace()
    planted = mistake_named("pad-before-norm")
    _, changes = next(iter(planted.plant(key.graph, "layers.0.blocks.0.attn.padded")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    diagnosis = diagnose(key, tensors | {"layers.0.blocks.0.norm1": tensors["patch_embed.norm"]})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mislabelled", "pad-before-norm"], str(diagnosis)
    assert not diagnosis.unexplained


def test_a_tensor_that_the_port_computed_with_is_no_dump_error(monkeypatch):
    """A block that uses another block's bias dumps the numbers of another tensor, and adds them."""
    key, place = miniature_trace(), "layers.0.blocks.0.attn.relative_position_bias"
    changes = dict(mistake_named("other-parameters").plant(key.graph, place))["of layers.0.blocks.1.attn"]
    without_mistake(monkeypatch, "other-parameters")
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=0))
    assert "dumped wrongly" not in str(diagnosis)
    table = "layers.0.blocks.1.attn.relative_position_bias_table"
    assert f"relative_position_bias_table: it is {table}" in str(diagnosis)


def test_another_blocks_parameters_are_no_dump_error():
    key = miniature_trace()
    place = "layers.0.blocks.0.attn.relative_position_bias"
    changes = dict(mistake_named("other-parameters").plant(key.graph, place))["of layers.0.blocks.1.attn"]
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=0))
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["other-parameters"], str(diagnosis)


@pytest.mark.parametrize(("relative", "explains"), [(1e-6, True), (16.0, False)])
def test_no_layout_explains_a_tensor_that_is_all_rounding_errors(relative, explains):
    error = SimpleNamespace(is_significant=False, tolerance=Tolerance(relative, relative))
    errors = SimpleNamespace(error=lambda *_: error)
    found = np.ones(8)
    assert _explains(lambda array: array, found, "grad/norm.bias", found.shape, errors) == explains
