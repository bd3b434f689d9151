"""The default key: its two cases have what ports get wrong, and the docs say which mistake shows in which."""

from functools import lru_cache

import pytest

from npswin.verify.key import AnswerKey
from npswin.verify.key.golden import EVEN_MINIATURE, MINIATURE
from tests.tools import key_table
from tests.verify.keys import default_key


@lru_cache
def case_of(name):
    return key_table.Case(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return default_key(tmp_path_factory.mktemp("default") / "key")


def test_each_of_its_two_keys_is_under_a_megabyte(folder):
    assert AnswerKey(folder).cases == ("even",)
    for one in (folder, folder / "even"):
        assert {file.name for file in one.iterdir() if file.is_file()} == {"key.safetensors", "manifest.json"}
        assert sum(file.stat().st_size for file in one.iterdir() if file.is_file()) < 1e6


@pytest.mark.parametrize("case", ["", "even"])
def test_maps_are_padded_and_merged_along_both_axes_with_unequal_numbers_of_windows(folder, case):
    """A port that pads or merges along one axis alone fails, or makes another shape."""
    key = AnswerKey(folder / case)
    _, height, width, _ = key.shapes["patch_embed.proj"]
    side = key.config["window_size"]
    assert height % side
    assert width % side
    assert height % 2 == width % 2 == 1
    rows, columns = -(-height // side), -(-width // side)
    assert 1 < min(rows, columns) < max(rows, columns)
    assert key.shapes["layers.0.blocks.1.attn.masked_scores"][1] == rows * columns
    assert key.shapes["layers.1.blocks.0"][1:3] == ((height + 1) // 2, (width + 1) // 2)


def test_the_two_have_odd_and_even_windows_three_stages_and_a_deep_stage():
    assert {config["window_size"] % 2 for config in (MINIATURE, EVEN_MINIATURE)} == {0, 1}
    assert len(MINIATURE["depths"]) == 3
    assert max(EVEN_MINIATURE["depths"]) > 3  # two blocks of a stage are shifted


def test_the_even_one_has_an_image_that_is_no_multiple_of_the_patch(folder):
    key = AnswerKey(folder / "even")
    sides, patch = key.shapes["pixels"][2:], key.config["patch_size"]
    assert [bool(side % patch) for side in sides] == [True, False]
    assert key.shapes["patch_embed.proj"][1:3] == tuple(-(-side // patch) for side in sides)


def test_every_rule_for_the_shift_shows_in_one_of_them():
    cases = [case_of(name) for name in key_table.MODELS]
    assert not any(case.shows_rule(key_table.right_shift) for case in cases)
    for text, rule in key_table.RULES.items():
        assert any(case.shows_rule(rule) for case in cases), text


@pytest.mark.parametrize("case", ["key", "key/even"])
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("join-columns-first", "windows"),
        ("mask-wrong", "built for the map with rows and columns exchanged"),
        ("roll-one-axis", "only rows are rolled, there and back"),
        ("pad-amount", "not at all: rows and columns that fill no window are left out"),
    ],
)
def test_rows_and_columns_exchanged_show_in_both(case, name, detail):
    mistake = next(one for one in key_table.CATALOGUE if one.name == name)
    assert key_table.details_shown(mistake, case_of(case))[detail]


def test_the_docs_have_the_table():
    """If this fails: python -m tests.tools.key_table --write."""
    text = key_table.DOCS.read_text(encoding="utf-8")
    found = text.split(key_table.BEGIN)[1].split(key_table.END)[0]
    assert found.strip() == key_table.tables()
