"""Names that the key does not have, and which of its tensors they mean."""

import re

import numpy as np
import pytest

from npswin.verify import compare
from npswin.verify.port.candidate import CandidateError
from npswin.verify.port.read_dump import read_candidate
from npswin.verify.port.similar_names import similar_name
from npswin.weights import save_tensors
from tests.verify.keys import miniature_trace, right

BLOCK = "layers.0.blocks.1"


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("logits", "head"),
        ("model.logits", "head"),
        ("grad/logits", "grad/head"),
        ("swin.encoder.layers.0.blocks.1.attention.self.query", f"{BLOCK}.attn.q"),
        ("encoder.layers.0.blocks.1.attention.output.dense", f"{BLOCK}.attn.proj"),
        ("swin.encoder.layers.0.blocks.1.attention.self.query.weight", f"{BLOCK}.attn.qkv.weight"),
        ("swin.encoder.layers.0.blocks.1.attention.dropout", f"{BLOCK}.attn.probabilities"),
        ("swin.encoder.layers.0.blocks.1.output", f"{BLOCK}.mlp.fc2"),
        ("swin.embeddings.norm", "patch_embed.norm"),
        ("model.layers.0.blocks.1.attn.softmax", f"{BLOCK}.attn.probabilities"),
        ("features.1.1.norm1", f"{BLOCK}.norm1"),
        ("grad/features.1.1.mlp.0", f"grad/{BLOCK}.mlp.fc1"),
        ("features.2.norm", "layers.0.downsample.norm"),
        ("layers.2.downsample.norm", "layers.1.downsample.norm"),
        ("backbone.stages.0.blocks.1.attn.w_msa.qkv", f"{BLOCK}.attn.qkv"),
        ("backbone.stages.0.blocks.1.ffn.layers.0.0", f"{BLOCK}.mlp.fc1"),
        ("blocks.1.attn.qkv", f"{BLOCK}.attn.qkv"),
        ("layer0/block1/norm1", f"{BLOCK}.norm1"),
        (f"{BLOCK}.attn.qvk", f"{BLOCK}.attn.qkv"),
        ("layers.1", "layers.1.downsample.reduction"),
        ("layers.2", "layers.2.blocks.0"),
        ("zzz", ""),
    ],
)
def test_the_tensor_that_an_unknown_name_means(unknown, meant):
    assert similar_name(unknown, miniature_trace().shapes) == meant


def test_long_and_odd_names_are_looked_up_quickly():
    for name in ("x" * 10**6, "a." * 10**5, "(", "\\1", "", "grad/"):
        assert isinstance(similar_name(name, miniature_trace().shapes), str)


def test_a_tensor_called_logits_gets_the_hint_head():
    tensors = right("float32")
    dump = {"logits": tensors["head"], "norm": tensors["norm"]}
    assert compare(miniature_trace(), dump).unknown == {"logits": "head"}
    with pytest.raises(CandidateError, match=re.escape("found logits (head?)")):
        compare(miniature_trace(), {"logits": tensors["head"]})


@pytest.mark.parametrize("after", ["pos_drop", "patch_embed"])
@pytest.mark.parametrize("with_the_tensor", [False, True])
def test_what_does_nothing_is_the_tensor_before_it(after, with_the_tensor):
    tensors = right("float32")
    dump = dict(tensors) if with_the_tensor else {name: tensors[name] for name in ("input", "patch_embed.proj", "head")}
    dump[after] = tensors["patch_embed.norm"].reshape(2, 35, 4)
    comparison = compare(miniature_trace(), dump)
    assert comparison.ok, str(comparison)
    assert not comparison.unknown
    assert "patch_embed.norm" in {row.name for row in comparison.rows}


@pytest.mark.parametrize(
    ("after", "name"),
    [
        ("drop_path", "mlp.fc2"),
        ("drop_path1", "attn.cropped"),
        ("attn", "attn.proj"),
        ("attn.attn_drop", "attn.probabilities"),
        ("mlp.drop1", "mlp.act"),
    ],
)
def test_containers_and_identities_of_a_block(after, name):
    tensors = right("float32")
    dump = tensors | {f"{BLOCK}.{after}": tensors[f"{BLOCK}.{name}"]}
    assert compare(miniature_trace(), dump).ok
    gradient = {f"grad/{BLOCK}.{after}": tensors[f"grad/{BLOCK}.{name}"]}
    assert compare(miniature_trace(), {"head": tensors["head"]} | gradient).ok


def test_dropout_that_is_on_is_seen_at_the_tensor_before_it():
    tensors = right("float32")
    dropped = tensors[f"{BLOCK}.attn.proj"].copy()
    dropped.flat[::3] = 0
    comparison = compare(miniature_trace(), tensors | {f"{BLOCK}.attn.proj_drop": dropped})
    assert comparison.first_error().name == f"{BLOCK}.attn.proj"
    assert f"dumped as {BLOCK}.attn.proj_drop" in comparison.first_error().note


def test_a_tensor_of_another_shape_under_a_containers_name_stays_unknown():
    comparison = compare(miniature_trace(), {"head": right("float32")["head"], f"{BLOCK}.mlp": np.ones(3)})
    assert comparison.unknown == {f"{BLOCK}.mlp": f"{BLOCK}.mlp.fc2"}


@pytest.mark.parametrize("write", ["npz", "npy", "safetensors"])
def test_containers_in_files(tmp_path, write):
    tensors = {"head": right("float32")["head"], "pos_drop": right("float32")["patch_embed.norm"]}
    path = tmp_path / f"dump.{write}"
    if write == "npz":
        np.savez(path, **tensors)
    elif write == "safetensors":
        save_tensors(path, tensors)
    else:
        path.mkdir()
        for name, array in tensors.items():
            np.save(path / f"{name}.npy", array)
    candidate = read_candidate(path, miniature_trace().shapes)
    assert set(candidate.tensors) == {"head", "patch_embed.norm"}
    assert candidate.dumped_as == {"patch_embed.norm": "pos_drop"}
    assert not candidate.unknown
