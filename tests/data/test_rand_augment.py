import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.data.rand_augment import OPERATIONS, rand_augment
from tests.data.drawn import BYTE_BATCHES, SEEDS
from tests.thorough import examples

Image = pytest.importorskip("PIL.Image")


@settings(max_examples=examples(40))
@given(BYTE_BATCHES, SEEDS, st.integers(0, 3), st.floats(0, 10))
def test_rand_augment_keeps_shape_dtype_and_input_and_repeats_with_a_seed(images, seed, num_ops, magnitude):
    before = images.copy()
    first, again = (rand_augment(images, np.random.default_rng(seed), num_ops, magnitude) for _ in range(2))
    assert (first.shape, first.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)


def test_no_operation_is_no_change():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    np.testing.assert_array_equal(rand_augment(images, np.random.default_rng(0), num_ops=0), images)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((2, 1, 8, 8), np.uint8), r"^images: got shape \(2, 1, 8, 8\) with 1 channels, expected .*red, green"),
        (np.zeros((2, 4, 8, 8), np.uint8), "with 4 channels"),
        (np.zeros((2, 3, 8, 8), np.uint16), "^images: got dtype uint16, expected uint8 .*8 bits"),
        (np.zeros((2, 3, 8, 8), np.float32), "^images: got dtype float32, expected uint8 .*before normalizing"),
    ],
)
def test_what_is_no_image_of_three_colours_is_refused(images, match):
    with pytest.raises(ValueError, match=match):
        rand_augment(images, np.random.default_rng(0))


def picture():
    """A smooth picture (24, 32), dark to the left, with a bright spot right of and above its centre."""
    rows, columns = np.mgrid[0:24, 0:32]
    ground = np.stack([columns * 3 + 20, rows * 4 + 30, 120 - columns * 2], axis=-1).astype(np.uint8)
    ground[4:7, 22:25] = 220
    return Image.fromarray(ground)


def by_name(name):
    return next((apply, signed) for apply, signed in OPERATIONS if apply.__name__ == name)


def test_there_are_the_fourteen_operations_of_the_paper():
    names = {"identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast"}
    names |= {"brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"}
    assert {apply.__name__ for apply, _ in OPERATIONS} == names
    assert len(OPERATIONS) == 14


@pytest.mark.parametrize("name", [apply.__name__ for apply, signed in OPERATIONS if signed])
def test_strength_0_is_no_change_and_both_directions_differ(name):
    apply, _ = by_name(name)
    original = np.asarray(picture())
    np.testing.assert_array_equal(np.asarray(apply(picture(), 0.0)), original)
    up, down = (np.asarray(apply(picture(), strength)).astype(int) for strength in (1.0, -1.0))
    assert up.shape == original.shape
    assert not np.array_equal(up, original)
    assert not np.array_equal(down, original)
    assert not np.array_equal(up, down)


@pytest.mark.parametrize("name", ["posterize", "solarize"])
def test_one_way_operations_start_at_no_change(name):
    apply, _ = by_name(name)
    np.testing.assert_array_equal(np.asarray(apply(picture(), 0.0)), np.asarray(picture()))
    assert not np.array_equal(np.asarray(apply(picture(), 1.0)), np.asarray(picture()))


def test_what_the_operations_do():
    def applied(name, strength):
        return np.asarray(by_name(name)[0](picture(), strength)).astype(int)

    original = np.asarray(picture()).astype(int)
    np.testing.assert_array_equal(applied("solarize", 1.0), 255 - original)
    np.testing.assert_array_equal(applied("posterize", 1.0), original // 16 * 16)
    assert applied("auto_contrast", 0.9).min() == 0
    assert applied("auto_contrast", 0.9).max() == 255
    assert applied("brightness", 0.5).mean() > original.mean() + 10
    assert applied("contrast", -1.0).std() < 0.5 * original.std()
    assert np.ptp(applied("color", -1.0), axis=-1).mean() < 0.2 * np.ptp(original, axis=-1).mean()
    assert np.unique(applied("equalize", 0.9)).max() == 255
    grey = np.full((9, 3), 128)
    np.testing.assert_array_equal(applied("translate_x", 0.625)[:, -9:], np.broadcast_to(grey, (24, 9, 3)))
    np.testing.assert_array_equal(applied("translate_x", 0.625)[:, :-9], original[:, 9:])


def test_geometry_follows_its_strength():
    def spot(name, strength):
        bright = np.asarray(by_name(name)[0](picture(), strength)).min(axis=-1) > 170
        rows, columns = np.nonzero(bright)
        return rows.mean(), columns.mean()

    row, column = spot("identity", 0.0)
    assert spot("translate_y", -0.5)[0] == pytest.approx(row + 0.225 * 24, abs=1)
    assert spot("shear_x", -1.0)[1] == pytest.approx(column + 0.3 * row, abs=1)
    assert spot("shear_y", -0.5)[0] == pytest.approx(row + 0.15 * column, abs=1)
    turned = spot("rotate", 1.0)
    assert turned[0] < row
    assert turned[1] < column


def test_all_operations_are_drawn():
    images = np.tile(np.asarray(picture()).transpose(2, 0, 1), (300, 1, 1, 1))
    augmented = rand_augment(images, np.random.default_rng(0), num_ops=1, magnitude=9)
    kinds = len(np.unique(augmented.reshape(300, -1), axis=0))
    assert kinds == sum(2 if signed else 1 for _, signed in OPERATIONS)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": np.zeros((3, 4, 4), np.uint8)}, "images"),
        ({"images": np.zeros((2, 3, 4, 4), np.float32)}, "uint8"),
        ({"num_ops": -1}, "num_ops"),
        ({"magnitude": 10.5}, "magnitude"),
        ({"magnitude": -1}, "magnitude"),
    ],
)
def test_bad_arguments_are_named(change, match):
    arguments = {"images": np.zeros((2, 3, 4, 4), np.uint8)} | change
    with pytest.raises(ValueError, match=match):
        rand_augment(rng=np.random.default_rng(0), **arguments)
