"""The command npswin: golden, compare, diagnose, gradcheck."""

import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import npswin
from npswin.cli import main
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.key import AnswerKey
from npswin.verify.mistakes import CATALOGUE


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "key"
    assert main(["golden", str(folder), "--backward"]) == 0
    return folder


def write_port(key, path, mistake=None, place=None):
    """A port's dump in float32, right or with a mistake."""
    key = AnswerKey(key)
    graph = key.graph
    if mistake:
        planted = next(one for one in CATALOGUE if one.name == mistake)
        graph = graph.replaced(next(iter(planted.plant(graph, place)))[1])
    run = Run(graph, key.sources, Arithmetic("float32"))
    tensors = {name: run.value(name) for name in graph.computed}
    tensors |= {f"grad/{name}": run.gradient(name) for name in graph.backward_order()}
    save_file({name: np.asarray(array, order="C") for name, array in tensors.items()}, path)
    return path


def test_golden_prints_what_it_wrote(tmp_path, capsys):
    assert main(["golden", str(tmp_path / "key")]) == 0
    out = capsys.readouterr().out
    assert "key: 130 tensors of 2 images of 10×14, loss" in out
    assert "key/even: 156 tensors of 2 images of 9×6, loss" in out
    assert "--backward adds it" in out
    assert not [name for name in AnswerKey(tmp_path / "key").shapes if name.startswith("grad/")]


def test_golden_is_deterministic(key, tmp_path):
    assert main(["golden", str(tmp_path / "again"), "--backward", "--seed", "0"]) == 0
    assert main(["golden", str(tmp_path / "other"), "--backward", "--seed", "1"]) == 0
    same, other = ((tmp_path / name / "key.safetensors").read_bytes() for name in ("again", "other"))
    assert same == (key / "key.safetensors").read_bytes() != other


def test_golden_of_a_model_with_weights_and_an_image(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image.fromarray(pixels).save(tmp_path / "cat.png")
    npswin.create_model("swin_nano_patch2_window4_32", seed=3).save(tmp_path / "weights.safetensors")
    arguments = ["--model", "swin_nano_patch2_window4_32", "--weights", str(tmp_path / "weights.safetensors")]
    more = ["--image", str(tmp_path / "cat.png"), "--labels", "7", "--sample", "50", "--dtype", "float32"]
    assert main(["golden", str(tmp_path / "key"), *arguments, *more]) == 0
    assert "layout: official" in capsys.readouterr().out
    key = AnswerKey(tmp_path / "key")
    assert key["pixels"].shape == (1, 3, 32, 32)
    assert key["labels"].tolist() == [7]
    assert key["head"].dtype == np.float32
    assert len(key["layers.0.blocks.0"]) == 50
    saved = load_file(tmp_path / "weights.safetensors")
    assert np.array_equal(key["head.weight"], saved["head.weight"])


def test_golden_of_a_configuration(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"img_size": None, "embed_dim": 4, "depths": [1], "num_heads": [1]}))
    size = ["--size", "9", "13", "--batch", "1"]
    assert main(["golden", str(tmp_path / "key"), "--config", str(tmp_path / "mine.json"), *size]) == 0
    assert AnswerKey(tmp_path / "key").shapes["pixels"] == (1, 3, 9, 13)


