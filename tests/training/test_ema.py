"""The moving average of the weights."""

import numpy as np
import pytest

from npswin.training import Ema
from tests.training.tiny import tiny_model


def test_ema_update_averages():
    model = tiny_model(dtype="float64")
    ema = Ema(model, 0.5)
    bias = model.params["head.bias"]
    expected = np.zeros(3)
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (90, 0.5)):  # the first are shorter than the one given
        bias[...] = step
        ema.update(step)
        expected = decay * expected + (1 - decay) * step
        np.testing.assert_allclose(ema.average["head.bias"], expected, rtol=1e-12)


def test_ema_averaged_weights_only_within_the_context():
    model = tiny_model()
    ema = Ema(model, 0.9)
    before = {name: param.copy() for name, param in model.params.items()}
    for average in ema.average.values():
        average += 1
    with ema.averaged_weights():
        for name, param in model.params.items():
            np.testing.assert_array_equal(param, ema.average[name])
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, before[name])
    with pytest.raises(KeyboardInterrupt), ema.averaged_weights():
        raise KeyboardInterrupt
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, before[name])
    ema.copy_to_model()
    np.testing.assert_array_equal(model.params["head.bias"], ema.average["head.bias"])


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_ema_names_a_bad_decay(decay):
    with pytest.raises(ValueError, match=r"^decay: got"):
        Ema(tiny_model(), decay)


def test_ema_deprecated_names_work():
    model = tiny_model()
    ema = Ema(model, 0.9)
    own = model.params["head.bias"].copy()
    ema.average["head.bias"] += 1
    with pytest.warns(DeprecationWarning, match="applied was renamed to averaged_weights"), ema.applied():
        np.testing.assert_array_equal(model.params["head.bias"], own + 1)
    np.testing.assert_array_equal(model.params["head.bias"], own)
    with pytest.warns(DeprecationWarning, match="settle was renamed to copy_to_model"):
        ema.settle()
    np.testing.assert_array_equal(model.params["head.bias"], own + 1)
    with pytest.warns(DeprecationWarning, match="apply was renamed to update_with_decay"):
        ema.apply(0.0)
    np.testing.assert_array_equal(ema.average["head.bias"], own + 1)


def test_errors_name_the_argument():
    model = tiny_model()
    ema = Ema(model, 0.9)
    before = {name: array.copy() for name, array in ema.average.items()}
    short = {**before, "head.bias": np.ones(1, np.float32)}  # which would be broadcast
    calls = {
        "step": [lambda: ema.update(0), lambda: ema.update(1.5), lambda: ema.decay_at(None)],
        "decay": [lambda: Ema(model, "0.9"), lambda: ema.update_with_decay(np.nan)],
        r"average\['head.bias'\]": [lambda: ema.load(short)],
        r"average\['patch_embed.proj.weight'\]": [lambda: ema.load({})],
        "average": [lambda: ema.load(None)],
        "model": [lambda: Ema(None, 0.9)],
    }
    for name, wrong_calls in calls.items():
        for call in wrong_calls:
            with pytest.raises(ValueError, match=f"^{name}: got "):
                call()
    assert all(np.array_equal(array, before[name]) for name, array in ema.average.items())
