"""The training in PyTorch that benchmarks compare npswin's with: the same losses, norms, rates and weights, in float64.

Skipped without PyTorch and transformers, and for detectors torchvision.
"""

import dataclasses
import json
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest

import npswin
from npswin.data import load_detection_scenes, load_segmentation_scenes
from npswin.training import DetectionTask, SegmentationTask, TrainConfig, Trainer
from npswin.weights.load import model_tensors
from tests.peers.comparison import relative

torch = pytest.importorskip("torch")
for module in ("transformers", "tqdm", "filelock", "matplotlib"):
    pytest.importorskip(module)

from benchmarks.peers.carried_weights import official_tensors  # noqa: E402
from benchmarks.peers.dense_run import DenseRun  # noqa: E402
from benchmarks.peers.same_samples import npswin_by_rule, torchvision_by_rule  # noqa: E402

TOLERANCE = 1e-9
BACKBONE = {
    "patch_size": 2,
    "embed_dim": 8,
    "depths": (2, 1, 1, 1),
    "num_heads": (1, 2, 2, 2),
    "window_size": 4,
    "drop_path_rate": 0.0,
}
# Each setting that the loop in PyTorch has its own code for: warm-up, clipping, decay and an average.
RECIPE = TrainConfig(
    epochs=2, batch_size=2, lr=2e-3, weight_decay=0.3, schedule="poly", warmup_epochs=0.6, ema_decay=0.9, clip_norm=0.9
)


def redraw(model):
    """Weights that are large enough for every term to count."""
    rng = np.random.default_rng(1)
    for value in model.params.values():
        value += 0.05 * rng.standard_normal(value.shape)
    return model


def assert_equal_runs(model, task, train_data, test_data, attention, tmp_path, by_rule):
    """Train in both; all that is recorded of each step, and the weights and buffers at the end, are the same."""
    normalization = task.channel_statistics(train_data)
    run = DenseRun(model, task, train_data, RECIPE, normalization, attention)
    with torchvision_by_rule(run.peer) if by_rule else nullcontext():
        theirs = list(run.train())
    before = {name: value.copy() for name, value in model.params.items()}
    with npswin_by_rule() if by_rule else nullcontext(), mock.patch("npswin.training.trainer.draw_curves"):
        trainer = Trainer(model, train_data, test_data, RECIPE, tmp_path / "run", task=task)
        trainer.fit()
    ours = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]

    assert normalization == (trainer.mean, trainer.std)
    assert [one["step"] for one in theirs] == [one["step"] for one in ours] == [1, 2, 3, 4]
    assert run.total_steps == 4
    norms = [one["gradient_norm"] for one in theirs]
    assert max(norms) > RECIPE.clip_norm
    for mine, other in zip(ours, theirs, strict=True):
        for name, value in other.items():
            assert relative(np.array(value), np.array(mine[name])) < TOLERANCE, (other["step"], name)
    own = model_tensors(model)
    trained = official_tensors(model, {name: value.numpy() for name, value in run.peer.state_dict().items()})
    assert set(trained) == set(own)
    for name, value in own.items():
        assert relative(trained[name], value) < TOLERANCE, name
    assert all(np.any(value != before[name]) for name, value in model.params.items())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_segmenter(tmp_path, attention):
    train_data, test_data = (load_segmentation_scenes(train=train, size=48, count=4) for train in (True, False))
    classes = len(train_data.class_names)
    heads = {"channels": 8, "auxiliary_channels": 4, "dropout": 0.0, "dtype": "float64"}
    model = redraw(npswin.create_model("upernet_swin_nano", num_classes=classes, backbone=BACKBONE, **heads))
    task = SegmentationTask(crop_size=(32, 32), shorter=32, longer=64)
    assert_equal_runs(model, task, train_data, test_data, attention, tmp_path, by_rule=False)


def with_smaller_boxes(data):
    """Boxes whose corners are no whole numbers.

    The part of a mask in a box of whole numbers often covers just half of a pixel of the target, which is rounded up or
    down as rounding errors have it.
    """
    rng = np.random.default_rng(2)
    samples = []
    for sample in data:
        boxes = sample.boxes + rng.uniform(0.1, 0.4, sample.boxes.shape) * (1, 1, -1, -1)
        samples.append(dataclasses.replace(sample, boxes=boxes))
    return dataclasses.replace(data, samples=samples, checksum=None)


@pytest.mark.parametrize(("masks", "crop_size"), [(True, None), (False, (40, 44))])
def test_a_detector(tmp_path, masks, crop_size):
    for module in ("torchvision", "pycocotools"):
        pytest.importorskip(module)
    train_data, test_data = (load_detection_scenes(train=train, size=48, count=4) for train in (True, False))
    limits = {"rpn_samples": 32, "roi_samples": 16, "proposals_a_level": (40, 20), "proposals": 40, "detections": 5}
    sizes = {"num_classes": len(train_data.class_names), "channels": 8, "width": 12, "masks": masks}
    model = npswin.create_model("mask_rcnn_swin_nano", **sizes, **limits, backbone=BACKBONE, dtype="float64")
    redraw(model)
    task = DetectionTask(shorter_sides=(40, 48), longer=96, test_shorter=48, crop_size=crop_size, masks=masks)
    train_data = with_smaller_boxes(train_data)
    assert_equal_runs(model, task, train_data, test_data, "sdpa", tmp_path, by_rule=True)
