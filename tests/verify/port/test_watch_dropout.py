"""watch on modules of the official code, with dropout off and on."""

import contextlib

import numpy as np
import pytest

import npswin
from npswin.verify import compare, trace, watch
from npswin.weights import load_weights

torch = pytest.importorskip("torch")
from tests.verify.keys import SCALE  # noqa: E402
from tests.verify.port.official_modules import ARGUMENTS, Swin  # noqa: E402
from tests.verify.port.test_watch import recording_of, swin_in_transformers  # noqa: E402

LABELS = np.array([3, 0])


def module_and_key(dtype="float32", **arguments):
    torch.manual_seed(0)
    module = Swin(**arguments)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    config = {"ape": module.absolute_pos_embed is not None, "patch_norm": module.patch_embed.norm is not None}
    model = npswin.SwinTransformer(
        **ARGUMENTS, **config, num_classes=5, mlp_ratio=2.0, drop_path_rate=0.0, dtype="float64"
    )
    load_weights(model, {name: value.numpy() for name, value in module.state_dict().items()})
    images = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    return module.to(getattr(torch, dtype)).eval(), trace(model, images.astype(np.float64), LABELS), images


def recorded(module, images, autocast=None):
    with watch(module) as recording:
        with torch.autocast("cpu", autocast) if autocast else contextlib.nullcontext():
            logits = module(torch.tensor(images).to(module.head.weight.dtype))
        torch.nn.functional.cross_entropy(logits.double(), torch.tensor(LABELS)).backward()
    return recording.tensors


def wrong_activations(key, tensors):
    """The gradients before a dropout are wrong as well."""
    rows = compare(key, tensors).rows_of_pass(backward=False)
    return [row.name for row in rows if row.is_local_error]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("arguments", [{}, {"ape": True}, {"patch_norm": False}, {"inplace": True, "drop": 0.3}])
def test_the_official_modules_agree(dtype, arguments):
    module, key, images = module_and_key(dtype, **arguments)
    tensors = recorded(module, images)
    comparison = compare(key, tensors)
    assert comparison.precision == dtype
    assert comparison.ok, str(comparison)
    assert ("pos_drop" in tensors) == ("ape" in arguments)
    block = "layers.0.blocks.1"
    assert {f"{block}.attn.probabilities", f"grad/{block}.mlp.act", "grad/patch_embed.proj", "avgpool"} <= set(tensors)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_module_under_autocast_agrees(precision):
    module, key, images = module_and_key()
    comparison = compare(key, recorded(module, images, getattr(torch, precision)))
    assert comparison.precision == precision
    assert comparison.ok, str(comparison)
    assert "tensors hold float32 numbers: layers.0.blocks.0.attn.probabilities" in str(comparison)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("pos_drop", "patch_embed.norm"),
        ("layers.0.blocks.1.attn.attn_drop", "layers.0.blocks.1.attn.probabilities"),
        ("layers.0.blocks.1.attn.proj_drop", "layers.0.blocks.1.attn.proj"),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_left_on_is_seen_where_it_acts(path, wrong, inplace):
    module, key, images = module_and_key()
    part = module.get_submodule(path)
    part.p, part.inplace = 0.5, inplace and not path.endswith("attn_drop")  # softmax needs its result
    part.train()
    assert wrong_activations(key, recorded(module, images)) == [wrong]


def test_dropout_in_the_mlp_acts_twice():
    module, key, images = module_and_key()
    drop = module.layers[0].blocks[1].mlp.drop
    drop.p = 0.5
    drop.train()
    tensors = recorded(module, images)
    assert wrong_activations(key, tensors) == ["layers.0.blocks.1.mlp.act", "layers.0.blocks.1.mlp.fc2"]
    assert 0.2 < np.mean(tensors["layers.0.blocks.1.mlp.fc2"] == 0) < 0.8


def test_dropout_after_the_position_embedding_and_without_a_norm():
    for arguments, wrong in (({"ape": True}, "pos_drop"), ({"patch_norm": False}, "patch_embed.proj")):
        module, key, images = module_and_key(**arguments)
        module.pos_drop.p = 0.5
        module.pos_drop.train()
        assert wrong_activations(key, recorded(module, images)) == [wrong]


@pytest.mark.parametrize("part", ["attention", "hidden"])
def test_dropout_of_transformers(part):
    """Attention returns its probabilities after the dropout; the other dropouts are modules."""
    pytest.importorskip("transformers")
    probability = {"attention": "attention_probs_dropout_prob", "hidden": "hidden_dropout_prob"}[part]
    module, model, pixels = swin_in_transformers("float32", **{probability: 0.5, "attn_implementation": "eager"})
    key = trace(model, pixels, LABELS, normalization=SCALE)
    assert compare(key, recording_of(module, key["input"], LABELS).tensors).ok
    module.train()
    for submodule in module.modules():
        if type(submodule).__name__ == "SwinDropPath":
            submodule.eval()
    wrong = wrong_activations(key, recording_of(module, key["input"], LABELS).tensors)
    if part == "attention":
        assert wrong == [f"layers.{stage}.blocks.{block}.attn.probabilities" for stage in (0, 1) for block in (0, 1)]
    else:
        assert {"patch_embed.norm", "layers.0.blocks.1.attn.proj", "layers.0.blocks.1.mlp.fc2"} <= set(wrong)
        assert all(name.endswith(("patch_embed.norm", "attn.proj", "mlp.fc2")) for name in wrong)
