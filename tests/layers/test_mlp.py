"""The layer Mlp."""

import numpy as np
import pytest

from npswin import layers
from tests.ops.drawn import normal


def test_mlp_drops_hidden_and_output_channels():
    layer = layers.Mlp(32, 32, np.random.default_rng(0), drop=0.25, dtype="float64")
    layer.params["fc2.weight"][...] = np.eye(32)
    x = normal(0, 400, 32)
    nonzero = (layer.forward(x, np.random.default_rng(1))[0] != 0).mean()
    assert nonzero == pytest.approx(0.75**2, abs=0.02)  # an entry is nonzero if neither of the two masks drops it
