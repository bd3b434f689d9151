"""Keys with cases: a port's tensors of each case are judged with that case's key."""

import json

import numpy as np
import pytest

from npswin.verify import AnswerKey, AnswerKeyError, CandidateError, compare, diagnose
from npswin.verify.port.comparison import comparison_json
from npswin.verify.port.diagnosis import diagnosis_json
from npswin.weights import save_tensors
from tests.verify.keys import computed, default_key, even_trace, mistake_named, right

SHIFTED = "layers.0.blocks.3.attn.shifted"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return default_key(tmp_path_factory.mktemp("cases") / "key")


def even_tensors(mistake=None):
    key = even_trace()
    graph = key.graph
    if mistake:
        graph = graph.replaced(next(iter(mistake_named(mistake).plant(graph, SHIFTED)))[1])
    found = computed(graph, key.sources, "float32", seed=0)
    return {f"even/{name}": np.asarray(array, order="C") for name, array in found.items()}


def test_all_cases_of_a_right_port_agree(folder):
    comparison = compare(folder, right("float32") | even_tensors())
    assert comparison.ok
    assert (comparison.case, [one.case for one in comparison.cases]) == ("", ["even"])
    assert not comparison.cases_not_dumped
    assert comparison.cases[0].computed == len(even_tensors())
    assert "case even" in str(comparison)
    own, even = len(right("float32")), len(even_tensors())
    assert str(comparison).endswith(f"tensors that agree: the key itself {own} of {own}, case even {even} of {even}")


def test_a_mistake_in_one_case_is_found_in_that_case(folder):
    dump = right("float32") | even_tensors("roll-missing")
    dump = {name: array for name, array in dump.items() if "grad/" not in name}
    comparison = compare(folder, dump)
    assert not comparison.ok
    assert comparison.case_ok
    assert comparison.cases[0].first_error().name == SHIFTED
    value = comparison_json(comparison)
    assert not value["agrees"]
    assert value["cases"][0]["first_divergence"]["forward"] == SHIFTED
    diagnosis = diagnose(folder, dump)
    assert not diagnosis.ok
    assert not diagnosis.causes
    assert [cause.hypothesis.name for cause in diagnosis.cases[0].causes] == ["roll-missing"], str(diagnosis)
    assert "nothing to explain: all tensors agree, by what float32 allows\n\ncase even" in str(diagnosis)
    assert [cause["name"] for cause in diagnosis_json(diagnosis)["cases"][0]["causes"]] == ["roll-missing"]


def test_a_case_that_was_not_dumped_is_reported(folder):
    comparison = compare(folder, right("float32"))
    assert comparison.ok
    assert comparison.cases_not_dumped == ["even"]
    assert "nothing dumped of the case even" in str(comparison)
    comparison = compare(folder, even_tensors())
    assert (comparison.ok, comparison.case, comparison.cases_not_dumped) == (True, "even", [""])
    assert "nothing dumped of the key itself, beside its cases: dump its tensors as NAME" in str(comparison)


def test_a_case_is_a_key_by_itself(folder):
    tensors = {name.removeprefix("even/"): array for name, array in even_tensors().items()}
    assert compare(folder / "even", tensors).ok
    assert AnswerKey(folder / "even").cases == ()


def write_npy(path, tensors):
    for name, array in tensors.items():
        (path / f"{name}.npy").parent.mkdir(parents=True, exist_ok=True)
        np.save(path / f"{name}.npy", array)


def write_raw(path, tensors):
    """The list of each case is in its own subfolder, as two runs of a port write it."""
    lists = {}
    for name, array in tensors.items():
        (path / f"{name}.bin").parent.mkdir(parents=True, exist_ok=True)
        (path / f"{name}.bin").write_bytes(array.tobytes())
        case, inner = ("even", name.removeprefix("even/")) if name.startswith("even/") else ("", name)
        lists.setdefault(case, {})[inner] = {"shape": list(array.shape), "dtype": array.dtype.name}
    for case, listed in lists.items():
        (path / case / "shapes.json").write_text(json.dumps(listed))


@pytest.mark.parametrize("write", [write_npy, write_raw, save_tensors, np.savez])
def test_cases_in_every_format(folder, tmp_path, write):
    names = ("head", "layers.0.blocks.0", "grad/head", "even/head", "even/layers.0.blocks.3", "even/grad/head")
    every = right("float32") | even_tensors()
    path = tmp_path / {save_tensors: "dump.safetensors", np.savez: "dump.npz"}.get(write, "dump")
    tensors = {name: np.asarray(every[name], order="C") for name in names}
    if write is np.savez:
        np.savez(path, **tensors)
    else:
        write(path, tensors)
    comparison = compare(folder, path)
    assert comparison.ok
    assert [row.name for row in comparison.rows] == [row.name.replace("3", "0") for row in comparison.cases[0].rows]
    assert len(comparison.rows) == 3


def test_names_that_a_case_does_not_have_are_unknown_there(folder):
    comparison = compare(folder, right("float32") | {"even/head": even_tensors()["even/head"], "even/layers.2.x": 1.0})
    assert comparison.case_ok
    assert list(comparison.cases[0].unknown) == ["layers.2.x"]
    assert not comparison.ok
    with pytest.raises(CandidateError, match="case even: no tensor of the key's names; found other"):
        compare(folder, right("float32") | {"even/other": 1.0})


def test_a_damaged_case_is_named(folder, tmp_path):
    key = default_key(tmp_path / "key")
    (key / "even" / "manifest.json").unlink()
    with pytest.raises(AnswerKeyError, match="even: no answer key in it"):
        compare(key, right("float32"))
