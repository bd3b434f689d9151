"""Grad-CAM: its weights compared with differences of the logit, its maps with the definition."""

import numpy as np
import pytest

import npswin
from npswin.layers import Linear
from npswin.models.block_maps import input_of, to_pixels
from npswin.models.grad_cam import derivative_by_map
from tests.layers.doubled import Doubled
from tests.models.tiny import images, model_of_four_blocks

SIZES = [(24, 12), (22, 18), (4, 10)]
DROPPED = {"drop_rate": 0.3, "attn_drop_rate": 0.2, "drop_path_rate": 0.4}


def places_of_blocks(model):
    return [place for place, (name, _) in enumerate(model.trunk) if "blocks" in name]


def logits_from(model, place, x):
    """The rest of the model in inference, from the output of the layer at a place."""
    for _, layer in (model.trunk + model.tail)[place + 1 :]:
        x = layer(x)
    return x


def differences(model, place, x, direction, classes, step=1e-5):
    """Central differences of the logits of these classes, when the map is moved in a direction."""
    up, down = (logits_from(model, place, x + sign * step * direction) for sign in (1, -1))
    return np.take_along_axis(up - down, np.array(classes)[:, None], axis=1)[:, 0] / (2 * step)


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("norm_after_pool", [False, True])
def test_the_weights_are_differences_of_the_logit_by_the_channels(size, block, norm_after_pool):
    """Equation 1: moving a channel everywhere by t changes the logit by Z αₖ t."""
    model, x = model_of_four_blocks(norm_after_pool=norm_after_pool, **DROPPED), images(size)
    place, classes = places_of_blocks(model)[block], [2, 0]
    output, derivative = derivative_by_map(model, x, classes, place)
    weights, pixels = derivative.mean(axis=(1, 2)), output.shape[1] * output.shape[2]
    for channel in range(output.shape[3]):
        direction = np.zeros_like(output)
        direction[..., channel] = 1
        expected = differences(model, place, output, direction, classes) / pixels
        np.testing.assert_allclose(weights[:, channel], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("block", range(4))
def test_maps_are_those_of_the_definition(block):
    """Each derivative by a difference of its own, then equations 1 and 2 with loops."""
    model, x = model_of_four_blocks(), images((10, 6))
    place, classes = places_of_blocks(model)[block], [1, 2]
    output = input_of(model, x, place + 1)
    batch, height, width, channels = output.shape
    expected = np.zeros((batch, height, width))
    for channel in range(channels):
        total = np.zeros(batch)
        for row, column in np.ndindex(height, width):
            direction = np.zeros_like(output)
            direction[:, row, column, channel] = 1
            total += differences(model, place, output, direction, classes)
        expected += (total / (height * width))[:, None, None] * output[..., channel]
    assert (expected > 0).any()
    assert (expected < 0).any() or block == 2
    found = npswin.grad_cam(model, x, classes, block)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("size", SIZES)
def test_classes_blocks_and_pixels(size):
    model, x = model_of_four_blocks(), images(size)
    predicted = model(x).argmax(axis=1)
    found = npswin.grad_cam(model, x)
    for same in (list(predicted), predicted.astype(np.int32), tuple(predicted)):
        np.testing.assert_array_equal(npswin.grad_cam(model, x, same, "layers.1.blocks.1"), found)
    for number in range(3):
        both = npswin.grad_cam(model, x, number)
        for one in range(2):
            single = npswin.grad_cam(model, x[one : one + 1], number)
            np.testing.assert_allclose(single[0], both[one], rtol=1e-10, atol=1e-13)
    pixels = npswin.grad_cam(model, x, pixels=True)
    np.testing.assert_array_equal(pixels, to_pixels(found, 4, size))
    assert pixels.shape == (2, *size)
    assert pixels.min() >= 0


def test_nothing_is_dropped_and_nothing_of_the_model_changes():
    plain, dropped, x = model_of_four_blocks(), model_of_four_blocks(**DROPPED), images((22, 18))
    _, cache = plain.forward(x)
    plain.backward(np.ones((2, 3)), cache)
    gradients = {name: gradient.copy() for name, gradient in plain.grads.items()}
    state = dropped.rng.bit_generator.state
    found = npswin.grad_cam(dropped, x, 1, 0)
    np.testing.assert_array_equal(npswin.grad_cam(plain, x, 1, 0), found)
    for name, gradient in plain.grads.items():
        np.testing.assert_array_equal(gradient, gradients[name])
    assert all((gradient == 0).all() for gradient in dropped.grads.values())
    assert dropped.rng.bit_generator.state == state
    last, embed = dropped.trunk[-1][1], dropped.trunk[1][1]
    assert (last.drop_path, last.attn.attn_drop, last.mlp.drop, embed.drop) == (0.4, 0.2, 0.3, 0.3)


class TestWithoutDropout:
    def test_parameters_are_shared_and_gradients_are_not(self):
        model, x = model_of_four_blocks(**DROPPED), images((22, 18))
        model.grads["head.weight"][...] = 5
        twin = model.without_dropout()
        assert all(twin.params[name] is param for name, param in model.params.items())
        logits, cache = twin.forward(x)
        np.testing.assert_array_equal(logits, model(x))
        twin.backward(np.ones((2, 3)), cache)
        plain = model_of_four_blocks()
        plain.backward(np.ones((2, 3)), plain.forward(x)[1])
        for name, gradient in plain.grads.items():
            np.testing.assert_array_equal(twin.grads[name], gradient)
        assert (model.grads["head.weight"] == 5).all()
        assert (model.grads["patch_embed.proj.weight"] == 0).all()

    def test_every_rate_of_dropout_is_known(self):
        """A layer whose forward pass draws has its rates in `drop_rates`: else this forward pass would draw."""
        twin = model_of_four_blocks(**DROPPED).without_dropout()
        rates = {
            name: value
            for _, layer in twin._walk()
            for name, value in vars(layer).items()
            if "drop" in name and isinstance(value, float)
        }
        assert rates.keys() == {"drop", "drop_path", "attn_drop", "proj_drop"}
        assert set(rates.values()) == {0.0}

    def test_a_layer_that_was_replaced_or_patched_is_copied_with_the_model(self):
        class DoubledLinear(Doubled, Linear):
            pass

        model, x = model_of_four_blocks(), images((10, 6))
        block = model.trunk[-1][1]
        block.mlp = DoubledLinear(8, 8, np.random.default_rng(0), dtype="float64")
        block.norm2.forward = block.norm2.forward  # bound to the original
        place = places_of_blocks(model)[2]
        output, derivative = derivative_by_map(model, x, 1, place)
        direction = np.random.default_rng(2).standard_normal(output.shape)
        expected = differences(model, place, output, direction, [1, 1])
        np.testing.assert_allclose((derivative * direction).sum(axis=(1, 2, 3)), expected, rtol=1e-6)
        assert all((gradient == 0).all() for gradient in model.grads.values())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": None}, "model"),
        ({"model": model_of_four_blocks(num_classes=0)}, "model"),
        ({"images": np.zeros((1, 3, 12, 12), np.float32)}, "images"),
        ({"images": np.zeros((1, 4, 12, 12))}, "images"),
        ({"classes": 3}, "classes"),
        ({"classes": True}, "classes"),
        ({"classes": [0]}, "classes"),
        ({"classes": [0, 3]}, r"classes\[1\]"),
        ({"classes": [0, 0.5]}, r"classes\[1\]"),
        ({"classes": np.zeros((2, 3))}, "classes"),
        ({"block": "head"}, "block"),
        ({"block": -5}, "block"),
        ({"pixels": None}, "pixels"),
    ],
)
def test_errors_name_the_argument(change, name):
    arguments = {"model": model_of_four_blocks(), "images": images((12, 12)), "classes": None}
    with pytest.raises(ValueError, match=f"^{name}: got "):
        npswin.grad_cam(**{**arguments, **change})
