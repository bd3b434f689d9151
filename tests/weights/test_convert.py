"""npswin convert: weights out of the files that training programs write, without running anything of them."""

import argparse
import json
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from npswin.cli import main as npswin_command
from npswin.weights import WeightFileError, load_tensors, load_weights, save_tensors
from npswin.weights.convert_file import convert_file
from npswin.weights.load import model_tensors
from tests.weights import dense_files
from tests.weights.golden_files import read


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def golden():
    return read("timm_older")


@pytest.fixture
def state(torch, golden):
    """The state dict of a small model."""
    return OrderedDict((name, torch.from_numpy(tensor.copy())) for name, tensor in golden.state.items())


@pytest.fixture
def other_classes(monkeypatch):
    """Classes as files of training programs name them, which the reader's machine need not have."""

    class CfgNode(dict):
        def __init__(self, items=()):
            super().__init__(items)
            self.__dict__["__immutable__"] = True

    class HistoryBuffer:
        def __init__(self):
            self._log_history = np.arange(3.0)
            self._statistics_methods = {"mean": HistoryBuffer.mean}

        def mean(self):
            return 0

    class Stages(list):
        pass

    for cls, module in ((CfgNode, "yacs.config"), (HistoryBuffer, "mmengine.logging"), (Stages, "mmengine.logging")):
        cls.__module__, cls.__qualname__ = module, cls.__name__
        if module not in sys.modules:
            monkeypatch.setitem(sys.modules, module.split(".")[0], types.ModuleType(module.split(".")[0]))
            monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        setattr(sys.modules[module], cls.__name__, cls)
    HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = "mmengine.logging", "HistoryBuffer.mean"
    return types.SimpleNamespace(CfgNode=CfgNode, HistoryBuffer=HistoryBuffer, Stages=Stages)


def containers(torch, state, other):
    """What training programs write: name of the file -> its content, and where in it the weights are."""
    zeros = {name: 0 * tensor for name, tensor in state.items()}
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    config = other.CfgNode({"MODEL": other.CfgNode({"TYPE": "swin"})})
    below = OrderedDict((f"backbone.{name}", tensor) for name, tensor in state.items())
    return {
        "bare.pth": (state, ""),
        "official.pth": ({"model": state, "optimizer": optimizer, "max_accuracy": 81.2, "config": config}, "model"),
        "timm.pth.tar": ({"epoch": 3, "state_dict": state, "args": argparse.Namespace(lr=1)}, "state_dict"),
        "timm_ema.pth.tar": ({"state_dict_ema": zeros, "state_dict": state}, "state_dict"),
        "mmengine.pth": (
            {
                "meta": {"epoch": 1, "history": other.HistoryBuffer()},
                "state_dict": below,
                "message_hub": {"log_scalars": {"loss": other.HistoryBuffer()}, "stages": other.Stages([1, 2])},
            },
            "state_dict",
        ),
        "lightning.ckpt": (
            {
                "pytorch-lightning_version": "2.5.0",
                "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
                "hyper_parameters": {"namespace": argparse.Namespace()},
            },
            "state_dict",
        ),
        "deit.pth": ({"model_ema": zeros, "model": state}, "model"),
        "dino.pth": ({"student": zeros, "teacher": state, "dino_loss": {"center": torch.ones(2)}}, "teacher"),
        "list.pt": ([3, state, optimizer], "1"),
        "nested.bin": ({"checkpoint": {"nets": {"net": state}}}, "checkpoint.nets.net"),
    }


CONTAINERS = ("bare.pth", "official.pth", "timm.pth.tar", "timm_ema.pth.tar", "mmengine.pth", "lightning.ckpt")
CONTAINERS += ("deit.pth", "dino.pth", "list.pt", "nested.bin")


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_weights_are_found(tmp_path, golden, torch, state, other_classes, name, is_zip):
    content, key = containers(torch, state, other_classes)[name]
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=is_zip)
    done = convert_file(tmp_path / name, tmp_path / "w.safetensors")
    assert (done.key, done.count, done.layout) == (key, len(state), "official")
    _is_golden(golden, tmp_path / "w.safetensors")


