"""The gradients of a batch, whole and in micro-batches, and errors that name the first non-finite tensor."""

import numpy as np
import pytest

from npswin.training import NonFiniteError, compute_gradients
from npswin.training.gradients import micro_batch_rng, require_finite_gradients, require_finite_weights
from npswin.training.learner import Learner
from npswin.training.tasks.classification import ClassificationTask
from tests.training.tiny import tiny_config, tiny_model

LABELS = np.array([0, 1])


def _gradients(model, images, labels, **arguments):
    loss = compute_gradients(model, images, labels, **arguments)
    return loss, {name: grad.copy() for name, grad in model.grads.items()}


@pytest.mark.parametrize("pieces", [2, 3, 7, 20])
@pytest.mark.parametrize("dropping", [{}, {"drop_path_rate": 0.5, "drop_rate": 0.3, "attn_drop_rate": 0.3}])
def test_micro_batches_give_the_same_gradients(pieces, dropping):
    rng = np.random.default_rng(0)
    model = tiny_model(dtype="float64", **dropping)
    images, labels = rng.normal(size=(7, 3, 8, 8)), rng.integers(3, size=7)
    whole_loss, whole = _gradients(model, images, labels, label_smoothing=0.1, seed=5)
    loss, grads = _gradients(model, images, labels, label_smoothing=0.1, micro_batches=pieces, seed=5)
    assert loss == pytest.approx(whole_loss, rel=1e-13)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, whole[name], rtol=1e-9, atol=1e-14, err_msg=name)


def test_the_seed_determines_the_dropout_masks():
    rng = np.random.default_rng(0)
    model = tiny_model(drop_rate=0.5)
    images, labels = rng.normal(size=(4, 3, 8, 8)).astype(np.float32), rng.integers(3, size=4)
    first, again, other = (compute_gradients(model, images, labels, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_compute_gradients_overwrites_old_gradients():
    model = tiny_model()
    images, labels = np.ones((2, 3, 8, 8), np.float32), np.array([0, 1])
    _, first = _gradients(model, images, labels)
    _, second = _gradients(model, images, labels)
    for name, grad in second.items():
        np.testing.assert_array_equal(grad, first[name], err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": [0, 3]}, "^targets: got values from 0 to 3, expected 0 to 2"),
        ({"targets": np.ones((2, 3))}, "^targets: got soft targets that are no distributions"),
        ({"targets": np.ones((2, 4)) / 4}, r"^targets: got shape \(2, 4\)"),
        ({"targets": [0.0, 1.0]}, "^targets: got dtype float64"),
        ({"label_smoothing": 1}, "^label_smoothing: got 1"),
        ({"loss_scale": 1e-60}, "^loss_scale: got 1e-60, which in float32 is 0"),
        ({"micro_batches": 0}, "^micro_batches: got 0"),
    ],
)
def test_an_argument_that_does_not_fit_leaves_the_gradients(change, message):
    model = tiny_model()
    _, before = _gradients(model, _images(), LABELS)
    with pytest.raises(ValueError, match=message):
        compute_gradients(**{"model": model, "images": _images(), "targets": LABELS, "micro_batches": 2, **change})
    for name, grad in model.grads.items():
        np.testing.assert_array_equal(grad, before[name], err_msg=name)


def test_micro_batch_rngs_return_parts_of_one_draw():
    like = np.zeros(1)
    whole = micro_batch_rng(3, 0, 6, 6, like).random((12, 5))
    parts = [
        micro_batch_rng(3, start, stop, 6, like).random((2 * (stop - start), 5))
        for start, stop in ((0, 1), (1, 4), (4, 6))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def _images():
    return np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


def _compute(model, images):
    with np.errstate(all="ignore"):
        return compute_gradients(model, images, LABELS)


def test_non_finite_images_are_named():
    images = _images()
    images[1, 0, 2, 3] = np.inf
    with pytest.raises(NonFiniteError, match=r"Inf in the input batch's images: 1 of 384 entries"):
        _compute(tiny_model(), images)


def test_the_first_of_two_non_finite_parameters_is_named():
    model = tiny_model()
    model.params["head.bias"][...] = np.nan
    model.params["layers.0.blocks.0.attn.relative_position_bias_table"][0, 1] = np.inf
    with pytest.raises(
        NonFiniteError, match=r"Inf in parameter layers\.0\.blocks\.0\.attn\.relative_position_bias_table"
    ):
        _compute(model, _images())


def test_a_non_finite_activation_is_named_where_all_parameters_are_finite():
    model = tiny_model(patch_norm=False)
    model.params["patch_embed.proj.weight"][...] = 3e38
    with pytest.raises(NonFiniteError, match=r"(Inf|NaN) in the output of patch_embed: "):
        _compute(model, _images())


def test_non_finite_logits_are_named_where_there_are_no_activations():
    class WithoutActivations:
        """A model without `activations`."""

        params = grads = {}  # noqa: RUF012
        in_chans = num_classes = 3
        dtype = np.dtype(np.float32)

        def zero_grad(self):
            pass

        def forward(self, images, rng):
            return np.full((len(images), 3), np.nan, np.float32), None

    with pytest.raises(NonFiniteError, match=r"NaN in the model's logits: 6 of 6 entries"):
        _compute(WithoutActivations(), _images())


def test_non_finite_gradients_are_searched_from_last_to_first():
    model = tiny_model()
    model.grads["patch_embed.proj.bias"][0] = np.nan
    model.grads["layers.0.blocks.1.norm2.weight"][0] = -np.inf
    with pytest.raises(NonFiniteError, match=r"Inf in the gradient of layers\.0\.blocks\.1\.norm2\.weight: 1 of 8"):
        require_finite_gradients(model, np.nan)
    require_finite_gradients(model, 1.0)


def test_a_norm_that_overflows_is_an_error():
    with pytest.raises(NonFiniteError, match="the norm of all gradients is inf, though each of them is finite"):
        require_finite_gradients(tiny_model(), np.inf)


def test_non_finite_weights_after_an_update_are_named():
    model = tiny_model()
    require_finite_weights(model)
    config = tiny_config(lr=1e38, weight_decay=1e4)
    learner = Learner(model, config, steps_per_epoch=3, task=ClassificationTask(config))
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="in the updated parameter"):
        learner.train_step(_images(), LABELS, seed=0)
    assert learner.step == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"micro_batches": -1}, "micro_batches"),
        ({"micro_batches": 1.5}, "micro_batches"),
        ({"targets": np.array([0, 1, 2])}, "targets"),
        ({"targets": np.ma.array([0, 1])}, "targets"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"loss_scale": 0}, "loss_scale"),
        ({"loss_scale": np.nan}, "loss_scale"),
        ({"label_smoothing": "0"}, "label_smoothing"),
        ({"images": np.zeros((0, 3, 8, 8), np.float32)}, "images"),
        ({"images": None}, "images"),
        ({"model": None}, "model"),
    ],
)
def test_errors_name_the_argument_and_leave_the_gradients(change, name):
    model = tiny_model()
    compute_gradients(model, _images(), LABELS)
    before = {key: grad.copy() for key, grad in model.grads.items()}
    with pytest.raises(ValueError, match=f"^{name}: got "):
        compute_gradients(**{"model": model, "images": _images(), "targets": LABELS, **change})
    assert all(np.array_equal(grad, before[key]) for key, grad in model.grads.items())
