"""With weights of every layout, the logits are those of the layout's project."""

import numpy as np
import pytest

from npswin.weights import load_weights, save_tensors
from tests.weights.dense_files import DETECTORS, SEGMENTERS
from tests.weights.golden_files import FOLDER, LAYOUTS, read


@pytest.mark.parametrize("name", LAYOUTS)
def test_logits(name):
    golden = read(name)
    model = golden.model(seed=1)
    report = load_weights(model, golden.state)
    assert report.layout == LAYOUTS[name]
    assert report.complete
    assert not report.resized
    assert sorted(report.loaded) == sorted(model.params)
    assert golden.logits.dtype == np.float64
    np.testing.assert_allclose(model(golden.images), golden.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["model.", "module.", "module.model."])
def test_logits_from_a_file_with_a_wrapper_before_each_key(tmp_path, name, wrapper):
    golden = read(name)
    path = tmp_path / "wrapped.safetensors"
    save_tensors(path, {wrapper + key: tensor for key, tensor in golden.state.items()})
    model = golden.model(seed=1)
    assert load_weights(model, path).layout == LAYOUTS[name]
    np.testing.assert_allclose(model(golden.images), golden.logits, rtol=0, atol=1e-12)


def test_every_file_is_tested_and_small():
    assert {path.stem for path in FOLDER.iterdir()} == {*LAYOUTS, *SEGMENTERS, *DETECTORS}
    assert all(path.stat().st_size < 40_000 for path in FOLDER.iterdir())
