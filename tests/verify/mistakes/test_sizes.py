"""Maps, windows and images of sizes that are not divided: each mistake is one cause, also where it changes shapes."""

import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.key.golden import draw_labels, draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.mistakes.map_size import map_of_block, steps_after
from tests import thorough
from tests.verify.keys import SCALE, computed, mistake_named, odd_trace, random_model

NAMES = ("merge-crop", "merge-pad", "patch-crop", "patch-pad", "pad-other-side", "pad-value", "pad-amount")


def is_block_output(name):
    return name == "head" or (name.rpartition(".")[2].isdigit() and not name.startswith("grad/"))


def variants(key, name):
    """By detail the changes at the first place that has it."""
    found = {}
    for place in key.graph.nodes:
        for detail, changes in mistake_named(name).plant(key.graph, place):
            found.setdefault(detail, changes)
    return found


def causes(key, tensors):
    diagnosis = diagnose(key, tensors)
    assert not diagnosis.unexplained, str(diagnosis)
    return [(cause.hypothesis.name, cause.hypothesis.detail) for cause in diagnosis.causes]


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_is_one_cause_in_a_dump_of_everything(name):
    key = odd_trace()
    found = variants(key, name)
    assert found
    for detail, changes in list(found.items())[:: 1 if thorough.enabled else 3]:
        dumped = computed(key.graph.replaced(changes), key.sources, "float32", seed=3)
        assert causes(key, dumped) == [(name, detail)]


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_is_found_from_the_outputs_of_blocks(name):
    key = odd_trace()
    detail, changes = list(variants(key, name).items())[-1]
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 3))
    dumped = {each: run.value(each) for each in key.graph.computed if is_block_output(each)}
    found = causes(key, dumped)
    assert found == [(name, detail)] or not found  # more windows of zeros make no difference to a block's output


def test_merging_that_crops_in_every_stage_is_one_cause_with_one_place():
    key = odd_trace()
    changes = variants(key, "merge-crop")["in every merging"]
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 3))
    assert run.value("layers.1.downsample.concat").shape[1:3] == (3, 2)
    diagnosis = diagnose(key, {name: run.value(name) for name in key.graph.computed})
    (cause,) = diagnosis.causes
    assert (cause.hypothesis.detail, cause.places) == ("in every merging", ["layers.0.downsample.concat"])
    assert len(cause.explained) > 50


def even_trace():
    """Maps of 12×11 and 6×6: the second stage has no padding, and has one where merging crops to 6×5."""
    model = random_model(img_size=(24, 22), depths=(2, 2), num_heads=(1, 2))
    return trace(model, draw_pixels(0, 2, (24, 22)), draw_labels(0, 2, 5), normalization=SCALE)


def test_a_map_that_is_padded_only_after_the_mistake():
    key = even_trace()
    assert "layers.1.blocks.0.attn.padded" not in key.graph.nodes
    (detail, changes), *_ = variants(key, "merge-crop").items()
    assert map_of_block(key.graph.replaced(changes), "layers.1.blocks.0") == (6, 6)  # of windows: its padded size
    dumped = computed(key.graph.replaced(changes), key.sources, "float32", seed=3)
    assert dumped["layers.1.blocks.1"].shape[1:3] == (6, 5)
    assert causes(key, dumped) == [("merge-crop", detail)]


def test_a_window_more_where_windows_divide_the_map():
    """As with (M - H mod M) rows instead of (M - H mod M) mod M. Without a shift, no block's output differs."""
    key = even_trace()
    found = {
        place: changes
        for place in key.graph.nodes
        for _, changes in mistake_named("pad-amount").plant(key.graph, place)
        if "layers.1" in place
    }
    assert list(found) == ["layers.1.blocks.0.attn.windows", "layers.1.blocks.1.attn.shifted"]
    for changes in found.values():
        dumped = computed(key.graph.replaced(changes), key.sources, "float32", seed=3)
        assert causes(key, dumped) == [("pad-amount", "a map that is whole windows gets one more")]


def test_steps_after_a_tensor():
    names = [node.name for node in steps_after(odd_trace().graph, "layers.0.blocks.1")]
    assert names[:2] == ["layers.0.downsample.concat", "layers.1.blocks.0.attn.joined"]