def _is_golden(golden, path):
    model = golden.model(seed=1)
    assert load_weights(model, path).complete
    np.testing.assert_allclose(model(golden.images), golden.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("arrays", [True, False])
def test_detectron2s_pickles(tmp_path, golden, torch, state, protocol, arrays):
    weights = golden.state if arrays else state
    content = {"model": weights, "__author__": "third_party", "matching_heuristics": True}
    (tmp_path / "swin.pkl").write_bytes(pickle.dumps(content, protocol))
    assert convert_file(tmp_path / "swin.pkl", tmp_path / "w.safetensors").key == "model"
    _is_golden(golden, tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", [*dense_files.SEGMENTERS, *dense_files.DETECTORS])
def test_a_dense_models_checkpoint(tmp_path, torch, other_classes, name):
    """As mmcv and mmengine write it: a description of the run, the optimizer, an average."""
    state = OrderedDict((key, torch.from_numpy(one.copy())) for key, one in dense_files.read(name).state.items())
    content = {
        "meta": {"epoch": 12, "CLASSES": ("cat", "dog"), "history": other_classes.HistoryBuffer()},
        "state_dict": state,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "ema_state_dict": {f"module.{key}": torch.zeros_like(one) for key, one in state.items()},
    }
    torch.save(content, tmp_path / "epoch_12.pth")
    done = convert_file(tmp_path / "epoch_12.pth", tmp_path / "w.safetensors")
    layout = {**dense_files.SEGMENTERS, **dense_files.DETECTORS}[name]
    assert (done.key, done.count, done.layout, done.other_model) == ("state_dict", len(state), layout, None)
    assert done.others == ("ema_state_dict",)
    model = dense_files.upernet() if name in dense_files.SEGMENTERS else dense_files.mask_rcnn()
    load_weights(model, tmp_path / "w.safetensors", strict=name != "dense_torchvision")
    wanted = dense_files.official(name)
    assert all(np.array_equal(tensor, wanted[key]) for key, tensor in model_tensors(model).items())


def test_a_whole_module(tmp_path, torch):
    module = torch.nn.Sequential(
        OrderedDict(norm=torch.nn.LayerNorm(4), deep=torch.nn.Sequential(torch.nn.Linear(4, 2)))
    )
    module.deep.register_buffer("count", torch.tensor([3]))
    torch.save({"net": module, "epoch": 3}, tmp_path / "whole.pth")
    done = convert_file(tmp_path / "whole.pth", tmp_path / "w.safetensors")
    tensors, _ = load_tensors(tmp_path / "w.safetensors")
    wanted = module.state_dict()
    assert (done.key, set(tensors)) == ("net", set(wanted))
    assert all(np.array_equal(tensors[name], wanted[name].numpy()) for name in wanted)


@pytest.mark.parametrize("name", ["timm", "torchvision", "openmmlab", "unfold_full"])
def test_numpy_archives(tmp_path, name):
    golden = read(name)
    np.savez(tmp_path / "w.npz", **golden.state)
    convert_file(tmp_path / "w.npz", tmp_path / "w.safetensors")
    _is_golden(golden, tmp_path / "w.safetensors")


def test_shards(tmp_path, golden):
    names = sorted(golden.state)
    parts = {"model-00001-of-00002.safetensors": names[:30], "model-00002-of-00002.safetensors": names[30:]}
    for file, part in parts.items():
        save_tensors(tmp_path / file, {name: golden.state[name] for name in part})
    places = {name: file for file, part in parts.items() for name in part}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    convert_file(index, tmp_path / "w.safetensors")
    _is_golden(golden, tmp_path / "w.safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightFileError, match="1 of its 2 files are not beside it: model-00002-of-00002"):
        convert_file(index, tmp_path / "w.safetensors")
    for name in ("../secret.safetensors", "a" * 5000, "", "."):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(WeightFileError, match="are not beside it"):
            convert_file(index, tmp_path / "w.safetensors")
    index.write_text(json.dumps({"weight_map": {"a": index.name}}))
    with pytest.raises(WeightFileError, match="is an index, named by an index; expected a file of tensors"):
        convert_file(index, tmp_path / "w.safetensors")


def test_the_key_chooses(tmp_path, torch, state):
    zeros = {name: 0 * tensor for name, tensor in state.items()}
    torch.save({"model": state, "model_ema": zeros}, tmp_path / "c.pth")
    done = convert_file(tmp_path / "c.pth", tmp_path / "w.safetensors", "model_ema")
    assert (done.key, done.others) == ("model_ema", ("model",))
    assert not any(tensor.any() for tensor in load_tensors(tmp_path / "w.safetensors")[0].values())
    with pytest.raises(WeightFileError, match="no tensors at 'ema', expected one of 'model', 'model_ema'"):
        convert_file(tmp_path / "c.pth", tmp_path / "other.safetensors", "ema")
    assert not (tmp_path / "other.safetensors").exists()


def test_dtypes_and_layouts_of_tensors(tmp_path, torch):
    tensors = {
        "bfloat16": torch.arange(4).bfloat16() / 3,
        "float16": torch.arange(4).half() / 3,
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "part": torch.arange(10.0)[2:5],
        "number": torch.tensor(3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "text": "not a tensor",
    }
    tensors["shared"] = tensors["part"]
    torch.save(tensors, tmp_path / "w.pt")
    convert_file(tmp_path / "w.pt", tmp_path / "w.safetensors")
    found, _ = load_tensors(tmp_path / "w.safetensors")
    assert set(found) == set(tensors) - {"text"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, tensors[name].detach().float().numpy(), err_msg=name)


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("container", ["zip", "before zip", "pickle"])
@pytest.mark.parametrize("function", ["system", "eval"])
def test_nothing_in_a_file_runs(tmp_path, golden, torch, state, container, function):
    ran = tmp_path / "ran"
    runs = Runs(os.system, f"touch {ran}") if function == "system" else Runs(eval, f"open({str(ran)!r}, 'w')")
    path = tmp_path / "w.pth"
    if container == "pickle":
        path.write_bytes(pickle.dumps({"model": golden.state, "x": runs}))
    else:
        torch.save({"model": state, "x": runs}, path, _use_new_zipfile_serialization=container == "zip")
    if function == "system":
        with pytest.raises(WeightFileError, match=r"names \w+\.system, .*it would run a program on this computer"):
            convert_file(path, tmp_path / "w.safetensors")
    else:
        assert convert_file(path, tmp_path / "w.safetensors").ignored[0].removeprefix("builtins.") == "eval"
        _is_golden(golden, tmp_path / "w.safetensors")
    assert not ran.exists()


def _run_the_lines(message):
    """Run the two lines of a message, as a user does who trusts the file."""
    lines = [line.strip() for line in message.splitlines() if line.startswith("    ")]
    assert len(lines) == 2
    exec("\n".join(lines), {})


def test_torchscript_is_explained(tmp_path, torch):
    torch.jit.script(torch.nn.Linear(3, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(WeightFileError, match=r"a TorchScript program, .*Only if you trust") as caught:
        convert_file(tmp_path / "script.pt", tmp_path / "w.safetensors")
    _run_the_lines(str(caught.value))
    assert load_tensors(tmp_path / "script.safetensors")[0]["weight"].shape == (2, 3)


class OwnList(list):
    """A list with an attribute, which the safe reader puts into no list."""


@pytest.mark.parametrize("name", ["it's old.pkl", "whole.pth"])
def test_what_the_safe_reader_refuses_is_explained(tmp_path, golden, torch, state, name):
    path = tmp_path / name
    if name.endswith(".pkl"):
        path.write_bytes(pickle.dumps({"model": golden.state}, 0))  # protocol 0, of which it knows no instruction
    else:
        own = OwnList([1])
        own.more = 2
        torch.save({"state_dict": state, "more": own}, path)
    with pytest.raises(
        WeightFileError, match=r"safe reader does not read it \(.*Only if you trust who made it"
    ) as caught:
        convert_file(path, tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()
    _run_the_lines(str(caught.value))
    _is_golden(golden, path.with_suffix(".safetensors"))


@pytest.mark.parametrize("is_zip", [True, False])
def test_half_a_download(tmp_path, torch, state, is_zip):
    torch.save(state, tmp_path / "whole.pth", _use_new_zipfile_serialization=is_zip)
    content = (tmp_path / "whole.pth").read_bytes()
    for part in (0.1, 0.5, 0.99):
        (tmp_path / "half.pth").write_bytes(content[: int(len(content) * part)])
        with pytest.raises(WeightFileError, match="download it again"):
            convert_file(tmp_path / "half.pth", tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"model": {"a": "b"}}, {1: {2: 3}}])
def test_a_file_without_tensors(tmp_path, torch, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightFileError, match="holds no dictionary of tensors by name"):
        convert_file(tmp_path / "w.pth", tmp_path / "w.safetensors")


def test_objects_in_a_numpy_archive(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([Runs(os.system, f"touch {tmp_path / 'ran'}")], dtype=object))
    with pytest.raises(WeightFileError, match="an array in it holds objects, which are pickled and can run code"):
        convert_file(tmp_path / "w.npz", tmp_path / "w.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_numpy_archive(tmp_path, golden):
    np.savez(tmp_path / "w.npz", **golden.state)
    content = bytearray((tmp_path / "w.npz").read_bytes())
    content[3000:3100] = bytes(100)
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(WeightFileError, match="a NumPy archive that cannot be read"):
        convert_file(tmp_path / "w.npz", tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("version", "message"),
    [(None, "PyTorch reads its own files, and is not installed: pip install"), ("2.5.1", "PyTorch 2.5.1 is installed")],
)
def test_without_pytorch_or_with_an_old_one(tmp_path, monkeypatch, version, message):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": {}}))
    monkeypatch.setitem(sys.modules, "torch", version and types.SimpleNamespace(__version__=version))
    with pytest.raises(WeightFileError, match=message):
        convert_file(tmp_path / "w.pkl", tmp_path / "w.safetensors")


def test_the_command(tmp_path, torch, state, other_classes, capsys):
    content = {"model": state, "model_ema": dict(state), "config": other_classes.CfgNode()}
    torch.save(content, tmp_path / "swin.pth")
    out = tmp_path / "swin.safetensors"
    assert npswin_command(["convert", str(tmp_path / "swin.pth"), str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out}: {len(state)} tensors of 9,609 numbers from 'model'; layout: official"
    assert lines[1] == "the file has tensors at 'model_ema' as well: --key chooses"
    assert lines[2] == "left out, and not run: objects of yacs.config.CfgNode"


def test_the_command_tells_of_another_model(tmp_path, capsys):
    np.savez(tmp_path / "w.npz", **{"layers.0.blocks.0.attn.logit_scale": np.ones(2)})
    assert npswin_command(["convert", str(tmp_path / "w.npz"), str(tmp_path / "w.safetensors")]) == 0
    assert "npswin cannot load them, this is Swin V2" in capsys.readouterr().out


def test_names_of_other_parts_do_not_make_another_model_of_swin(tmp_path, golden):
    """As when the file is loaded: only the names of the model are looked at, if it has blocks of Swin."""
    state = {f"backbone.{name}": tensor for name, tensor in golden.state.items()}
    np.savez(
        tmp_path / "w.npz", **state, **{"decoder.attention.logit_scale": np.ones(2), "head2.experts.w": np.ones(2)}
    )
    done = convert_file(tmp_path / "w.npz", tmp_path / "w.safetensors")
    assert (done.layout, done.other_model) == ("official", None)
    assert load_weights(golden.model(), tmp_path / "w.safetensors").complete


def test_progress_counts_to_the_end(tmp_path, torch, state):
    torch.save({"model": state}, tmp_path / "w.pth")
    calls = []
    convert_file(tmp_path / "w.pth", tmp_path / "w.safetensors", progress=lambda *call: calls.append(call))
    last = {work: (done, total) for work, done, total in calls}
    assert set(last) == {"reading", "converting", "checksum", "writing"}
    assert last["converting"] == last["writing"] == (len(state), len(state))
    assert last["reading"][0] > 0.5 * last["reading"][1]
