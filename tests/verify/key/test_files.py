"""Answer keys: written, read, thinned, damaged."""

import json
import shutil

import numpy as np
import pytest

from npswin.verify.key import AnswerKey, AnswerKeyError, trace, write_key
from npswin.verify.port.comparer import Comparer
from npswin.weights import load_tensors, save_tensors
from tests.verify.keys import candidate_of, miniature_trace, random_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_key(miniature_trace(), tmp_path_factory.mktemp("key") / "new" / "key")


def test_every_tensor_comes_back(folder):
    trace, key = miniature_trace(), AnswerKey(folder)
    assert list(key.shapes) == [*trace.graph.nodes, *(f"grad/{name}" for name in trace.grads)]
    for name, tensor in trace.tensors.items():
        assert np.array_equal(key[name], tensor)
    for name, gradient in trace.grads.items():
        assert np.array_equal(key[f"grad/{name}"], gradient)
    assert key["pixels"].dtype == np.uint8
    assert key["head.weight"].dtype == np.float32  # exact, and half as long


def test_a_small_key_is_under_a_megabyte(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1e6
    assert {file.name for file in folder.iterdir()} == {"key.safetensors", "manifest.json"}


def test_the_manifest_has_the_operation_and_inputs_of_each_tensor(folder):
    entries = {entry["name"]: entry for entry in json.loads((folder / "manifest.json").read_text())["tensors"]}
    scores = entries["layers.0.blocks.1.attn.scores"]
    assert scores["axes"] == "B, nW, heads, query, key"
    assert scores["inputs"] == ["layers.0.blocks.1.attn.q_scaled", "layers.0.blocks.1.attn.k"]
    assert scores["operation"] == "scores"
    assert scores["paper"] == "Liu et al. 2021, equation 4"
    assert entries["grad/layers.0.blocks.0"]["inputs"] == [
        "grad/layers.0.blocks.1.norm1",
        "grad/layers.0.blocks.1.residual",
    ]
    order = list(entries)
    for entry in entries.values():
        assert all(order.index(read) < order.index(entry["name"]) for read in entry.get("inputs", []))
    tensor = miniature_trace().tensors["layers.0.blocks.1.attn.scores"]
    assert scores["statistics"]["mean"] == pytest.approx(tensor.mean(), rel=1e-8)
    assert scores["statistics"]["rms"] == pytest.approx(np.sqrt((tensor**2).mean()), rel=1e-8)


def test_the_same_trace_gives_the_same_bytes(folder, tmp_path):
    again = write_key(miniature_trace(), tmp_path / "again")
    for file in folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_thinned_tensors_have_the_positions_of_their_numbers(tmp_path):
    trace = miniature_trace()
    folder = write_key(trace, tmp_path / "key", only=["layers.0.blocks.*", "grad/head*"], sample=10)
    key = AnswerKey(folder)
    name = "layers.0.blocks.1.attn.scores"
    positions = key.positions(name)
    assert positions.shape == (10,)
    assert np.array_equal(key[name], trace.tensors[name].reshape(-1)[positions])
    assert "norm" not in key
    assert "grad/head" in key
    assert "grad/norm" not in key
    assert np.array_equal(key["head.weight"], trace.tensors["head.weight"])  # sources are always whole
    assert np.array_equal(key["input"], trace.tensors["input"])  # and so is what the pixels are normalized to
    assert key.positions("input") is None
    assert np.array_equal(AnswerKey(write_key(trace, tmp_path / "sample", sample=10))["input"], trace["input"])
    tensors = {name: trace.tensors[name] for name in trace.graph.computed}
    assert Comparer(key, candidate_of(tensors, key.shapes)).compare().ok
    key.file.dtype_codes[f"positions/{name}"] = "F64"
    with pytest.raises(AnswerKeyError, match="are not positions in it"):
        key.positions(name)
    key = AnswerKey(folder)
    wrong = tensors | {"norm": tensors["norm"] + 1e-3, name: tensors[name] + 1e-3}
    comparison = Comparer(key, candidate_of(wrong, key.shapes)).compare()
    assert {row.name for row in comparison.local_errors()} >= {"norm", name}


def test_a_pattern_that_matches_nothing_raises(tmp_path):
    with pytest.raises(ValueError, match=r"only: 'layer\.0' matches no tensor"):
        write_key(miniature_trace(), tmp_path / "key", only=["layer.0"])
    assert not (tmp_path / "key").exists()


def _replaced(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def _changed(folder, **config):
    _replaced(folder, config={**json.loads((folder / "manifest.json").read_text())["config"], **config})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "no answer key in it"),
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: (f / "key.safetensors").unlink(), "no such file"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "cannot be read as JSON"),
        (lambda f: (f / "manifest.json").write_text("[" * 100000), "cannot be read as JSON"),
        (lambda f: (f / "manifest.json").write_text("[]"), "not a manifest of an answer key"),
        (lambda f: _replaced(f, version=99), "version 99, this npswin reads version 1"),
        (lambda f: _replaced(f, config={"embed_dim": -1}), "not as npswin writes it"),
        (lambda f: _replaced(f, config=[]), "not as npswin writes it"),
        (lambda f: _replaced(f, image_size=[0, 3]), "not as npswin writes it"),
        (lambda f: _replaced(f, image_size=[float("inf"), 3]), "Infinity is no finite number"),
        (lambda f: _changed(f, embed_dim=6_000_000), "patch_embed.proj.weight of shape"),
        (lambda f: _changed(f, num_classes=2 * 10**9), "head.weight of shape"),
        (lambda f: _changed(f, in_chans=10**9), "images of 1000000000×10×14"),
        (lambda f: _changed(f, head_dim=10**9), "attn.proj.weight of shape"),
        (lambda f: _changed(f, window_size=10**9), "window_size 1000000000"),
        (lambda f: _changed(f, depths=[10**6, 2, 1]), "the file has 5 blocks"),
        (lambda f: _changed(f, mlp_ratio=1e8), "mlp.fc1.weight of shape"),
        (lambda f: _changed(f, ape=True, img_size=[10**6, 10**6]), "absolute_pos_embed of shape"),
        (lambda f: _replaced(f, tensors=[]), "lacks the tensor"),
        (lambda f: (f / "key.safetensors").write_bytes((f / "key.safetensors").read_bytes()[:-9]), "cut short"),
        (lambda f: (f / "key.safetensors").write_bytes(b""), "is empty, a download that did not begin"),
        (lambda f: (f / "key.safetensors").write_bytes(b"\xff" * 7 + b"\x7f{"), "header claims"),
        (lambda f: _flip_the_last_bit(f / "key.safetensors"), "damaged: its bytes do not give the checksum"),
    ],
)
def test_a_damaged_key_raises(folder, tmp_path, damage, message):
    assert_refused(folder, tmp_path, damage, message)


