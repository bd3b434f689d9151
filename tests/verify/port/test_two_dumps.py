"""Two dumps without a key: which tensors differ, by how much, and whether something random made the difference."""

import ml_dtypes
import numpy as np
import pytest

from npswin.verify import CandidateError, compare_dumps
from npswin.verify.port.name_order import in_computation_order
from npswin.verify.port.randomness import random_pattern
from npswin.verify.port.two_dumps import dumps_json, dumps_summary
from npswin.weights import save_tensors
from tests.verify.keys import even_trace, miniature_trace, right

FC2 = "layers.0.blocks.0.mlp.fc2"
BLOCK = "layers.0.blocks.0"


@pytest.mark.parametrize("key", [miniature_trace, even_trace])
def test_the_keys_names_are_in_the_order_of_computation(key):
    wanted = list(key().shapes)
    parameters = set(key().graph.parameters)
    found = in_computation_order(sorted(wanted))
    forward = [name for name in wanted if "grad/" not in name and name not in parameters]
    assert [name for name in found if name in set(forward)] == forward
    positions = {name: number for number, name in enumerate(found)}
    for name in key().graph.computed:
        assert all(positions[read] < positions[name] for read in key().graph.nodes[name].inputs)
        if f"grad/{name}" in positions:
            for use in key().graph.consumers[name]:
                assert positions[f"grad/{use}"] < positions[f"grad/{name}"]


def test_other_names_stay_in_the_files_order():
    assert in_computation_order(["b", "head", "a", "patch_embed.proj"]) == ["patch_embed.proj", "head", "b", "a"]
    numbers = ["head", "layers.10.blocks.0", "layers.9.blocks.99999999", "layers.9.downsample.reduction", "layers.9.x"]
    ordered = [numbers[2], numbers[3], numbers[1], numbers[0], numbers[4]]
    assert in_computation_order(numbers) == ordered  # and no model of that size is built


def test_a_dump_and_itself():
    comparison = compare_dumps(right("float32"), right("float32"))
    assert comparison.ok
    assert {row.verdict for row in comparison.rows} == {"equal"}
    assert "338 of 338 tensors are equal" in str(comparison)
    assert "random" not in dumps_summary(comparison)


@pytest.mark.parametrize("precision", ["float64", "float32", "float16", "bfloat16"])
def test_rounding_is_judged_by_the_precision_of_the_numbers(precision):
    one, other = right(precision, 0), right(precision, 1)
    comparison = compare_dumps(one, other)
    assert comparison.ok, str(comparison)
    rows = {row.name: row for row in comparison.rows}
    assert rows["head"].verdict == "rounding"
    assert rows["head"].precision == precision
    wrong = other | {"head": other["head"] * (1 + 500 * rows["head"].distance.relative)}
    assert compare_dumps(one, wrong, precision).first_beyond_rounding.name == "head"


def test_the_coarser_precision_of_a_converted_dump_counts():
    one = right("float32")
    other = {name: array.astype(ml_dtypes.bfloat16) for name, array in one.items()}
    comparison = compare_dumps(one, other)
    assert comparison.ok
    assert {row.precision for row in comparison.rows if row.verdict == "rounding"} == {"bfloat16"}
    assert not compare_dumps(one, other, "float32").ok


def after(tensors, name, array):
    """A dump whose tensors from `name` on are others."""
    order = in_computation_order(list(tensors))
    later = order[order.index(name) + 1 :]
    return tensors | {name: array} | {other: tensors[other] * np.float32(1.5) for other in later}


def test_dropout_that_is_left_on_is_found_where_it_is():
    tensors = right("float32")
    rng = np.random.default_rng(0)
    runs = [
        after(tensors, FC2, tensors[FC2] * (rng.random(tensors[FC2].shape) > 0.25) / np.float32(0.75)) for _ in range(2)
    ]
    comparison = compare_dumps(*runs)
    assert comparison.first_unequal.name == FC2
    summary = dumps_summary(comparison)
    assert f"the first that is not equal is {FC2}; layers.0.blocks.0.mlp.act before it is equal" in summary
    assert "dropout of a rate of about 0.2" in summary
    assert f"something random is left on between layers.0.blocks.0.mlp.act and {FC2}" in summary


def test_drop_path_that_is_left_on_is_found_where_it_is():
    tensors = right("float32")
    dropped = tensors[BLOCK].copy()
    dropped[1] -= tensors[FC2][1]
    comparison = compare_dumps(tensors, after(tensors, BLOCK, dropped))
    assert comparison.first_unequal.name == BLOCK
    assert "entries 0 of the first axis are equal, 1 of 2 are not: whole images are dropped" in comparison.random


def test_sums_in_another_order_are_told_from_noise():
    one = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    assert "sums in another order" in random_pattern(one, one * np.float32(1 + 2e-7))
    assert random_pattern(one, one + np.float32(0.1)) == ""


def test_different_images_are_no_randomness():
    one, other = right("float32"), right("float32")
    other["input"] = other["input"][::-1].copy()
    summary = dumps_summary(compare_dumps(one, other))
    assert "the two begin with different images: feed both the same" in summary
    assert "random" not in summary


def test_shapes_nan_and_names_of_one_dump_alone():
    one = {"a": np.ones((2, 3)), "b": np.ones(3), "c": np.array([1.0, np.nan]), "d": np.ones(2), "e": np.ones(2)}
    other = {"a": np.ones(6), "b": np.ones(4), "c": np.ones(2), "d": np.ones(2), "f": np.array(["x"])}
    comparison = compare_dumps(one, other | {"e": np.array(["x", "y"])})
    verdicts = {row.name: row.verdict for row in comparison.rows}
    assert verdicts == {"a": "equal", "b": "SHAPE", "c": "NOT FINITE", "d": "equal", "e": "UNREADABLE"}
    assert comparison.only_in_second == ["f"]
    assert not comparison.ok
    text = str(comparison)
    for part in (
        "SHAPE: 3 and 4",
        "NOT FINITE: 1 and 0 of 2 numbers",
        "could not be read: e",
        "only in the second dump: f",
    ):
        assert part in text
    value = dumps_json(comparison)
    assert value["first"] == {"unequal": "b", "beyond_rounding": "b"}
    assert value["tensors"][2]["verdict"] == "NOT FINITE"


def test_files_of_any_format_and_with_any_names(tmp_path):
    tensors = {"encoder.0": np.random.default_rng(0).standard_normal((2, 30)), "z": np.ones(2), "b": np.ones(2)}
    save_tensors(tmp_path / "one.safetensors", tensors)
    np.savez(tmp_path / "other.npz", **(tensors | {"b": np.zeros(2)}))
    comparison = compare_dumps(tmp_path / "other.npz", tmp_path / "one.safetensors")
    assert [row.name for row in comparison.rows] == ["encoder.0", "z", "b"]
    assert [row.verdict for row in comparison.rows] == ["equal", "equal", "DIFFERS"]
    with pytest.raises(
        CandidateError, match=r"has b, encoder\.0, z; second: has q; expected dumps with names in common"
    ):
        compare_dumps(tmp_path / "one.safetensors", {"q": np.ones(2)})
    with pytest.raises(CandidateError, match="no such file or folder"):
        compare_dumps(tmp_path / "none", tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, {}), "^first: got None, expected a path"),
        (({}, 3), "^second: got 3, expected a path"),
        (({"a": np.ma.zeros(2)}, {}), r"^first\['a'\]: got .*its mask would be ignored"),
        (({}, {}, "half"), "^precision: got 'half'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_dumps(*arguments)
