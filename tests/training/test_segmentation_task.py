"""Segmentation as a task of the trainer: its samples, its losses, its measure, and runs that resume to the bit."""

import json
import os
import signal

import numpy as np
import pytest

from npswin.backends import dispatch
from npswin.data import (
    SegmentationDataset,
    SegmentationSample,
    distort_colours,
    normalize,
    random_crop_sample,
    random_flip_sample,
    random_rescale,
    resize_sample,
)
from npswin.models.segmentation import UPerNet
from npswin.training import (
    NonFiniteError,
    RunFolderError,
    SegmentationTask,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    evaluate_segmentation,
)
from npswin.training.gradients import batch_gradients
from npswin.training.segmentation_metric import count_pixels, segmentation_scores

pytestmark = pytest.mark.usefixtures("no_curves")

CLASSES = ("dark", "middle", "bright")
NORMALIZATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
TASK = SegmentationTask(crop_size=(8, 12), shorter=10, longer=40, colours=False)


def sample(number, size=(10, 14)):
    """Noise whose brightness is the class; a column has no label."""
    rng = np.random.default_rng(number)
    labels = rng.integers(3, size=size).astype(np.uint8)
    image = (rng.integers(0, 60, (3, *size)) + 90 * labels).astype(np.uint8)
    labels[:, number % 5] = 255
    return SegmentationSample(image, labels)


def data(count, split="train", **changes):
    samples = [sample(number + 100 * (split == "test")) for number in range(count)]
    return SegmentationDataset(
        **{"samples": samples, "class_names": CLASSES, "name": "tiny", "split": split, **changes}
    )


class LinearModel:
    """Logits of a pixel are a linear function of its colours."""

    in_chans = num_classes = 3
    config = {"kind": "linear"}  # noqa: RUF012
    loss_names = ("loss_segmentation",)

    def __init__(self, dtype="float64"):
        self.dtype = np.dtype(dtype)
        self.params = {"w": np.zeros((3, 3), dtype), "b": np.zeros(3, dtype)}
        self.zero_grad()

    def zero_grad(self):
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}

    def __call__(self, images):
        return images.transpose(0, 2, 3, 1) @ self.params["w"].T + self.params["b"]

    def loss_forward(self, images, labels, rng=None):
        loss, cache = dispatch.pixel_cross_entropy_forward(self(images), labels)
        return {"loss_segmentation": loss}, (images, dispatch.pixel_cross_entropy_backward(loss.dtype.type(1), cache))

    def loss_backward(self, cache, scale=1.0):
        images, dlogits = cache
        self.grads["w"] += scale * np.einsum("bhwk,bchw->kc", dlogits, images)
        self.grads["b"] += scale * dlogits.sum(axis=(0, 1, 2))


def small_upernet():
    backbone = {"embed_dim": 4, "depths": (1, 1), "num_heads": (1, 1), "window_size": 4, "patch_size": 2}
    return UPerNet(3, backbone, channels=4, auxiliary_channels=3, pool_scales=(2,), seed=1)


def trainer(out, model=None, task=TASK, **recipe):
    recipe = {"epochs": 2, "batch_size": 2, "lr": 0.05, "weight_decay": 0.0, "ema_decay": 0.9, **recipe}
    return Trainer(model or LinearModel(), data(6), data(3, "test"), TrainConfig(**recipe), out, task=task)


class TestSamples:
    def test_they_are_rescaled_cropped_flipped_and_recoloured_in_this_order(self):
        task = SegmentationTask(crop_size=(9, 7), shorter=12, longer=30, ratios=(0.7, 1.5), largest_share=0.6)
        for seed in range(4):
            rng = np.random.default_rng(seed)
            wanted = random_rescale(sample(0), rng, 12, 30, (0.7, 1.5))
            wanted = random_crop_sample(wanted, rng, (9, 7), 0.6)
            wanted = distort_colours(random_flip_sample(wanted, rng), rng)
            found = task.augment(sample(0), np.random.default_rng(seed))
            np.testing.assert_array_equal(found.image, wanted.image)
            np.testing.assert_array_equal(found.labels, wanted.labels)

    def test_without_augmentation_they_are_only_resized(self):
        task = SegmentationTask((99, 99), 20, 40, ratios=(1, 1), largest_share=1, flip=False, colours=False)
        found = task.augment(sample(0), np.random.default_rng(0))
        np.testing.assert_array_equal(found.image, resize_sample(sample(0), (20, 28)).image)

    def test_inputs_and_labels_are_padded_with_zeros_and_255(self):
        samples = [sample(0), sample(1, (9, 16))]
        inputs, labels = TASK.prepare(samples, LinearModel("float32"), NORMALIZATION, "full", None)
        assert (inputs.shape, inputs.dtype, labels.shape) == ((2, 3, 10, 16), np.float32, (2, 10, 16))
        np.testing.assert_array_equal(inputs[0, :, :, :14], normalize(sample(0).image[None], *NORMALIZATION)[0])
        np.testing.assert_array_equal(labels[1, :9], samples[1].labels)
        assert not inputs[0, :, :, 14:].any()
        assert not inputs[1, :, 9:].any()
        assert (labels[0, :, 14:] == 255).all()
        assert TASK.size(labels) == 10 * 13 + 9 * 15

    def test_they_depend_on_seed_epoch_and_index_alone(self):
        indices = [np.array([4, 1]), np.array([0])]
        first, second = ([*TASK.load(data(6), batches, None, 3, 1)] for batches in (indices, indices[1:]))
        np.testing.assert_array_equal(first[1][0].image, second[0][0].image)
        others = [next(TASK.load(data(6), indices, None, *key))[0].image for key in ((3, 2), (4, 1))]
        assert all(other.shape != first[0][0].image.shape or (other != first[0][0].image).any() for other in others)


