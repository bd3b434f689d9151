"""Whole runs on images of any number of channels, in 8 and 16 bits."""

import dataclasses
import json

import numpy as np
import pytest

from npswin import Trainer, load_weights
from npswin.data import channel_statistics, normalize
from npswin.training import draw_attention, draw_predictions, evaluate
from npswin.training.pictures.style import as_colours, shown_channels
from npswin.training.tasks.classification_inputs import augment
from npswin.weights import load_tensors
from tests.training.tiny import tiny_config, tiny_data, tiny_model

BITS = [np.uint8, np.uint16]
CHANNELS = [1, 2, 3, 4, 11]


def _trainer(out, channels, dtype, **recipe):
    data = [tiny_data(count, split, 0, channels, dtype) for count, split in ((96, "train"), (60, "test"))]
    return Trainer(tiny_model(in_chans=channels, drop_path_rate=0.0), *data, tiny_config(**recipe), out)


@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint16), (2, np.uint8), (3, np.uint16), (4, np.uint8), (11, np.uint16)]
)
def test_a_run_learns_and_writes_its_files(tmp_path, channels, dtype):
    pytest.importorskip("matplotlib")
    recipe = {"epochs": 4, "lr": 1e-2, "mixup": 0.0}
    run = _trainer(tmp_path, channels, dtype, **recipe)
    result = run.fit()
    assert result.accuracy > 0.8
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["train_data"]["shape"] == [96, channels, 8, 8]
    assert (config["mean"], config["std"]) == tuple(map(list, channel_statistics(run.train_data.images)))
    assert len(config["mean"]) == channels
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4 * 12
    _, metadata = load_tensors(tmp_path / "best.safetensors")
    model = tiny_model(in_chans=channels)
    assert load_weights(model, tmp_path / "last.safetensors").complete
    mean, std = json.loads(metadata["mean"]), json.loads(metadata["std"])
    load_weights(model, tmp_path / "best.safetensors")
    assert evaluate(model, run.test_data, mean, std).accuracy == run.best_accuracy
    assert _trainer(tmp_path, channels, dtype, **recipe).fit(resume=True) == result
    draw_predictions(model, run.test_data, mean, std, tmp_path / "predictions.png")
    draw_attention(model, run.test_data, mean, std, tmp_path / "attention.png")
    for name in ("predictions", "attention"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("channels", CHANNELS)
def test_16_bits_that_are_257_times_8_bits_are_the_same_images(channels):
    small, large = (tiny_data(12, channels=channels, dtype=dtype) for dtype in BITS)
    np.testing.assert_array_equal(257 * small.images.astype(int), large.images)
    statistics = [channel_statistics(data.images) for data in (small, large)]
    np.testing.assert_allclose(*statistics, rtol=1e-12)
    recipe = tiny_config(cutmix=1.0, mixup=0.0, erasing=0.5)
    inputs = [
        augment(data.images, data.labels, 3, recipe, *statistics[0], np.float64, np.random.default_rng(0))[0]
        for data in (small, large)
    ]
    np.testing.assert_allclose(*inputs, atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "dtype", "found"),
    [(1, np.uint8, "1 channel in uint8"), (4, np.uint8, "4 channels in uint8"), (3, np.uint16, "3 channels in uint16")],
)
def test_rand_augment_is_refused_before_a_folder_is_made(tmp_path, channels, dtype, found):
    with pytest.raises(ValueError, match=f"^rand_augment: got 2 for images of {found}, expected 0: .*red, green"):
        _trainer(tmp_path / "run", channels, dtype, rand_augment=2)
    assert not (tmp_path / "run").exists()


def test_channels_that_come_last_get_a_hint(tmp_path):
    first = tiny_data()
    last = dataclasses.replace(first, images=first.images.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"^train_data: has 8 channels, the model takes 3 .*transpose\(0, 3, 1, 2\)"):
        Trainer(tiny_model(), last, last, tiny_config(), tmp_path / "run")


def test_evaluate_takes_as_many_numbers_as_channels():
    model, data = tiny_model(in_chans=4), tiny_data(channels=4, dtype=np.uint16)
    mean, std = channel_statistics(data.images)
    logits = model(normalize(data.images, mean, std))
    assert evaluate(model, data, mean, std).accuracy == (logits.argmax(axis=1) == data.labels).mean()
    with pytest.raises(ValueError, match=r"^mean: .*expected 4 numbers"):
        evaluate(model, data, mean[:3], std)


class TestPictures:
    def test_three_channels_in_8_bits_are_shown_as_they_are(self):
        image = tiny_data(1).images[0]
        np.testing.assert_array_equal(as_colours(image), image)
        assert shown_channels(3) == ""

    @pytest.mark.parametrize("channels", [1, 2])
    def test_one_or_two_channels_are_grey(self, channels):
        image = tiny_data(1, channels=channels).images[0]
        shown = as_colours(image)
        np.testing.assert_array_equal(shown[0], np.rint(image.astype(float).mean(axis=0)))
        assert (shown == shown[0]).all()

    @pytest.mark.parametrize("channels", [4, 11])
    def test_of_more_channels_the_first_three_are_shown_and_the_title_says_so(self, channels):
        image = tiny_data(1, channels=channels).images[0]
        np.testing.assert_array_equal(as_colours(image), image[:3])
        assert shown_channels(channels) == f", channels 1 to 3 of {channels} as colours"

    def test_16_bits_are_stretched(self):
        image = 1000 + np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8)
        shown = as_colours(image)
        assert (shown.min(), shown.max(), shown.dtype) == (0, 255, np.uint8)
        assert (as_colours(np.full((4, 2, 2), 7, np.uint16)) == 0).all()
