"""What a diagnosis advises where no mistake explains a tensor."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.verify import diagnose
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.key.golden import draw_labels, draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.mistakes.mistake import change_node
from npswin.verify.port.advice import advice_on_thin_dump
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.diagnosis import diagnosis_json
from npswin.verify.port.search import search_mistakes
from npswin.verify.port.trials import share_left_by_chance
from tests.verify.keys import SCALE, candidate_of, miniature_trace, mistake_named, random_model, right


def to_half_and_back(images, axis):
    """Means of two pixels, between which every other pixel is interpolated linearly."""
    size = images.shape[axis] // 2
    half = (images.take(2 * np.arange(size), axis) + images.take(2 * np.arange(size) + 1, axis)) / 2
    near = np.arange(2 * size) // 2
    far = np.clip(near + np.tile([-1, 1], size), 0, size - 1)
    return 0.75 * half.take(near, axis) + 0.25 * half.take(far, axis)


def resampled():
    """A port that is right but for its images, which are brought to half their size and back, bilinearly.

    Pixels that are repeated or averaged within each patch would be another order, or other weights of the patches.
    """
    key = miniature_trace()
    pixels = to_half_and_back(to_half_and_back(np.asarray(key.sources["pixels"], np.float64), 2), 3)
    run = Run(key.graph, key.sources | {"pixels": np.rint(pixels).astype(np.uint8)}, Arithmetic("float32", 0))
    return {name: run.value(name) for name in key.graph.computed}


def test_another_resampling_is_told_from_the_input():
    diagnosis = diagnose(miniature_trace(), resampled())
    assert list(diagnosis.unexplained) == ["input"]
    assert "resampled or cropped in another way; feed the key's pixels" in str(diagnosis)
    assert "pixels` in key.safetensors" in diagnosis_json(diagnosis)["advice"]["input"]


@pytest.mark.parametrize("first", ["patch_embed.proj", "layers.0.blocks.0"])
def test_the_input_is_asked_for_where_it_was_not_dumped(first):
    tensors = resampled()
    names = list(tensors)
    kept = {name: tensors[name] for name in names[names.index(first) :]}
    diagnosis = diagnose(miniature_trace(), kept)
    assert list(diagnosis.unexplained) == [first]
    assert "   dump input" in str(diagnosis)
    assert "feed the key's pixels" in str(diagnosis)


def test_logits_alone_are_too_few():
    """Also where the search ends at its time limit."""
    key = miniature_trace()
    comparer = Comparer(key, candidate_of({"head": resampled()["head"]}, key.shapes))
    diagnosis = search_mistakes(comparer, seconds=1)
    assert not diagnosis.causes
    assert "nothing before head was dumped, so that the search is long" in str(diagnosis)
    assert "dump input, patch_embed.proj and the output of each block" in str(diagnosis)


@lru_cache
def small_trace():
    model = random_model(img_size=(6, 6), depths=(1, 1), num_heads=(1, 2))
    return trace(model, draw_pixels(0, 2, (6, 6)), draw_labels(0, 2, 5), normalization=SCALE)


def test_a_hopeless_search_ends():
    """Each mistake is tried at every place, and no pair of mistakes, since none alone brings the logits nearer."""
    logits = small_trace()["head"]
    found = logits + np.random.default_rng(0).standard_normal(logits.shape)
    diagnosis = diagnose(small_trace(), {"head": found})
    assert not diagnosis.causes
    assert not diagnosis.timed_out
    assert 100 < diagnosis.tried < 1000  # pairs would be some hundred thousand
    assert "nothing explains head" in str(diagnosis)
    assert "dump input, patch_embed.proj and the output of each block" in str(diagnosis)


def test_a_pair_of_mistakes_is_tried_where_one_brings_the_logits_nearer():
    key = small_trace()
    first = next(iter(mistake_named("gelu-tanh").plant(key.graph, "layers.0.blocks.0.mlp.act")))[1]
    second = next(iter(mistake_named("residual-missing").plant(key.graph, "layers.1.blocks.0")))[1]
    logits = Run(key.graph.replaced(first | second), key.sources, Arithmetic("float32", 0)).value("head")
    found = diagnose(key, {"head": logits}).causes[0]
    assert set(found.hypothesis.name.split(" + ")) == {"gelu-tanh", "residual-missing"}


@given(st.integers(2, 60), st.integers(1, 500), st.integers(0, 99))
def test_the_share_that_chance_leaves(numbers, tried, seed):
    """Random directions, each of the best size, are seldom nearer."""
    directions = np.random.default_rng(seed).standard_normal((tried, numbers))
    wanted = np.random.default_rng(seed + 1000).standard_normal(numbers)
    cosines = directions @ wanted / np.linalg.norm(directions, axis=1) / np.linalg.norm(wanted)
    assert np.sqrt(1 - cosines**2).min() >= 0.5 * share_left_by_chance(numbers, tried)


def test_no_advice_where_a_cause_is_found_or_all_agrees():
    key = miniature_trace()
    changes = next(iter(mistake_named("gelu-tanh").plant(key.graph, "layers.0.blocks.0.mlp.act")))[1]
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 0))
    assert "feed the key's pixels" not in str(diagnose(key, {"head": run.value("head")}))
    assert not advice_on_thin_dump(diagnose(key, {"head": right("float32")["head"]}).comparison)


def test_no_advice_on_pixels_for_a_later_tensor():
    key, tensors = miniature_trace(), right("float32")
    tensors = {name: array for name, array in tensors.items() if not name.startswith("grad/")}
    tensors["norm"] = tensors["norm"] + np.random.default_rng(0).standard_normal(tensors["norm"].shape)
    diagnosis = diagnose(key, tensors)
    assert "norm" in diagnosis.unexplained
    assert "feed the key's pixels" not in str(diagnosis)
    assert diagnosis_json(diagnosis)["advice"] == {}


def test_the_changed_node_of_the_input_keeps_its_settings():
    """The images' mean and deviation are read by other mistakes after a first one was found."""
    node = miniature_trace().graph.nodes["input"]
    for _, changes in mistake_named("normalization").plant(miniature_trace().graph, "input"):
        assert changes["input"].settings == change_node(node)["input"].settings
