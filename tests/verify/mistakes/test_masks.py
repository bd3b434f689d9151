"""Masks of shifted windows: every member of the family is named, and any other mask is described."""

import numpy as np
import pytest

from npswin.ops.windows import shift_mask
from npswin.verify import diagnose
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.graph.operations import constant
from npswin.verify.key.golden import draw_labels, draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.mistakes.map_of_windows import MapOfWindows
from npswin.verify.mistakes.mask_family import other_masks
from npswin.verify.mistakes.mistake import change_node
from tests import thorough
from tests.verify.keys import SCALE, random_model

SIZE = (26, 18)
NAME = "layers.0.blocks.1.attn"
MAP = MapOfWindows(13, 9, 4, 2)


@pytest.fixture(scope="module")
def key():
    """Four by three windows of 4×4 tokens, padded both ways, shifted by 2."""
    model = random_model(img_size=SIZE, window_size=4, depths=(2, 2), num_heads=(2, 2))
    return trace(model, draw_pixels(0, 2, SIZE), draw_labels(0, 2, 5), normalization=SCALE)


def port(key, changes, without=()):
    """The activations of a port's second block with some nodes changed, without some tensors."""
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 0))
    dumped = [name for name in key.graph.computed if name.startswith(("layers.0.blocks.1", "layers.0.blocks.0"))]
    return {name: run.value(name) for name in dumped if not name.endswith(tuple(without))}


def with_mask(key, mask):
    return change_node(key.graph.nodes[f"{NAME}.mask"], constant("shift_mask", lambda **_: mask))


def adding(key, masks):
    """A port that adds another mask (B, nW, heads, N, N) for each image or head."""
    add = key.graph.nodes[f"{NAME}.masked_scores"]
    return change_node(add, constant("add_mask", lambda scores, _: scores + masks.astype(scores.dtype)))


def only_cause(diagnosis):
    assert not diagnosis.unexplained, str(diagnosis)
    (cause,) = diagnosis.causes
    return cause.hypothesis


def texts(diagnosis):
    """All that is said of the cause, alternatives included."""
    (cause,) = diagnosis.causes
    return [cause.hypothesis.detail, *(one.detail for one in cause.others if one.explains_symptom)]


def test_the_map_has_the_correct_mask():
    assert np.array_equal(np.where(MAP.right, -100.0, 0.0), shift_mask(13, 9, 4, 2, -100.0, "float64"))


def test_the_family_masks_no_pairs_correctly():
    found = other_masks(MAP)
    assert len({words for words, _ in found}) == len(found)
    for words, masked in found:
        assert masked().shape == MAP.right.shape, words
        assert not np.array_equal(masked(), MAP.right), words
    assert not any("2 row + column" in words for words, _ in found)  # distinct numbers in every window


@pytest.mark.parametrize("without", [(), (".mask",), (".mask", ".masked_scores")], ids=["mask", "scores", "softmax"])
def test_every_mask_of_the_family_is_named(key, without):
    """From the mask itself, from the masked scores, and from the probabilities."""
    for words, masked in other_masks(MAP)[:: 1 if thorough.enabled else 4]:
        diagnosis = diagnose(key, port(key, with_mask(key, np.where(masked(), -100.0, 0.0)), without))
        assert only_cause(diagnosis).name in ("mask-wrong", "mask-missing", "mask-value"), words
        assert any(words in text for text in texts(diagnosis)) or "no pair" in words, (words, str(diagnosis))


@pytest.mark.parametrize("without", [(".mask",), (".mask", ".masked_scores")], ids=["scores", "softmax"])
def test_a_mask_without_some_bands_of_rows_and_other_bands_of_columns_is_described(key, without):
    rows, columns = MAP.bands()
    regions = np.where((rows != 1) & (columns != 2), 3 * rows + columns, 0)
    mask = np.where(MAP.by_regions(regions), -100.0, 0.0)
    one = only_cause(diagnose(key, port(key, with_mask(key, mask), without)))
    assert one.name == "mask-pairs"
    assert "without the second band of rows and the third band of columns" in one.detail


