"""Each place where NaN or infinity can come up, named as the first."""

import numpy as np
import pytest

from npswin.training import NonFiniteError, compute_gradients
from npswin.training.finite import require_finite_gradients, require_finite_weights
from npswin.training.learner import Learner
from tests.training.tiny import tiny_config, tiny_model

LABELS = np.array([0, 1])


def _images():
    return np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


def _compute(model, images):
    with np.errstate(all="ignore"):
        return compute_gradients(model, images, LABELS)


def test_images():
    images = _images()
    images[1, 0, 2, 3] = np.inf
    with pytest.raises(NonFiniteError, match=r"Inf in the input batch's images: 1 of 384 entries"):
        _compute(tiny_model(), images)


def test_the_first_of_two_parameters():
    model = tiny_model()
    model.params["head.bias"][...] = np.nan
    model.params["layers.0.blocks.0.attn.relative_position_bias_table"][0, 1] = np.inf
    with pytest.raises(
        NonFiniteError, match=r"Inf in parameter layers\.0\.blocks\.0\.attn\.relative_position_bias_table"
    ):
        _compute(model, _images())


def test_an_activation_where_all_parameters_are_finite():
    model = tiny_model(patch_norm=False)
    model.params["patch_embed.proj.weight"][...] = 3e38
    with pytest.raises(NonFiniteError, match=r"(Inf|NaN) in the output of patch_embed: "):
        _compute(model, _images())


def test_logits_where_all_activations_are_finite():
    class Doubtful:
        """A model that offers no activations to look at."""

        params = grads = {}  # noqa: RUF012

        def zero_grad(self):
            pass

        def forward(self, images, rng):
            return np.full((len(images), 3), np.nan, np.float32), None

    with pytest.raises(NonFiniteError, match=r"NaN in the model's logits: 6 of 6 entries"):
        _compute(Doubtful(), _images())


def test_gradients_from_last_to_first():
    model = tiny_model()
    model.grads["patch_embed.proj.bias"][0] = np.nan
    model.grads["layers.0.blocks.1.norm2.weight"][0] = -np.inf
    with pytest.raises(NonFiniteError, match=r"Inf in the gradient of layers\.0\.blocks\.1\.norm2\.weight: 1 of 8"):
        require_finite_gradients(model, np.nan)
    require_finite_gradients(model, 1.0)


def test_a_norm_that_overflows():
    with pytest.raises(NonFiniteError, match="the norm of all gradients is inf, though each of them is finite"):
        require_finite_gradients(tiny_model(), np.inf)


def test_weights_after_an_update():
    model = tiny_model()
    require_finite_weights(model)
    learner = Learner(model, tiny_config(lr=1e38, weight_decay=1e4), steps_per_epoch=3)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="in the updated parameter"):
        learner.learn(_images(), LABELS, seed=0)
    assert learner.step == 0
