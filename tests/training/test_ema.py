"""The moving average of the weights."""

import numpy as np
import pytest

from npswin.training import Ema
from tests.training.tiny import tiny_model


def test_average_of_what_it_saw():
    model = tiny_model(dtype="float64")
    ema = Ema(model, 0.5)
    bias = model.params["head.bias"]
    expected = np.zeros(3)
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (90, 0.5)):  # short at first, then as long as asked
        bias[...] = step
        ema.update(step)
        expected = decay * expected + (1 - decay) * step
        np.testing.assert_allclose(ema.average["head.bias"], expected, rtol=1e-12)


def test_applied_only_within_the_context():
    model = tiny_model()
    ema = Ema(model, 0.9)
    before = {name: param.copy() for name, param in model.params.items()}
    for average in ema.average.values():
        average += 1
    with ema.applied():
        for name, param in model.params.items():
            np.testing.assert_array_equal(param, ema.average[name])
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, before[name])
    with pytest.raises(KeyboardInterrupt), ema.applied():
        raise KeyboardInterrupt
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, before[name])
    ema.settle()
    np.testing.assert_array_equal(model.params["head.bias"], ema.average["head.bias"])


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range(decay):
    with pytest.raises(ValueError, match=r"^decay: got"):
        Ema(tiny_model(), decay)
