"""watch on modules of the official code, with dropout off and on."""

import contextlib
import warnings

import numpy as np
import pytest

import npswin
from npswin.verify import compare, diagnose, trace, watch
from npswin.weights import load_weights

torch = pytest.importorskip("torch")
from tests.verify.keys import SCALE  # noqa: E402
from tests.verify.port.official_modules import ARGUMENTS, Swin  # noqa: E402
from tests.verify.port.test_watch import recording_of, swin_in_transformers  # noqa: E402

LABELS = np.array([3, 0])
LEFT_ON = pytest.mark.filterwarnings("ignore:watch. left on")


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


@pytest.mark.parametrize(("kind", "tensor"), [("functions", "probabilities"), ("fused", "context")])
def test_attention_by_functions_and_drop_path_that_is_off_agree(kind, tensor):
    module, key, images = module_and_key(drop_path=0.5, drop=0.5, kind=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensors = recorded(module, images)
    assert compare(key, tensors).ok, str(compare(key, tensors))
    block = "layers.0.blocks.1"
    assert {f"{block}.attn.{tensor}", f"grad/{block}.attn.{tensor}", f"{block}.drop_path1"} <= set(tensors)


@pytest.mark.parametrize("kind", ["modules", "functions", "fused"])
def test_attention_dropout_left_on_is_a_cause(kind):
    module, key, images = module_and_key(drop=0.25, kind=kind)
    module.layers[0].blocks[1].attn.train()
    module.layers[0].blocks[1].attn.proj_drop.eval()
    with pytest.warns(UserWarning, match="left on.*dropout of rate 0.25 in layers.0.blocks.1"):
        tensors = recorded(module, images)
    wrong = "layers.0.blocks.1.attn.probabilities"
    assert wrong_activations(key, tensors) == [wrong]
    forward = {name: array for name, array in tensors.items() if not name.startswith("grad/")}
    found = diagnose(key, forward).causes[0]
    assert str(found).startswith("dropout is left on (of attention, a rate of 0.25: ")
    assert found.places == [wrong]


def test_watching_leaves_the_random_numbers_alone():
    module, _, images = module_and_key(drop=0.25, kind="fused")
    module.layers[0].blocks[1].attn.train()
    results = []
    for watched in (watch(module), contextlib.nullcontext()):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with watched:
                results.append(module(torch.tensor(images)))
    assert torch.equal(*results)


def test_drop_path_left_on_is_one_cause():
    """It is drawn anew for each branch; with this seed, each drops one of the two images."""
    module, key, images = module_and_key(drop_path=0.5)
    for block in module.layers[0].blocks:
        block.drop_path.train()
    torch.manual_seed(25)
    with pytest.warns(UserWarning, match="drop path of rate 0.5 in layers.0.blocks.0, layers.0.blocks.1"):
        tensors = recorded(module, images)
    diagnosis = diagnose(key, {name: array for name, array in tensors.items() if not name.startswith("grad/")})
    assert not diagnosis.unexplained, str(diagnosis)
    assert [str(cause) for cause in diagnosis.causes] == ["drop path is left on"]
    places = [f"layers.0.blocks.{end}" for end in ("0.attn.joined", "0.mlp.fc2", "1.attn.unshifted", "1.mlp.fc2")]
    assert diagnosis.causes[0].places == places
    factor = "the branch is multiplied by 2, a rate of 0.5"
    assert f"{places[0]} (image 1 of the batch skips the branch; {factor})" in str(diagnosis)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_module_under_autocast_agrees(precision):
    module, key, images = module_and_key()
    comparison = compare(key, recorded(module, images, getattr(torch, precision)))
    assert comparison.precision == precision
    assert comparison.ok, str(comparison)
    assert "tensors hold float32 numbers: layers.0.blocks.0.attn.probabilities" in str(comparison)


@LEFT_ON
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


@LEFT_ON
def test_dropout_in_the_mlp_acts_twice():
    module, key, images = module_and_key()
    drop = module.layers[0].blocks[1].mlp.drop
    drop.p = 0.5
    drop.train()
    tensors = recorded(module, images)
    assert wrong_activations(key, tensors) == ["layers.0.blocks.1.mlp.act", "layers.0.blocks.1.mlp.fc2"]
    assert 0.2 < np.mean(tensors["layers.0.blocks.1.mlp.fc2"] == 0) < 0.8


@LEFT_ON
def test_dropout_after_the_position_embedding_and_without_a_norm():
    for arguments, wrong in (({"ape": True}, "pos_drop"), ({"patch_norm": False}, "patch_embed.proj")):
        module, key, images = module_and_key(**arguments)
        module.pos_drop.p = 0.5
        module.pos_drop.train()
        assert wrong_activations(key, recorded(module, images)) == [wrong]


@LEFT_ON
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