def test_golden_of_several_sizes_and_batches(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    image.fromarray(pixels).save(tmp_path / "cat.png")
    sizes = ["--size", "10", "14", "--size", "13", "9", "--batch", "3", "1", "--only", "norm", "layers.2.blocks.0"]
    assert main(["golden", str(tmp_path / "key"), *sizes, "--images", str(tmp_path / "cat.png")]) == 0
    assert "key/1x13x9: 130 tensors of 1 image of 13×9, loss" in capsys.readouterr().out
    key, other = AnswerKey(tmp_path / "key"), AnswerKey(tmp_path / "key" / "1x13x9")
    assert key.cases == ("1x13x9",)
    assert key.shapes["pixels"] == (3, 3, 10, 14)
    assert other.shapes["pixels"] == (1, 3, 13, 9)
    assert np.array_equal(key["pixels"][0], pixels.transpose(2, 0, 1))
    assert not np.array_equal(key["pixels"][1], key["pixels"][2])
    assert np.array_equal(key["head.weight"], other["head.weight"])
    assert "layers.2.blocks.0" in other
    assert "head" not in other
    tensors = {}
    for case in ("", "1x13x9"):
        write_port(tmp_path / "key" / case, tmp_path / "port.safetensors")
        prefix = f"{case}/" if case else ""
        tensors |= {f"{prefix}{name}": array for name, array in load_file(tmp_path / "port.safetensors").items()}
    save_file({name: array for name, array in tensors.items() if "grad/" not in name}, tmp_path / "port.safetensors")
    assert main(["compare", str(tmp_path / "key"), str(tmp_path / "port.safetensors"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [(one["case"], one["agrees"]) for one in value["cases"]] == [("1x13x9", True)]


def test_patterns_may_match_in_one_case_alone(tmp_path):
    assert main(["golden", str(tmp_path / "key"), "--only", "layers.2.*"]) == 0
    assert "layers.2.blocks.0" in AnswerKey(tmp_path / "key")
    even = AnswerKey(tmp_path / "key" / "even")
    assert [name for name in even.graph.computed if name in even] == ["input", "loss"]


def test_labels_and_batch_are_those_of_both_miniatures(tmp_path):
    assert main(["golden", str(tmp_path / "key"), "--labels", "4", "0", "3", "--batch", "3"]) == 0
    for case in ("", "even"):
        key = AnswerKey(tmp_path / "key" / case)
        assert key["labels"].tolist() == [4, 0, 3]
        assert key.shapes["pixels"][0] == 3


def test_golden_over_an_older_key_tells_which_cases_are_left_from_it(tmp_path, capsys):
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"img_size": 8, "patch_size": 4, "depths": [1], "num_heads": [1], "embed_dim": 4}))
    assert main(["golden", str(tmp_path / "key")]) == 0
    assert "from before" not in capsys.readouterr().out
    assert main(["golden", str(tmp_path / "key"), "--config", str(mine), "--size", "8", "8"]) == 0
    assert f"{tmp_path / 'key' / 'even'}: a key from before, no case of this one" in capsys.readouterr().out


def test_golden_with_stress_has_other_weights(key, tmp_path):
    assert main(["golden", str(tmp_path / "key"), "--stress"]) == 0
    for case in ("", "even"):
        one, other = AnswerKey(key / case), AnswerKey(tmp_path / "key" / case)
        assert one.config == other.config
        assert np.abs(other["layers.0.blocks.1.mlp.fc1"]).max() > 65504 > np.abs(one["layers.0.blocks.1.mlp.fc1"]).max()


CONFIGURATIONS = {
    "junk": "{",
    "list": "[]",
    "unknown": '{"dim": 3}',
    "wrong": '{"embed_dim": -3}',
    "twice": '{"depths": [2], "depths": [3]}',
    "nan": '{"mlp_ratio": NaN}',
    "deep": '{"depths": [1000000000, 2, 2, 2]}',
    "many": json.dumps({"depths": [1] * 100_000}),
    "wide": '{"embed_dim": 9600000}',
    "digits": json.dumps({"embed_dim": 3 * 10**4000}),
    "window": '{"window_size": 100000}',
    "full": '{"window_size": 320, "position_bias": "full", "img_size": null}',
    "classes": '{"num_classes": 2000000000}',
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "swin"], "--model: got 'swin', expected one of swin_tiny"),
        (["--config", "missing.json"], "missing.json: No such file"),
        (["--config", "junk.json"], "junk.json: cannot be read as JSON"),
        (["--config", "list.json"], "list.json: expected an object"),
        (["--config", "unknown.json"], "unknown.json: 'dim' is not an argument of the model"),
        (["--config", "wrong.json"], "wrong.json: embed_dim: got -3"),
        (["--weights", "junk.json"], "junk.json: not a safetensors file"),
        (["--image", "junk.json"], "junk.json: not an image that Pillow reads"),
        (["--image", "missing.png"], "missing.png: No such file"),
        (["--config", "x" * 5000], "xxx"),
        (["--config", "."], ".: is a folder"),
        (["--config", "/dev/zero"], "/dev/zero: is a pipe, a device"),
        (["--config", "twice.json"], "twice.json: cannot be read as JSON ('depths' is there twice)"),
        (["--config", "nan.json"], "nan.json: cannot be read as JSON (NaN is no finite number)"),
        (["--config", "deep.json"], "deep.json: depths: got [1000000000, 2, 2, 2], expected at most 1000 blocks"),
        (["--config", "many.json"], "many.json: num_heads"),
        (["--config", "wide.json"], "wide.json: a model of 3.2e+17 weights, expected at most 4e+09"),
        (["--config", "digits.json"], "digits.json: "),
        (["--config", "window.json"], "window.json: img_size, window_size: got 224 and 100000, expected at most 65536"),
        (["--config", "full.json"], "full.json: a model of 1.3e+11 weights"),
        (["--config", "classes.json"], "classes.json: a model of 1.5e+12 weights"),
        (["--labels", "1"], "--labels: got 1, expected one for each of 2 images"),
        (["--labels", "1", "9"], "labels: got 1 to 9, expected 0 to 4"),
        (["--batch", "0"], "--batch: got 0"),
        (["--batch", "2", "--image", "cat.png"], "cat.png: No such file"),
        (["--batch", "2", "3", "--size", "5", "5", "--size", "6", "6", "--size", "7", "7"], "--batch: got 2 numbers"),
        (["--batch", "2", "2"], "--size, --batch: got the same images twice"),
        (["--labels", "1", "2", "--batch", "1", "3"], "--labels: got 2, expected one for each of 3 images"),
        (["--size", "0", "3"], "--size: got 0 3"),
        (["--stress", "--weights", "junk.json"], "--stress: draws the weights, expected no --weights"),
        (["--seed", "-1"], "--seed: got -1"),
        (["--only", "nothing.*"], "only: 'nothing.*' matches no tensor"),
        (["--sample", "0"], "sample: got 0"),
    ],
)
def test_golden_reports_wrong_arguments(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name, text in CONFIGURATIONS.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert main(["golden", "key", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"npswin golden: {message}")
    assert error.count("\n") == 1 or "safetensors" in error
    assert len(error) < 2000
    assert not (tmp_path / "key").exists()


def test_golden_does_not_write_over_a_file(tmp_path, capsys):
    (tmp_path / "key").write_text("mine")
    assert main(["golden", str(tmp_path / "key")]) == 2
    assert f"{tmp_path / 'key'}: File exists" in capsys.readouterr().err
    assert (tmp_path / "key").read_text() == "mine"


def test_compare_and_diagnose_a_right_port(key, tmp_path, capsys):
    port = str(write_port(key, tmp_path / "port.safetensors"))
    assert main(["compare", str(key), port]) == 0
    out = capsys.readouterr().out
    assert "338 of 338 tensors agree, by what float32 allows" in out
    assert "nothing dumped of the case even" in out
    assert main(["diagnose", str(key), port]) == 0
    assert "nothing to explain: all tensors agree" in capsys.readouterr().out


def test_compare_and_diagnose_a_wrong_port(key, tmp_path, capsys):
    place = "layers.0.blocks.1.attn.shifted"
    port = str(write_port(key, tmp_path / "port.safetensors", "roll-direction", place))
    page = tmp_path / "page.html"
    assert main(["compare", str(key), port, "--html", str(page)]) == 1
    out = capsys.readouterr().out
    assert f"everything up to layers.0.blocks.1.attn.padded agrees; the first tensor that does not is {place}" in out
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert main(["diagnose", str(key), port]) == 1
    out = capsys.readouterr().out
    assert "1. the cyclic shift rolls the other way (there and back)" in out
    assert "explains 4 symptoms" in out


def test_diagnose_says_at_once_that_logits_alone_are_few(key, tmp_path, capsys):
    """Before the search, on the error stream; not where the logits agree, or where a block's output was dumped."""
    logits = load_file(write_port(key, tmp_path / "port.safetensors"))["head"]
    for tensors, advised in (
        ({"head": logits[::-1].copy()}, True),
        ({"head": logits}, False),
        ({"head": logits[::-1].copy(), "layers.0.blocks.0": AnswerKey(key)["layers.0.blocks.0"]}, False),
    ):
        save_file(tensors, tmp_path / "dump.safetensors")
        main(["diagnose", str(key), str(tmp_path / "dump.safetensors"), "--seconds", "0.1"])
        assert ("nothing before head was dumped" in capsys.readouterr().err) is advised


def test_compare_and_diagnose_print_json(key, tmp_path, capsys):
    place = "layers.1.blocks.0.mlp.act"
    port = str(write_port(key, tmp_path / "port.safetensors", "gelu-tanh", place))
    assert main(["compare", str(key), port, "--json"]) == 1
    comparison = json.loads(capsys.readouterr().out)
    assert comparison["first_divergence"]["forward"] == place
    assert comparison["born"][0] == place
    assert {row["name"]: row["verdict"] for row in comparison["tensors"]}[place] == "born_here"
    assert main(["diagnose", str(key), port, "--json"]) == 1
    causes = json.loads(capsys.readouterr().out)["causes"]
    assert [(cause["name"], cause["places"]) for cause in causes] == [("gelu-tanh", [place])]


def test_a_wrong_port_in_a_few_lines(key, tmp_path, capsys):
    place = "layers.0.blocks.1.attn.shifted"
    port = str(write_port(key, tmp_path / "port.safetensors", "roll-direction", place))
    assert main(["compare", str(key), port, "--summary"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 10
    assert "cause: not searched (npswin diagnose)" in lines
    assert main(["diagnose", str(key), port, "--summary"]) == 1
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 10
    assert f"cause: the cyclic shift rolls the other way (there and back), at {place}" in out
    with pytest.raises(SystemExit):
        main(["compare", str(key), port, "--summary", "--json"])


def test_pages_of_all_cases(key, tmp_path):
    tensors = {"head": AnswerKey(key)["head"], "even/head": AnswerKey(key / "even")["head"]}
    save_file(tensors, tmp_path / "port.safetensors")
    assert main(["compare", str(key), str(tmp_path / "port.safetensors"), "--html", str(tmp_path / "page.html")]) == 0
    for name in ("page.html", "page.even.html"):
        assert (tmp_path / name).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_compare_of_two_dumps(key, tmp_path, capsys):
    one = write_port(key, tmp_path / "one.safetensors")
    assert main(["compare", str(one), str(one)]) == 0
    assert "338 of 338 tensors are equal" in capsys.readouterr().out
    other = write_port(key, tmp_path / "other.safetensors", "gelu-tanh", "layers.1.blocks.0.mlp.act")
    assert main(["compare", str(one), str(other)]) == 1
    assert "is layers.1.blocks.0.mlp.act; layers.1.blocks.0.mlp.fc1 before it is equal" in capsys.readouterr().out
    assert main(["compare", str(one), str(other), "--summary"]) == 1
    assert len(capsys.readouterr().out.splitlines()) <= 10
    assert main(["compare", str(one), str(other), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first"]["unequal"] == "layers.1.blocks.0.mlp.act"
    assert main(["compare", str(one), str(other), "--html", str(tmp_path / "page.html")]) == 2
    assert "--html: draws a comparison with an answer key" in capsys.readouterr().err
    assert main(["diagnose", str(one), str(other)]) == 2
    assert "no answer key (`npswin golden` writes one); npswin compare compares two dumps" in capsys.readouterr().err
    save_file({"head": np.array([np.inf], np.float32)}, tmp_path / "nan.safetensors")
    assert main(["compare", str(one), str(tmp_path / "nan.safetensors")]) == 1


@pytest.mark.parametrize("command", ["compare", "diagnose"])
def test_an_unreadable_file_is_reported_in_one_line(key, tmp_path, capsys, command):
    for arguments, message in (
        ([str(tmp_path / "no"), str(tmp_path)], "no such folder"),
        ([str(key), str(tmp_path / "no")], "no such file or folder"),
        ([str(key), str(key / "manifest.json")], "not a safetensors file"),
    ):
        assert main([command, *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"npswin {command}: ")
        assert message in error


def test_compare_with_unknown_names_and_missing_gradients(tmp_path, key, capsys):
    assert main(["golden", str(tmp_path / "forward")]) == 0
    port = write_port(key, tmp_path / "port.safetensors")
    assert main(["compare", str(tmp_path / "forward"), str(port)]) == 1
    assert "the dump has gradients and the key has none: write the key with npswin golden --backward" in (
        capsys.readouterr().out
    )
    tensors = load_file(port)
    tensors["layers.0.blocks.0.attn.score"] = tensors.pop("layers.0.blocks.0.attn.scores")
    save_file(tensors, port)
    assert main(["compare", str(key), str(port)]) == 1
    out = capsys.readouterr().out
    assert (
        "NOT COMPARED, since the key has no such names: layers.0.blocks.0.attn.score (layers.0.blocks.0.attn.scores?)"
        in out
    )
    assert main(["diagnose", str(key), str(port)]) == 1
    assert "what was compared agrees; the key does not have the other names" in capsys.readouterr().out


def test_the_exit_status_for_an_unreadable_tensor(key, tmp_path, capsys):
    (tmp_path / "shapes.json").write_text(json.dumps({"head": {"shape": [2, 5], "dtype": "F32"}}))
    (tmp_path / "head.bin").write_bytes(b"short")
    for command in ("compare", "diagnose"):
        assert main([command, str(key), str(tmp_path)]) == 2
        assert "5 bytes, expected 40, as shapes.json lists [2, 5] of float32" in capsys.readouterr().out


def test_a_dump_of_another_key_and_arguments_in_the_wrong_order(key, tmp_path, capsys):
    assert main(["golden", str(tmp_path / "other"), "--size", "20", "20", "--backward"]) == 0
    port = str(write_port(tmp_path / "other", tmp_path / "port.safetensors"))
    tensors = {name: array for name, array in load_file(port).items() if name in ("input", "layers.0.blocks.1")}
    save_file(tensors, port)
    assert main(["diagnose", str(key), port]) == 1
    assert "compare the dump with the key that it was made from" in capsys.readouterr().out
    assert main(["compare", str(tmp_path), str(key)]) == 2
    assert "is the answer key: expected the key first, then the dump" in capsys.readouterr().err


def test_a_file_of_the_key_in_place_of_its_folder(key, tmp_path, capsys):
    port = str(write_port(key, tmp_path / "port.safetensors"))
    for command in ("compare", "diagnose"):
        for name in ("key.safetensors", "manifest.json"):
            assert main([command, str(key / name), port]) == 2
            assert f"{name}: a file of an answer key, expected the key's folder, {key}" in capsys.readouterr().err
    assert main(["compare", str(key / "key.safetensors"), str(key / "key.safetensors")]) == 0  # as two dumps


def test_a_key_can_be_made_of_another_keys_weights(key, tmp_path):
    weights = ["--weights", str(key / "key.safetensors")]
    assert main(["golden", str(tmp_path / "key"), *weights, "--seed", "5"]) == 0
    one, other = AnswerKey(key), AnswerKey(tmp_path / "key")
    assert np.array_equal(one["head.weight"], other["head.weight"])
    assert not np.array_equal(one["pixels"], other["pixels"])


LAYER = """
import numpy as np

class Square:
    def forward(self, x):
        return x * x, x

    def backward(self, dy, x):
        return FACTOR * x * dy

def double_forward(x):
    return 2 * x, None

def double_backward(dy, _):
    return 2 * dy
"""


def test_gradcheck_of_a_layer_in_a_file(tmp_path, capsys):
    path = tmp_path / "layer.py"
    path.write_text(LAYER.replace("FACTOR", "2"))
    assert main(["gradcheck", f"{path}:Square", "--input", "5x4"]) == 0
    assert "gradient check, central: passed" in capsys.readouterr().out
    functions = f"{path}:double_forward,double_backward"
    assert main(["gradcheck", functions, "--input", "3", "--method", "complex", "--along", "joint"]) == 0
    path.write_text(LAYER.replace("FACTOR", "-2"))
    assert main(["gradcheck", f"{path}:Square", "--input", "5x4"]) == 1
    assert "looks like a bug" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        ("layer.py", "3", "FILE.py:NAME: got 'layer.py'"),
        ("missing.py:Square", "3", "missing.py: no such file"),
        ("layer.py:Cube", "3", "has no Cube; it has Square, double_forward, double_backward"),
        ("layer.py:Square", "3,4", "--input: got '3,4', expected a shape such as 5x4"),
    ],
)
def test_gradcheck_reports_wrong_arguments(tmp_path, monkeypatch, capsys, layer, shape, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layer.py").write_text(LAYER)
    assert main(["gradcheck", layer, "--input", shape]) == 2
    assert message in capsys.readouterr().err


def test_gradcheck_of_an_input_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layer.py").write_text(LAYER.replace("FACTOR", "2"))
    np.save("x.npy", np.ones((2, 3), np.float32))
    assert main(["gradcheck", "layer.py:Square", "--input", "x.npy"]) == 0
    np.save("nan.npy", np.array([1.0, np.nan]))
    np.save("text.npy", np.array(["a"]))
    (tmp_path / "junk.npy").write_bytes(b"PK\3\4junk")
    with open("large.npy", "wb") as file:
        file.truncate(2**33)
    capsys.readouterr()
    for name, message in {
        "missing": "No such file",
        "nan": "has NaN or infinite numbers",
        "text": "has dtype <U1, expected numbers",
        "junk": "no .npy file",
        "large": "has 8589934592 bytes, expected at most",
    }.items():
        assert main(["gradcheck", "layer.py:Square", "--input", f"{name}.npy"]) == 2
        assert f"npswin gradcheck: {name}.npy: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x *= 2; return x, None", "forward: changes input 0, expected it to leave its inputs"),
        ("return x", "forward: returned ndarray, expected two things: y, cache"),
        ("return x @ x, None", "layer.py, line 3, in forward: ValueError: matmul: "),
        ("raise SystemExit(0)", "layer.py: ends the program (0)"),
        ("return (x, None", "layer.py, line 3: SyntaxError: '(' was never closed"),
        ("return y, None", "layer.py, line 3, in forward: NameError: name 'y' is not defined"),
    ],
)
def test_gradcheck_reports_an_error_in_the_layer_with_its_line(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    text = f"class Layer:\n    def forward(self, x):\n        {line}\n"
    (tmp_path / "layer.py").write_text(f"{text}    def backward(self, dy, cache):\n        return dy\n")
    assert main(["gradcheck", "layer.py:Layer", "--input", "2x3"]) == 2
    assert message in capsys.readouterr().err
    (tmp_path / "layer.py").write_text("class Layer:\n    def forward(self, x):\n        return x, None\n")
    assert main(["gradcheck", "layer.py:Layer", "--input", "2x3"]) == 2
    assert "Layer has no method backward" in capsys.readouterr().err


def test_a_terminated_command_leaves_no_half_written_file(tmp_path, monkeypatch):
    monkeypatch.setattr("npswin.files.os.fsync", lambda _: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        main(["golden", str(tmp_path / "key")])
    assert stopped.value.code == 143
    assert not [path for path in (tmp_path / "key").rglob("*") if path.is_file()]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", [[], ["golden"], ["compare"], ["diagnose"], ["gradcheck"]])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "npswin" in capsys.readouterr().out


def test_the_module_can_be_run_with_a_closed_pipe(key, tmp_path):
    port = write_port(key, tmp_path / "port.safetensors")
    command = f"{sys.executable} -m npswin compare {key} {port} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("tensor")
    assert "Traceback" not in done.stderr


def test_ctrl_c_during_the_imports():
    program = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "numpy":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from npswin.cli import main
sys.exit(main(["golden", "key"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nnpswin: stopped\n")


def test_a_terminal_that_knows_ascii_only(key, tmp_path, monkeypatch):
    port = write_port(key, tmp_path / "port.safetensors", "gelu-tanh", "layers.1.blocks.0.mlp.act")
    for options in ([], ["--json"]):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["diagnose", str(key), str(port), *options]) == 1
        text = terminal.buffer.getvalue()
        assert text.isascii()
    json.loads(text)