@pytest.mark.parametrize("model", [LinearModel, small_upernet])
def test_losses_are_the_models_and_their_sum(model):
    model = model()
    inputs, labels = TASK.prepare([sample(0, (16, 16)), sample(1, (16, 16))], model, NORMALIZATION, "full", None)
    losses = TASK.forward_backward(model, inputs, labels, np.random.default_rng(0), 3.0)
    assert tuple(losses) == TASK.loss_names(model) == ("loss", *model.loss_names)
    found = {name: grad.copy() for name, grad in model.grads.items()}
    model.zero_grad()
    terms, cache = model.loss_forward(inputs, labels, np.random.default_rng(0))
    model.loss_backward(cache, 3.0)
    assert losses == {"loss": sum(terms.values()), **terms}
    for name, grad in model.grads.items():
        np.testing.assert_array_equal(found[name], grad, err_msg=name)


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_micro_batches_are_weighted_by_their_labelled_pixels(pieces):
    samples = [sample(number, size) for number, size in enumerate([(10, 14), (4, 5), (9, 3), (10, 10)])]
    model = LinearModel()
    model.params["w"][...] = np.random.default_rng(0).normal(size=(3, 3))
    batch = TASK.prepare(samples, model, NORMALIZATION, "full", None)
    results = []
    for micro_batches in (1, pieces):
        losses = batch_gradients(TASK, model, *batch, micro_batches)
        results.append([*losses.values(), *model.grads["w"].ravel(), *model.grads["b"]])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_a_loss_that_is_not_finite_is_named():
    model = LinearModel()
    model.params["b"][1] = np.nan
    batch = TASK.prepare([sample(0)], model, NORMALIZATION, "full", None)
    with pytest.raises(NonFiniteError, match=r"^NaN in parameter b: 1 of 3 entries"):
        TASK.forward_backward(model, *batch, np.random.default_rng(0), 1.0)


class TestEvaluation:
    @pytest.mark.parametrize("shorter", [10, 7, 15])
    def test_logits_are_resized_to_the_label_map(self, shorter):
        """A shorter side of 10 is that of the images."""
        model, counts, seen = LinearModel(), 0, []
        model.params["w"][...] = np.random.default_rng(0).normal(size=(3, 3))
        for one in data(3):
            pixels = resize_sample(one, (shorter, round(shorter * 1.4 + 1e-9))).image[None]
            logits = model(normalize(pixels, *NORMALIZATION, np.float64))
            predictions = dispatch.resize_bilinear(logits, one.labels.shape)[0].argmax(axis=-1)
            counts += count_pixels(one.labels, predictions, 3)
        found = evaluate_segmentation(model, data(3), *NORMALIZATION, shorter, 100, seen.append)
        assert found == segmentation_scores(counts)
        assert seen == [1, 1, 1]
        assert 0 < found.mean_iou < 1

    def test_the_longer_side_has_its_limit(self):
        model, sizes = LinearModel(), []
        model.__class__ = type("Seen", (LinearModel,), {"__call__": lambda self, images: see(self, images)})

        def see(self, images):
            sizes.append(images.shape[2:])
            return LinearModel.__call__(self, images)

        evaluate_segmentation(model, data(1), *NORMALIZATION, 10, 10)
        assert sizes == [(7, 10)]

    def test_without_a_label_there_is_no_measure(self):
        unlabelled = SegmentationSample(sample(0).image, np.full((10, 14), 255, np.uint8))
        none = data(1, samples=[unlabelled])
        with pytest.raises(ValueError, match=r"^dataset: has no pixel with a label, all are ignored"):
            evaluate_segmentation(LinearModel(), none, *NORMALIZATION)
        for name, train_data, test_data in (("train_data", none, data(1)), ("test_data", data(1), none)):
            with pytest.raises(ValueError, match=rf"^{name}: has no pixel with a label"):
                SegmentationTask().check(LinearModel(), train_data, test_data, TrainConfig())

    def test_weights_that_are_not_finite_are_named(self):
        model = LinearModel()
        model.params["w"][0, 0] = np.inf
        with pytest.raises(NonFiniteError, match=r"^Inf in parameter w: 1 of 9"):
            evaluate_segmentation(model, data(1), *NORMALIZATION)


