"""The same mistake at several places is one cause (a second in all)."""

import pytest

from npswin.verify.port.cause import Cause, Hypothesis
from npswin.verify.port.same_mistake import add_cause, relative_text


def cause(says, place, fitted=True, name="fit"):
    return Cause(Hypothesis(name, says, "", "", place, {}, fitted=fitted), place, 10.0, [place], [place])


def causes_of(*found):
    causes = []
    for one in found:
        add_cause(causes, one)
    return causes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("its weights are int8", "layers.0.blocks.0.mlp.fc1"), ("its weights are int8", "layers.1.blocks.1.attn.qkv")),
        (
            ("norm.weight: 1 is added", "norm"),
            ("layers.0.blocks.1.norm2.weight: 1 is added", "layers.0.blocks.1.norm2"),
        ),
        (
            ("layers.0.blocks.1.mlp.fc1: layers.0.blocks.0.mlp.fc1 is added to it", "layers.0.blocks.1.mlp.fc1"),
            ("layers.1.blocks.1.mlp.fc1: layers.1.blocks.0.mlp.fc1 is added to it", "layers.1.blocks.1.mlp.fc1"),
        ),
    ],
)
def test_the_same_words_at_two_places_are_one_cause(first, second):
    (found,) = causes_of(cause(*first), cause(*second))
    assert found.places == [first[1], second[1]] == found.explained
    assert not found.with_other_numbers


def test_other_numbers_are_kept():
    says = "layers.{}.blocks.0: layers.{}.blocks.0.mlp.fc2: all numbers are multiplied by {}"
    (found,) = causes_of(
        *(
            cause(says.format(stage, stage, factor), f"layers.{stage}.blocks.0")
            for stage, factor in ((0, 0.9), (1, 0.8))
        )
    )
    assert [one.place for one in found.with_other_numbers] == ["layers.1.blocks.0"]
    assert "multiplied by 0.8" in str(found.with_other_numbers[0])


def test_lists_of_numbers_of_other_lengths_are_one_cause():
    says = "other parameters: {}.weight: hiddens {} are 0"
    places = ("layers.0.blocks.0.mlp.fc2", "layers.1.blocks.0.mlp.fc2")
    assert (
        len(causes_of(*(cause(says.format(at, n), at) for at, n in zip(places, ("6, 7", "6, 7, 8"), strict=True)))) == 1
    )


def test_a_mistake_of_the_catalogue_with_another_detail_is_another_cause():
    says = ("GELU (eps = 1e-06)", "GELU (eps = 1e-03)")
    assert len(causes_of(*(cause(one, "norm", fitted=False) for one in says))) == 2


def test_another_distance_between_blocks_is_another_cause():
    reads = "it reads another tensor (layers.0.blocks.{} in place of layers.0.blocks.{}.norm1)"
    found = causes_of(
        cause(reads.format(0, 1), "layers.0.blocks.1.attn.qkv"), cause(reads.format(0, 2), "layers.0.blocks.2.attn.qkv")
    )
    assert len(found) == 2


def test_text_without_a_place_in_it_stays():
    assert relative_text(cause("the weight is transposed", "head").hypothesis) == "the weight is transposed"


def test_what_one_place_cannot_tell_apart_another_one_does():
    of_two = cause("scores: head 0 in place of all heads", "layers.0.blocks.0.attn.scores")
    of_two.hypothesis.also = ("scores: head h is head h // 2", "scores: head h is head h // 4")
    of_four = cause("scores: head h is head h // 2", "layers.1.blocks.0.attn.scores")
    (found,) = causes_of(of_two, of_four)
    assert found.hypothesis.description == "scores: head h is head h // 2"
    assert not found.hypothesis.also
    other = cause("scores: the heads are in reversed order", "layers.1.blocks.0.attn.scores")
    assert len(causes_of(of_two, other)) == 2


def test_an_alternative_that_explains_another_place_is_the_cause_of_both():
    first, second = cause("x is a", "layers.0.blocks.0.attn.v"), cause("x is b", "layers.1.blocks.0.attn.v")
    for ratio, count in ((5.0, 2), (0.1, 1)):  # it explains the first place only with the second ratio
        alternative = Hypothesis("fit", "x is b", "", "", first.symptom, {}, fitted=True, tolerance_ratio=ratio)
        first.others = [alternative]
        found = causes_of(first, second)
        assert len(found) == count
    assert str(found[0].hypothesis) == "x is b"