def assert_refused(folder, tmp_path, damage, message):
    """A damaged copy of a key raises, with a short message that names the folder."""
    copy = tmp_path / "key"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(AnswerKeyError, match=message) as error:
        AnswerKey(copy)
    assert str(copy) in str(error.value)
    assert len(str(error.value)) < 2000


def _flip_the_last_bit(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _entry(folder, *, of, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = [one | changes if one["name"] == of else one for one in manifest["tensors"]]
    _replaced(folder, tensors=entries)


def _without(folder, *names):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({name: manifest[name] for name in manifest if name not in names}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: _without(f, "normalization"), "lacks normalization"),
        (lambda f: _without(f, "loss"), "lacks loss"),
        (lambda f: _replaced(f, version=True), "version True"),
        (lambda f: _replaced(f, version="x" * 10**6), "version 'xxx"),
        (lambda f: _replaced(f, loss="1.0"), "loss: got '1.0', expected a finite number"),
        (lambda f: _replaced(f, loss=10**400), "loss: got 1000"),
        (lambda f: _replaced(f, loss=None), "loss: got None"),
        (lambda f: _replaced(f, image_size=[12.0, 10]), "image_size: got 12.0"),
        (lambda f: _replaced(f, image_size="ab"), "image_size: got 'ab'"),
        (lambda f: _replaced(f, config={"x" * 10**6: 1}), "has no argument 'xxx"),
        (lambda f: _replaced(f, normalization=[]), "normalization: got"),
        (
            lambda f: _replaced(f, normalization={"mean": [0.5], "std": [0.5]}),
            r"normalization.mean: got \[0.5\], expected 3",
        ),
        (
            lambda f: _replaced(f, normalization={"mean": [0] * 3, "std": [1, 0, 1]}),
            r"normalization.std: got \[1, 0, 1\]",
        ),
        (lambda f: _replaced(f, tensors=5), "tensors: got 5"),
        (lambda f: _replaced(f, cases="even"), "cases: got 'even'"),
        (lambda f: _replaced(f, cases=["a/../b"]), "cases: got 'a/../b'"),
        (lambda f: _replaced(f, cases=["x"] * 10**5), "cases: got"),
        (lambda f: _replaced(f, cases=[1]), "cases: got 1"),
        (lambda f: _replaced(f, tensors=[5]), r"tensors\[0\]: got 5"),
        (lambda f: _replaced(f, tensors=[{"name": "a"}]), r"tensors\[0\].shape: got None"),
        (lambda f: _entry(f, of="norm", axes=5), "axes: got 5, expected str"),
        (lambda f: _entry(f, of="norm", formula=["a"]), "formula: got"),
        (lambda f: _entry(f, of="norm", inputs="ab"), "inputs: got 'ab', expected list of str"),
        (lambda f: _entry(f, of="norm", inputs=[1]), "expected list of str"),
        (lambda f: _entry(f, of="norm", stored=1), "stored: got 1"),
        (lambda f: _entry(f, of="norm", shape=[2, 3.0]), "shape: got"),
        (lambda f: _entry(f, of="norm", shape=[-1]), "shape: got -1"),
        (lambda f: _entry(f, of="norm", shape=[2] * 10**5), "norm has shape"),
        (lambda f: _entry(f, of="head", name="norm"), "'norm' is there twice"),
        (lambda f: _entry(f, of="head", name="x" * 10**6), "lacks the tensor head"),
        (lambda f: _entry(f, of="head", stored=False), "has head, which is not stored"),
        (lambda f: _entry(f, of="head.weight", stored=False), "head.weight is not stored"),
        (lambda f: _entry(f, of="head.weight", shape=[12, 5]), r"head.weight of shape \(5, 16\)"),
        (lambda f: _entry(f, of="loss", shape=[1]), "the loss has shape"),
        (lambda f: _changed(f, num_heads=[1, 10**6, 4], head_dim=4), "layers.1.blocks.0.attn.proj.weight of shape"),
        (lambda f: _changed(f, num_heads=[1, 2, "3"]), "num_heads"),
        (lambda f: _changed(f, mlp_ratio="2"), "mlp_ratio"),
        (lambda f: _changed(f, embed_dim=10**400, mlp_ratio=0.5), "not as npswin writes it"),
        (lambda f: _changed(f, position_bias="full"), r"position_bias_table of shape \(9, 9\)"),
        (lambda f: _changed(f, position_bias="full", window_size=60, img_size=None), "position_bias_table of shape"),
        (lambda f: _changed(f, num_classes=0), "num_classes: got 0"),
        (lambda f: (f / "manifest.json").write_bytes(b" " * 2**24), "expected at most"),
    ],
)
def test_every_field_of_a_manifest_is_checked(folder, tmp_path, damage, message):
    assert_refused(folder, tmp_path, damage, message)