def test_the_mask_of_a_larger_map_is_described(key):
    """Of 5 by 6 windows, of which the first 4 × 3 are taken."""
    mask = np.where(MapOfWindows(20, 24, 4, 2).right[:12], -100.0, 0.0)
    one = only_cause(diagnose(key, port(key, with_mask(key, mask), (".mask", ".masked_scores"))))
    assert one.detail.startswith("built for a map of ")
    assert "by 6 windows rather than 4 by 3" in one.detail


def test_a_causal_mask_beside_the_correct_one_is_described(key):
    mask = np.where(MAP.right | np.triu(np.ones((16, 16), bool), 1), -100.0, 0.0)
    one = only_cause(diagnose(key, port(key, with_mask(key, mask), (".mask", ".masked_scores"))))
    assert one.detail == "causal too: keys after the query are masked"


@pytest.mark.parametrize("without", [(".mask",), (".mask", ".masked_scores")], ids=["scores", "softmax"])
def test_an_unknown_mask_is_described_by_its_cuts(key, without):
    masked = MAP.right.copy()
    masked[2] = masked[-1]
    masked[4, 0, 1] = masked[4, 1, 0] = True
    one = only_cause(diagnose(key, port(key, with_mask(key, np.where(masked, -100.0, 0.0)), without)))
    assert one.detail == (
        "window (0, 2) is cut between rows 1 and 2, columns 1 and 2, correct: cut between columns 1 and 2; "
        "window (1, 1) is masked in 2 of 256 pairs, correct: not cut"
    )


def test_the_value_of_a_correct_mask_is_told(key):
    one = only_cause(diagnose(key, port(key, with_mask(key, np.where(MAP.right, -37.5, 0.0)))))
    assert one.detail == "with -37.5 rather than -100"


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (lambda mask: np.stack([0 * mask, mask])[:, :, None], "image 0: no pair is masked"),
        (lambda mask: np.stack([mask, mask[::-1]])[:, :, None], "image 0: correct; image 1: its windows are counted"),
        (lambda mask: np.stack([mask, 0 * mask], axis=1)[None], "the first head alone is masked"),
        (lambda mask: np.stack([0 * mask, mask], axis=1)[None], "head 0: no pair is masked"),
    ],
    ids=["first image", "order of an image", "first head alone", "second head alone"],
)
@pytest.mark.parametrize("without", [(), (".masked_scores",)], ids=["scores", "softmax"])
def test_masks_of_images_and_of_heads_are_described(key, masks, words, without):
    mask = np.where(MAP.right, -100.0, 0.0)
    one = only_cause(diagnose(key, port(key, adding(key, masks(mask)), without)))
    assert words in one.detail


def softmax(scores):
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda scores, mask: softmax(scores) + mask, "after the softmax"),
        (lambda scores, mask: softmax(scores) * (mask == 0), "not normalized again"),
        (lambda scores, mask: softmax(scores * mask), "the scores are multiplied by it"),
        (lambda scores, mask: softmax(scores * (mask == 0)), "multiplied by 0 where masked"),
    ],
)
def test_another_use_of_the_mask_is_named(key, function, words):
    node = key.graph.nodes[f"{NAME}.probabilities"]
    scores, mask = key.graph.nodes[node.inputs[0]].inputs
    changes = change_node(node, constant("softmax", lambda s, m: function(s, m[:, None])), inputs=(scores, mask))
    diagnosis = diagnose(key, port(key, changes, (".masked_scores",)))
    assert words in only_cause(diagnosis).detail, str(diagnosis)


def test_scores_that_are_set_instead_of_added_to(key):
    tensors = port(key, {})
    name = f"{NAME}.masked_scores"
    tensors[name] = np.where(MAP.right[None, :, None], np.float32(-100), tensors[name])
    one = only_cause(diagnose(key, tensors))
    assert "set to its value, which is not added: the softmax is the same" in one.detail
