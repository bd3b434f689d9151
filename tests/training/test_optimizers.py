"""The optimizers on a model, and against PyTorch where it is installed."""

import numpy as np
import pytest

from npswin.training import SGD, AdamW, clip_gradients, decays
from tests.training.tiny import tiny_model


def _fill_gradients(model, seed):
    rng = np.random.default_rng(seed)
    for grad in model.grads.values():
        grad[...] = rng.normal(size=grad.shape)


def _copies(model):
    return {name: param.copy() for name, param in model.params.items()}


def test_what_decays():
    model = tiny_model(ape=True)
    kept = {name for name, param in model.params.items() if not decays(name, param)}
    assert kept == {
        name
        for name in model.params
        if "norm" in name or name.endswith((".bias", "relative_position_bias_table")) or name == "absolute_pos_embed"
    }
    full = tiny_model(position_bias="full").params
    name = "layers.0.blocks.0.attn.position_bias_table"
    assert not decays(name, full[name])


@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_decay_alone_shrinks_only_what_decays(optimizer):
    model = tiny_model()
    before = _copies(model)
    model.zero_grad()
    optimizer(model, lr=0.1, weight_decay=0.5).step()
    for name, param in model.params.items():
        factor = 0.95 if decays(name, param) else 1.0
        np.testing.assert_allclose(param, factor * before[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_state_goes_on_to_the_bit(optimizer):
    models = [tiny_model(), tiny_model()]
    first, second = (optimizer(model, lr=0.01) for model in models)
    for step in range(3):
        _fill_gradients(models[0], step)
        first.step()
    second.load_state({name: array.copy() for name, array in first.state().items()})
    for name, param in models[1].params.items():
        param[...] = models[0].params[name]
    for model, stepped in zip(models, (first, second), strict=True):
        _fill_gradients(model, 9)
        stepped.lr = 0.005
        stepped.step()
    for name, param in models[0].params.items():
        np.testing.assert_array_equal(param, models[1].params[name], err_msg=name)


def test_state_that_does_not_fit_changes_nothing():
    optimizer = AdamW(tiny_model())
    state = {name: array.copy() + 1 for name, array in optimizer.state().items()}
    with pytest.raises(ValueError, match=r"state: .*m\.head\.bias"):
        optimizer.load_state({name: array for name, array in state.items() if name != "m.head.bias"})
    with pytest.raises(ValueError, match=r"v\.head\.bias has float32 \(4,\), expected float32 \(3,\)"):
        optimizer.load_state({**state, "v.head.bias": np.zeros(4, np.float32)})
    assert all(not array.any() for array in optimizer.state().values())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": 1e-3, "weight_decay": -0.1}, "weight_decay"),
        ({"lr": 1e-3, "betas": (0.9, 1.0)}, "betas"),
        ({"lr": 1e-3, "eps": 0.0}, "eps"),
    ],
)
def test_adamw_names_a_bad_argument(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: got"):
        AdamW(tiny_model(), **arguments)


def test_sgd_names_a_bad_argument():
    with pytest.raises(ValueError, match=r"^momentum: got"):
        SGD(tiny_model(), lr=0.1, momentum=1.0)


def test_clipping_shortens_and_keeps_the_direction():
    model = tiny_model(dtype="float64")
    _fill_gradients(model, 0)
    before = np.concatenate([grad.ravel() for grad in model.grads.values()])
    norm = clip_gradients(model, 0.5)
    after = np.concatenate([grad.ravel() for grad in model.grads.values()])
    assert norm == pytest.approx(np.linalg.norm(before))
    np.testing.assert_allclose(after, before * 0.5 / np.linalg.norm(before), rtol=1e-5)
    assert clip_gradients(model, 0.6) == pytest.approx(0.5, rel=1e-5)
    np.testing.assert_array_equal(after, np.concatenate([grad.ravel() for grad in model.grads.values()]))
    with pytest.raises(ValueError, match=r"^max_norm: got 0"):
        clip_gradients(model, 0)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_equal_to_torch(kind):
    torch = pytest.importorskip("torch")
    model = tiny_model(dtype="float64")
    peers = {name: torch.nn.Parameter(torch.tensor(param)) for name, param in model.params.items()}
    groups = [
        {"params": [peers[name] for name, param in model.params.items() if decays(name, param)], "weight_decay": 0.3},
        {
            "params": [peers[name] for name, param in model.params.items() if not decays(name, param)],
            "weight_decay": 0.0,
        },
    ]
    if kind == "adamw":
        ours = AdamW(model, lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
        theirs = torch.optim.AdamW(groups, lr=0.02, betas=(0.8, 0.95), eps=1e-6)
    else:
        ours = SGD(model, lr=0.02, momentum=0.8, weight_decay=0.3)
        theirs = torch.optim.SGD(groups, lr=0.02, momentum=0.8)
    for step in range(5):
        _fill_gradients(model, step)
        for name, grad in model.grads.items():
            peers[name].grad = torch.tensor(grad)
        norm = clip_gradients(model, 3.0)
        assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(peers.values(), 3.0)), rel=1e-12)
        ours.lr = theirs.param_groups[0]["lr"] = theirs.param_groups[1]["lr"] = 0.02 / (1 + step)
        ours.step()
        theirs.step()
    for name, param in model.params.items():
        np.testing.assert_allclose(param, peers[name].detach().numpy(), rtol=1e-12, atol=1e-14, err_msg=name)