@pytest.mark.parametrize("name", ["manifest.json", "key.safetensors"])
def test_what_is_no_file_raises(folder, tmp_path, name):
    copy = tmp_path / "key"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    (copy / name).symlink_to("/dev/zero")
    with pytest.raises(AnswerKeyError, match="is a pipe, a device"):
        AnswerKey(copy)
    for path in ("a\0b", "x" * 5000):
        with pytest.raises(AnswerKeyError) as error:
            AnswerKey(tmp_path / path)
        assert len(str(error.value)) < 2000


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("head.weight", lambda a: np.where(a == a[0, 0], np.nan, a), "head.weight has NaN or infinite numbers"),
        ("pixels", lambda a: np.full(a.shape, np.inf, "float32"), "pixels has NaN or infinite numbers"),
        ("labels", lambda a: a + 5, "to 9, expected 0 to 4"),
        ("labels", lambda a: -a - 1, "expected 0 to 4"),
        ("labels", lambda a: a.astype("float32"), "labels has dtype F32"),
        ("labels", lambda a: a[:1], "labels of 2 images, the file has labels of shape"),
        ("head.weight", lambda a: a.astype("int32"), "head.weight has dtype I32"),
        ("head", lambda a: a > 0, "head has dtype BOOL"),
    ],
)
def test_sources_that_nothing_can_be_computed_from_raise(folder, tmp_path, name, change, message):
    copy = tmp_path / "key"
    shutil.copytree(folder, copy)
    tensors, metadata = load_tensors(copy / "key.safetensors")
    save_tensors(copy / "key.safetensors", tensors | {name: change(tensors[name])}, metadata)
    with pytest.raises(AnswerKeyError, match=message) as error:
        _ = AnswerKey(copy).sources
    assert str(copy) in str(error.value)


