"""Which dialect speaks."""

import subprocess
import sys
import types

import numpy as np
import pytest

import npswin
from npswin import backends, ops


def test_numpy_is_the_dialect_and_speaks_every_word():
    assert npswin.get_backend() == "numpy"
    for word in ops.__all__:
        assert getattr(backends.words, word) is getattr(ops, word)


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="backend: got 'torch', expected one of 'numpy'"):
        npswin.set_backend("torch")
    with pytest.raises(AttributeError, match="no_such_word"):
        _ = backends.words.no_such_word


def test_the_environment_chooses_and_a_wrong_name_is_named():
    result = subprocess.run(
        [sys.executable, "-c", "import npswin"],
        env={"NPSWIN_BACKEND": "typo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NPSWIN_BACKEND: got 'typo', expected one of 'numpy'" in result.stderr


def test_layers_take_the_dialect_that_is_set_and_fall_back(monkeypatch):
    def loud_gelu_free_mlp(x, *weights, **masks):
        y, cache = ops.mlp_forward(x, *weights, **masks)
        return y + 100, cache

    dialect = types.SimpleNamespace(mlp_forward=loud_gelu_free_mlp)
    monkeypatch.setitem(backends._DIALECTS, "loud", dialect)
    layer = npswin.layers.Mlp(4, 8, np.random.default_rng(0), dtype="float64")
    x = np.ones((2, 4))
    plain, cache = layer.forward(x)
    npswin.set_backend("loud")
    try:
        loud, loud_cache = layer.forward(x)
        np.testing.assert_array_equal(loud, plain + 100)
        np.testing.assert_array_equal(layer.backward(x, loud_cache), layer.backward(x, cache))
    finally:
        npswin.set_backend("numpy")
