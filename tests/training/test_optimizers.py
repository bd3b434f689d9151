"""The optimizers on a model, and against PyTorch where it is installed; clipping; the learning rate schedule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.layers import Linear
from npswin.training import SGD, AdamW, clip_gradients, decays, warmup_cosine
from tests.training.tiny import tiny_model


def _fill_gradients(model, seed):
    rng = np.random.default_rng(seed)
    for grad in model.grads.values():
        grad[...] = rng.normal(size=grad.shape)


def _copies(model):
    return {name: param.copy() for name, param in model.params.items()}


def test_decays():
    model = tiny_model(ape=True)
    without_decay = {name for name, param in model.params.items() if not decays(name, param)}
    assert without_decay == {
        name
        for name in model.params
        if "norm" in name or name.endswith((".bias", "relative_position_bias_table")) or name == "absolute_pos_embed"
    }
    full = tiny_model(position_bias="full").params
    name = "layers.0.blocks.0.attn.position_bias_table"
    assert not decays(name, full[name])


@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_decay_alone_shrinks_only_the_parameters_that_decay(optimizer):
    model = tiny_model()
    before = _copies(model)
    model.zero_grad()
    optimizer(model, lr=0.1, weight_decay=0.5).step()
    for name, param in model.params.items():
        factor = 0.95 if decays(name, param) else 1.0
        np.testing.assert_allclose(param, factor * before[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_a_restored_state_continues_bitwise_identically(optimizer):
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


def test_a_state_with_other_entries_changes_nothing():
    optimizer = AdamW(tiny_model())
    state = {name: array.copy() + 1 for name, array in optimizer.state().items()}
    with pytest.raises(ValueError, match=r"state: .*m\.head\.bias"):
        optimizer.load_state({name: array for name, array in state.items() if name != "m.head.bias"})
    with pytest.raises(ValueError, match=r"v\.head\.bias.*: got float32 of shape \(4,\), expected .* \(3,\)"):
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


def test_clip_gradients_scales_down_and_keeps_the_direction():
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


@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_apply_is_deprecated_and_works(optimizer):
    updated, expected = tiny_model(), tiny_model()
    for model in (updated, expected):
        _fill_gradients(model, 0)
    with pytest.warns(DeprecationWarning, match="apply was renamed to update_params"):
        optimizer(updated, lr=0.1).apply(0.1, 1, 1.0)
    optimizer(expected, lr=0.1).update_params(0.1, 1, 1.0)
    for name, param in updated.params.items():
        np.testing.assert_array_equal(param, expected.params[name])


def test_warmup_cosine_values():
    rates = [warmup_cosine(step, 12, 1.0, 3, 0.1) for step in range(13)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[6] == pytest.approx(0.1 + 0.9 * 0.75)  # a third of the way: (1 + cos 60°) / 2
    assert rates[9] == pytest.approx(0.1 + 0.9 * 0.25)
    assert rates[12] == 0.1
    assert warmup_cosine(99, 12, 1.0, 3, 0.1) == 0.1
    assert warmup_cosine(0, 5, 0.3) == 0.3


@given(st.integers(1, 50), st.data())
def test_warmup_cosine_rises_then_falls_within_its_bounds(total, data):
    warmup = data.draw(st.integers(0, total - 1))
    rates = [warmup_cosine(step, total, 0.5, warmup, 0.01) for step in range(total)]
    assert max(rates) == rates[warmup] == 0.5
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert all(0 < value <= 0.5 for value in rates)


def test_warmup_cosine_names_a_bad_argument():
    with pytest.raises(ValueError, match=r"^step: got -1"):
        warmup_cosine(-1, 10, 0.1)
    with pytest.raises(ValueError, match=r"^warmup_steps: got 10, expected an integer of at least 0 and at most 9"):
        warmup_cosine(0, 10, 0.1, 10)


NOT_RATES = [None, np.nan, np.inf, -1.0, "0.1", True, np.array([0.1])]


@pytest.mark.parametrize("wrong", NOT_RATES, ids=repr)
@pytest.mark.parametrize("optimizer", [AdamW, SGD])
def test_a_rate_that_was_set_to_no_number_is_refused_at_the_next_step(optimizer, wrong):
    model = tiny_model()
    stepped = optimizer(model, lr=0.1)
    _fill_gradients(model, 0)
    before = _copies(model)
    stepped.lr = wrong
    with pytest.raises(ValueError, match=r"^lr: got .*, expected a finite number of at least 0"):
        stepped.step()
    assert stepped.steps == 0
    assert all(np.array_equal(param, before[name]) for name, param in model.params.items())
    stepped.lr = np.float32(0.1)
    stepped.step(np.float64(1))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: AdamW(None), "model"),
        (lambda: AdamW(type(tiny_model())), "model"),
        (lambda: AdamW(tiny_model(), eps=np.inf), "eps"),
        (lambda: AdamW(tiny_model(), betas=(0.9, np.nan)), "betas"),
        (lambda: AdamW(tiny_model(), betas="ab"), "betas"),
        (lambda: AdamW(tiny_model()).step("1"), "grad_scale"),
        (lambda: AdamW(tiny_model()).update_params(0.1, 0, 1.0), "step"),
        (lambda: AdamW(tiny_model()).load_state(None), "state"),
        (lambda: SGD(tiny_model(), 0.1, momentum=None), "momentum"),
        (lambda: clip_gradients(tiny_model(), "1"), "max_norm"),
        (lambda: clip_gradients(tiny_model(), np.nan), "max_norm"),
        (lambda: decays(None, np.ones(1)), "name"),
        (lambda: warmup_cosine(0.5, 10, 0.1), "step"),
        (lambda: warmup_cosine(0, 10, np.nan), "base_lr"),
        (lambda: warmup_cosine(0, 10, 0.1, min_lr=-0.1), "min_lr"),
        (lambda: warmup_cosine(0, True, 0.1), "total_steps"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        call()


def test_an_infinite_norm_scales_nothing():
    model = tiny_model()
    _fill_gradients(model, 0)
    before = {name: grad.copy() for name, grad in model.grads.items()}
    clip_gradients(model, np.inf)
    assert all(np.array_equal(grad, before[name]) for name, grad in model.grads.items())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda model: AdamW(model, eps=1e-50), "eps"),
        (lambda model: AdamW(model, lr=1e300), "lr"),
        (lambda model: AdamW(model, weight_decay=1e300), "weight_decay"),
        (lambda model: SGD(model, lr=1e300), "lr"),
    ],
)
def test_numbers_that_the_parameters_dtype_cannot_hold(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: got 1e[+-]\d+, which in float32 is "):
        make(tiny_model())
    assert make(tiny_model(dtype="float64")) is not None


def test_a_parameter_that_was_added_later_is_noticed():
    model = tiny_model()
    optimizer = AdamW(model)
    model.add_child("extra", Linear(2, 2, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="the model's parameters are others than when the optimizer was made"):
        optimizer.step()


def test_an_optimizer_creates_no_gradients():
    """They would take the memory of all parameters before the first step."""
    model = tiny_model()
    AdamW(model)
    assert all(gradient is None for _, layer in model._walk() for gradient in layer.own_grads.values())