def test_a_shape_that_the_operation_does_not_give_raises(tmp_path):
    """The tensor is not stored; only the manifest says what shape it has."""
    write_key(miniature_trace(), tmp_path, only=["norm"])
    _entry(tmp_path, of="head", shape=[5, 2])
    with pytest.raises(AnswerKeyError, match="or a changed one: manifest"):
        AnswerKey(tmp_path)
    tensors, metadata = load_tensors(tmp_path / "key.safetensors")
    del metadata["manifest_sha256"]  # as in keys of version 0.1.0
    save_tensors(tmp_path / "key.safetensors", tensors, metadata)
    key = AnswerKey(tmp_path)
    with pytest.raises(AnswerKeyError, match=r"head has shape \(5, 2\) in the manifest, its operation gives \(2, 5\)"):
        Comparer(key, candidate_of({"head": np.ones((2, 5))}, key.shapes))


def test_a_key_that_does_not_follow_from_its_weights_raises(folder, tmp_path):
    copy = tmp_path / "key"
    shutil.copytree(folder, copy)
    tensors, metadata = load_tensors(copy / "key.safetensors")
    save_tensors(copy / "key.safetensors", {**tensors, "norm": np.ones_like(tensors["norm"])}, metadata)
    key = AnswerKey(copy)
    tensors = {"norm": miniature_trace().tensors["norm"]}
    with pytest.raises(AnswerKeyError, match="norm does not follow from the key's own weights"):
        Comparer(key, candidate_of(tensors, key.shapes)).compare()


def test_sources_are_exact_in_float32(folder):
    tensors, _ = load_tensors(folder / "key.safetensors")
    for name in miniature_trace().graph.parameters:
        assert tensors[name].dtype == np.float32


def test_weights_that_are_not_exact_in_float32_are_stored_in_float64(tmp_path):
    model = random_model()
    model.params["head.bias"][...] = np.pi
    images = np.random.default_rng(0).standard_normal((1, 3, 10, 14))
    key = AnswerKey(write_key(trace(model, images, [0]), tmp_path / "key"))
    assert key["head.bias"].dtype == np.float64
    assert np.array_equal(key["head.bias"], model.params["head.bias"])
    assert key["head.weight"].dtype == np.float32


def test_a_key_is_replaced_as_a_pair(tmp_path, monkeypatch):
    """If the new one cannot be written, the old one is still there, both of its files."""
    write_key(miniature_trace(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("npswin.verify.key.write.save_tensors", fail)
    with pytest.raises(OSError, match="No space left"):
        write_key(miniature_trace(), tmp_path, sample=3)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_files_of_two_keys_raise(tmp_path):
    for seed in (0, 1):
        model = random_model(seed)
        images = np.random.default_rng(0).standard_normal((1, 3, 10, 14))
        write_key(trace(model, images, np.array([1])), tmp_path / str(seed))
    shutil.copy(tmp_path / "0/manifest.json", tmp_path / "1/manifest.json")
    with pytest.raises(AnswerKeyError, match="files of two keys: the loss is"):
        AnswerKey(tmp_path / "1")


def test_a_config_that_does_not_fit_the_tables_raises(tmp_path):
    write_key(miniature_trace(), tmp_path)
    file = tmp_path / "manifest.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"window_size": 3', '"window_size": 4', 1))
    with pytest.raises(
        AnswerKeyError, match=r"relative_position_bias_table of shape \(49, 1\), the file has \(25, 1\)"
    ):
        AnswerKey(tmp_path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"trace": None}, "trace"),
        ({"folder": None}, "folder"),
        ({"only": "head*"}, "only"),
        ({"sample": 0}, "sample"),
        ({"sample": 1.5}, "sample"),
        ({"seed": None}, "seed"),
        ({"cases": "even"}, "cases"),
        ({"cases": ["../even"]}, "cases"),
        ({"cases": ["grad"]}, "cases"),
        ({"cases": ["even", "even"]}, "cases"),
    ],
)
def test_wrong_arguments_of_write_key_are_named(tmp_path, change, name):
    folder = tmp_path / "key"
    with pytest.raises(ValueError, match=f"^{name}: got "):
        write_key(**{"trace": miniature_trace(), "folder": folder, **change})
    assert not folder.exists()


def test_the_folder_of_a_key_is_a_path():
    with pytest.raises(ValueError, match=r"^folder: got 3, expected a path"):
        AnswerKey(3)


def test_the_manifest_of_another_key_is_refused(tmp_path):
    """Although it fits: without the loss among the stored tensors there is nothing else that differs."""
    for seed in (0, 1):
        images = np.random.default_rng(seed).standard_normal((1, 3, 10, 14))
        write_key(trace(random_model(), images, [0]), tmp_path / str(seed), only=["layers.0.*"])
        AnswerKey(tmp_path / str(seed))
    shutil.copy(tmp_path / "0" / "manifest.json", tmp_path / "1" / "manifest.json")
    with pytest.raises(AnswerKeyError, match="files of two keys, or a changed one"):
        AnswerKey(tmp_path / "1")
