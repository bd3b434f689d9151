"""Detection as a task of the trainer: its samples, its losses, its measure, and runs that resume to the bit."""

import collections
import dataclasses
import json
import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from npswin.data import (
    DetectionDataset,
    DetectionSample,
    load_detection_scenes,
    normalize,
    random_crop_sample,
    random_flip_sample,
    random_resize,
    resize_sample,
)
from npswin.data.formats.object_files import AnnotatedImage, Annotation, ObjectFiles
from npswin.models.detection import DetectorOutput
from npswin.training import (
    DetectionTask,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    evaluate_detection,
    predict_detections,
)
from npswin.training.detection_metric import AveragePrecision
from tests.models.detection.tiny import tiny

pytest.importorskip("pycocotools")
pytestmark = pytest.mark.usefixtures("no_curves")

NORMALIZATION = (120.0, 120.0, 120.0), (60.0, 60.0, 60.0)
TASK = DetectionTask(shorter_sides=(24, 32, 40), longer=64, test_shorter=32)
SCENES = load_detection_scenes(train=True, size=32, count=4)
TEST_SCENES = load_detection_scenes(train=False, size=32, count=3)
CLASSES = len(SCENES.class_names)


def detector(**more):
    return tiny("mask_rcnn", num_classes=CLASSES, **more)


def assert_same(found, wanted):
    for name in ("image", "boxes", "labels", "masks", "crowd"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


class TestSamples:
    @pytest.mark.parametrize("crop_size", [None, (20, 28)])
    def test_they_are_resized_cropped_and_flipped_in_this_order(self, crop_size):
        task = DetectionTask(shorter_sides=(24, 32, 40), longer=64, test_shorter=32, crop_size=crop_size)
        for seed in range(6):
            rng = np.random.default_rng(seed)
            wanted = random_resize(SCENES[0], rng, (24, 32, 40), 64)
            if crop_size is not None:
                wanted = random_crop_sample(wanted, rng, crop_size)
                assert wanted.image.shape[1] == 20
            assert_same(task.augment(SCENES[0], np.random.default_rng(seed)), random_flip_sample(wanted, rng))

    def test_without_augmentation_they_are_only_resized(self):
        task = DetectionTask(shorter_sides=(40,), longer=64, test_shorter=32, flip=False)
        assert_same(task.augment(SCENES[0], np.random.default_rng(0)), resize_sample(SCENES[0], (40, 40)))

    def test_inputs_are_padded_with_zeros_and_sizes_are_known(self):
        samples = [SCENES[0], resize_sample(SCENES[1], (40, 24))]
        inputs, targets = TASK.prepare(samples, detector(), NORMALIZATION, "full", None)
        assert (inputs.shape, inputs.dtype) == ((2, 3, 64, 32), np.float64)
        assert targets.sizes.tolist() == [[32, 32], [40, 24]]
        np.testing.assert_array_equal(inputs[:1, :, :32], normalize(SCENES[0].image[None], *NORMALIZATION, "float64"))
        assert not inputs[0, :, 32:].any()
        assert not inputs[1, :, :, 24:].any()
        assert TASK.size(targets) == len(targets) == 2
        assert_same(targets[1:].samples[0], samples[1])
        assert targets[1:].sizes.tolist() == [[40, 24]]


def test_losses_are_the_models_and_their_sum():
    model = detector()
    inputs, targets = TASK.prepare([SCENES[0], SCENES[1]], model, NORMALIZATION, "full", None)
    losses = TASK.forward_backward(model, inputs, targets, np.random.default_rng(0), 3.0)
    assert tuple(losses) == TASK.loss_names(model) == ("loss", *model.loss_names)
    found = {name: grad.copy() for name, grad in model.grads.items()}
    model.zero_grad()
    terms, cache = model.loss_forward(inputs, targets.sizes, list(targets.samples), np.random.default_rng(0))
    model.loss_backward(cache, 3.0)
    assert losses == {"loss": sum(terms.values()), **terms}
    for name, grad in model.grads.items():
        np.testing.assert_array_equal(found[name], grad, err_msg=name)


class Oracle:
    """Finds what is there, at the size of the image that it is given."""

    in_chans, num_classes, dtype = 3, CLASSES, np.dtype("float32")
    params = {"w": np.zeros(1, np.float32)}  # noqa: RUF012
    sizes: list = []  # noqa: RUF012

    def __init__(self, samples, masks=True):
        self.remaining, self.masks = iter(samples), masks

    def detect(self, images, sizes):
        self.sizes.append((images.shape[2:], sizes.tolist()))
        sample = resize_sample(next(self.remaining), tuple(sizes[0].tolist()))
        scores = np.linspace(0.9, 0.5, len(sample.boxes))
        square = np.ones((len(sample.boxes), 28, 28)) if self.masks else None
        return [DetectorOutput(sample.boxes.astype(float), scores, sample.labels, square, tuple(sizes[0].tolist()))]


class TestEvaluation:
    def test_boxes_come_back_in_pixels_of_the_image(self):
        Oracle.sizes.clear()
        found = predict_detections(Oracle([SCENES[0]]), SCENES[0].image, *NORMALIZATION, 20, 64)
        assert Oracle.sizes == [((32, 32), [[20, 20]])]
        np.testing.assert_allclose(found.boxes, SCENES[0].boxes, atol=1e-4)
        assert found.masks.shape == (len(found.boxes), 32, 32)

    def test_average_precision_is_that_of_what_is_found(self):
        seen = []
        found = evaluate_detection(Oracle(TEST_SCENES), TEST_SCENES, *NORMALIZATION, 20, 64, True, seen.append)
        assert seen == [1, 1, 1]
        assert found.box_ap == pytest.approx(1)
        assert 0 < found.mask_ap < 1  # masks that fill their boxes
        collected, model = AveragePrecision(CLASSES), Oracle(TEST_SCENES)
        for sample in TEST_SCENES:
            collected.add(sample, predict_detections(model, sample.image, *NORMALIZATION, 20, 64))
        assert found.mask_ap == collected.mask_scores().ap
        without = evaluate_detection(Oracle(TEST_SCENES, False), TEST_SCENES, *NORMALIZATION, 20, 64, False)
        assert without.box_ap == found.box_ap
        assert np.isnan(without.mask_ap)


class Finder:
    """Finds the objects of an image of 16×128 pixels that has one in every row and every eighth column."""

    dtype, in_chans, num_classes = np.dtype("float32"), 3, 1
    corners = np.stack(np.meshgrid(np.arange(0, 128, 8), np.arange(16), indexing="xy"), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + np.array([8, 1])], axis=1).astype(np.float32)
    params = {"weight": np.zeros(1, np.float32)}  # noqa: RUF012

    def detect(self, images, sizes):
        count = len(self.boxes)
        scores = np.linspace(1, 0.5, count, dtype=np.float32)
        return [DetectorOutput(self.boxes, scores, np.zeros(count, np.int64), None, (16, 128))]


