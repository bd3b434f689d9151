"""The README's code runs unchanged."""

import re
from pathlib import Path

import numpy as np
import pytest

import npswin

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def block(name):
    """The code block behind the marker <!-- name -->."""
    return re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.DOTALL).group(1)


def test_the_gradient_check_passes(capsys):
    exec(compile(block("gradcheck"), "README.md", "exec"), {})
    assert "gradient check, central: passed" in capsys.readouterr().out


def test_comparing_a_port_with_the_answer_key(capsys):
    exec(compile(block("watch"), "README.md", "exec"), {})
    assert "1 of 1 tensors agree, by what float32 allows" in capsys.readouterr().out


def test_training_on_own_images(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("train"), "README.md", "exec"), {})
    assert (tmp_path / "runs" / "mine" / "last.safetensors").exists()


def test_classifying_an_image(tmp_path, monkeypatch, capsys):
    image, pooch = pytest.importorskip("PIL.Image"), pytest.importorskip("pooch")
    model = npswin.create_model("swin_tiny_patch4_window7_224", seed=5)
    model.save(tmp_path / "weights.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    image.fromarray(pixels).save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pooch, "retrieve", lambda *_args, **_options: tmp_path / "weights.safetensors")
    exec(compile(block("classify"), "README.md", "exec"), {})
    assert re.search(r"most likely first: \[( *\d+){5}\]", capsys.readouterr().out)