class TestRuns:
    def test_a_linear_model_learns_brightness(self, tmp_path):
        result = trainer(tmp_path, epochs=20, lr=0.3, schedule="poly", warmup_steps=5).fit()
        assert result.mean_iou > 0.9
        last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
        assert [*last][2:] == [
            *("loss", "loss_segmentation", "lr", "gradient_norm"),
            *("test_pixel_accuracy", "test_mean_accuracy", "test_mean_iou"),
        ]

    @pytest.mark.parametrize("step", [2, 3])
    @pytest.mark.parametrize("recipe", [{}, {"micro_batches": 2}])
    def test_stopped_and_resumed_bitwise_identically(self, tmp_path, monkeypatch, step, recipe):
        """With batch norm, whose running statistics are in the checkpoints."""
        trainer(tmp_path / "whole", small_upernet(), **recipe).fit()
        steps, prepare = [], SegmentationTask.prepare

        def stopping(*arguments):
            steps.append(None)
            if len(steps) == step:
                os.kill(os.getpid(), signal.SIGINT)
            return prepare(*arguments)

        monkeypatch.setattr(SegmentationTask, "prepare", stopping)
        with pytest.raises(TrainingInterrupted, match=f"stopped after step {step} of 6"):
            trainer(tmp_path / "run", small_upernet(), **recipe).fit()
        monkeypatch.undo()
        trainer(tmp_path / "run", small_upernet(), **recipe).fit(resume=True)
        for name in ("metrics.jsonl", "last.safetensors", "best.safetensors"):
            assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name

    def test_other_settings_are_another_run(self, tmp_path):
        trainer(tmp_path, epochs=1).fit()
        other = SegmentationTask(crop_size=(8, 11), shorter=10, longer=40, colours=False)
        with pytest.raises(RunFolderError, match=r"task\.crop_size\[1\] \(it has 12, this one 11\)"):
            trainer(tmp_path, task=other, epochs=1).fit(resume=True)

    def test_images_with_label_maps_are_segmented(self, tmp_path):
        run = trainer(tmp_path, task=None)
        assert run.task == SegmentationTask()
        means = np.mean([one.image.mean(axis=(1, 2)) for one in data(6)], axis=0) / 255
        assert run.mean == pytest.approx(tuple(means), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_data": None}, "train_data: got None, expected a SegmentationDataset"),
        ({"test_data": data(2, class_names=CLASSES[::-1])}, "test_data: its class names are not those of train_data"),
        ({"train_data": data(2, class_names=(*CLASSES, "4"))}, "train_data: has 4 classes, the model has 3"),
        (
            {"test_data": data(2, samples=[SegmentationSample(sample(0).image[:1], sample(0).labels)])},
            "test_data: has 1 ch",
        ),
        ({"config": TrainConfig(flip=True)}, "flip: got True, expected none: it is for classification"),
        ({"config": TrainConfig(label_smoothing=0.1)}, "label_smoothing: got 0.1, expected none"),
        ({"model": None}, "model: got None"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"model": LinearModel(), "train_data": data(2), "test_data": data(2), "config": TrainConfig(), **change}
    with pytest.raises(ValueError, match=f"^{message}"):
        TASK.check(**arguments)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"crop_size": 512}, "crop_size"),
        ({"crop_size": (0, 8)}, "crop_size"),
        ({"shorter": 0}, "shorter"),
        ({"longer": 100}, "longer"),
        ({"ratios": (2.0, 0.5)}, "ratios"),
        ({"ratios": (0, 1)}, "ratios"),
        ({"longer": 16384}, "longer, ratios"),
        ({"largest_share": 0}, "largest_share"),
        ({"flip": 1}, "flip"),
        ({"colours": None}, "colours"),
    ],
)
def test_a_setting_out_of_its_range_is_named(change, name):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        SegmentationTask(**change)


class TestBatchesForBatchNorm:
    """A model whose batch norms need two images: a trainer refuses fewer before it writes anything."""

    @pytest.mark.parametrize(
        ("count", "recipe", "message"),
        [
            (1, {"batch_size": 2}, "train_data: got 1 image, expected 2 or more, from which the model's batch norms"),
            (4, {"batch_size": 1}, "batch_size: got 1, expected 2 or more"),
            (4, {"batch_size": 3, "micro_batches": 2}, "micro_batches: got 2 for batches of 3 images, expected 2"),
        ],
    )
    def test_too_few_images_are_refused(self, tmp_path, count, recipe, message):
        backbone = {"embed_dim": 4, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 2}
        settings = {"channels": 4, "auxiliary_channels": 0}
        config = TrainConfig(epochs=1, warmup_epochs=0.0, **recipe)
        with pytest.raises(ValueError, match=f"^{message}"):
            Trainer(UPerNet(3, backbone, **settings), data(count), data(2, "test"), config, tmp_path / "run", task=TASK)
        assert not (tmp_path / "run").exists()
        for model in (UPerNet(3, backbone, **settings, pool_scales=(2, 3)), LinearModel("float32")):
            Trainer(model, data(count), data(2, "test"), config, tmp_path / "run", task=TASK)

    def test_as_many_images_as_parts(self, tmp_path):
        config = TrainConfig(epochs=1, warmup_epochs=0.0, batch_size=4, micro_batches=4)
        Trainer(LinearModel("float32"), data(2), data(2, "test"), config, tmp_path / "run", task=TASK)