def test_images_with_many_objects_need_as_many_detections():
    count = len(Finder.boxes)
    sample = DetectionSample(
        np.zeros((3, 16, 128), np.uint8), Finder.boxes, np.zeros(count, np.int64), None, np.zeros(count, bool)
    )
    data = DetectionDataset(
        samples=[sample], class_names=("object",), name="rows", split="test", checksum=0, has_masks=False
    )
    recalls = []
    for options in ({}, {"max_detections": count}):
        task = DetectionTask((16,), longer=128, test_shorter=16, masks=False, **options)
        recalls.append(task.evaluate(Finder(), data, NORMALIZATION, "full", lambda images: None).boxes.recall)
    np.testing.assert_allclose(recalls, [100 / count, 1])


def rows_data(count, split):
    """An image with so many objects of a class, two of another, and a crowd, in memory."""
    labels = np.repeat([0, 1], [count, 3])
    boxes = np.tile(np.array([0.0, 0, 4, 4]), (count + 3, 1))
    sample = DetectionSample(np.zeros((3, 16, 16), np.uint8), boxes, labels, None, np.arange(count + 3) == count)
    return DetectionDataset(
        samples=[sample], class_names=("a", "b"), name="rows", split=split, checksum=0, has_masks=False
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_data_with_only_crowds_are_refused_before_training(in_memory):
    (sample,), objects = rows_data(1, "train").samples, rows_data(1, "test")
    samples = [dataclasses.replace(sample, crowd=np.ones_like(sample.crowd))]
    crowds = dataclasses.replace(objects, samples=samples if in_memory else collections.UserList(samples))
    model = tiny("mask_rcnn", num_classes=2, masks=False)
    task = DetectionTask(masks=False)
    for name, train_data, test_data in (("train_data", crowds, objects), ("test_data", objects, crowds)):
        with pytest.raises(ValueError, match=rf"^{name}: has no object, or only crowds, expected some to find"):
            task.check(model, train_data, test_data, TrainConfig())
    with pytest.raises(ValueError, match=r"^dataset: has no object, or only crowds"):
        task.evaluate(model, crowds, NORMALIZATION, "full", lambda images: None)


def files_with(dataset):
    """The same, as of a file of annotations whose images are not there."""
    (sample,) = dataset.samples
    objects = [
        Annotation(tuple(box), label, crowd)
        for box, label, crowd in zip(sample.boxes.tolist(), sample.labels.tolist(), sample.crowd.tolist(), strict=True)
    ]
    return dataclasses.replace(dataset, samples=ObjectFiles([AnnotatedImage(1, Path("a.png"), 16, 16, objects)], False))


@pytest.mark.parametrize("in_files", [False, True])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_warning_where_images_have_more_objects_than_can_be_found(monkeypatch, in_files, part):
    def check(count, **options):
        data = {"train": rows_data(1, "train"), "test": rows_data(1, "test")} | {part: rows_data(count, part)}
        if in_files:
            monkeypatch.setattr("npswin.training.tasks.detection.check_detection_data", lambda *_: None)
            data = {name: files_with(one) for name, one in data.items()}
        model = tiny("mask_rcnn", num_classes=2, detections=6, masks=False)
        DetectionTask(masks=False, **options).check(model, data["train"], data["test"], TrainConfig())

    with pytest.warns(UserWarning, match=r"^an image has 7 objects, and the model finds at most 6 \(its detections\)$"):
        check(5)
    counted = r"^an image has 4 objects of a class, and 3 of them count in an evaluation \(the task's max_detections\)$"
    with pytest.warns(UserWarning, match=counted):
        check(4, max_detections=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(4, max_detections=4)


def test_stopped_and_resumed_bitwise_identically(tmp_path, monkeypatch):
    def trainer(out):
        recipe = TrainConfig(epochs=2, batch_size=2, lr=1e-3, ema_decay=0.9)
        return Trainer(detector(), SCENES, TEST_SCENES, recipe, out, task=TASK)

    trainer(tmp_path / "whole").fit()
    forward_backward, steps = DetectionTask.forward_backward, []

    def stop_at_third(self, *arguments):
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return forward_backward(self, *arguments)

    monkeypatch.setattr(DetectionTask, "forward_backward", stop_at_third)
    with pytest.raises(TrainingInterrupted, match="stopped after step 3 of 4"):
        trainer(tmp_path / "run").fit()
    trainer(tmp_path / "run").fit(resume=True)
    for name in ("metrics.jsonl", "last.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"test_box_ap", "test_mask_ap"} <= record.keys()
