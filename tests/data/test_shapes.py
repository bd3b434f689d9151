import hashlib

import numpy as np
import pytest

from npswin.data.dataset import normalize
from npswin.data.mixing import one_hot
from npswin.data.shapes import SHAPE_CLASSES, SHAPES_MEAN, SHAPES_STD, load_shapes, make_shapes
from npswin.data.shapes.dataset import LARGEST, SMALLEST
from npswin.data.shapes.drawing import object_colours
from npswin.data.shapes.outlines import OUTLINES


@pytest.fixture(scope="module")
def train():
    return load_shapes()


@pytest.fixture(scope="module")
def test():
    return load_shapes(train=False)


def test_the_standard_split(train, test):
    assert (train.images.shape, test.images.shape) == ((15_000, 3, 32, 32), (2_000, 3, 32, 32))
    assert (train.name, train.split, test.split) == ("shapes", "train", "test")
    assert len(SHAPE_CLASSES) == len(set(SHAPE_CLASSES)) == 10
    for data in (train, test):
        assert (np.bincount(data.labels, minlength=10) == len(data) // 10).all()


def test_labels_are_in_no_order(train):
    assert abs(np.corrcoef(train.labels[:-1], train.labels[1:])[0, 1]) < 0.05
    assert len(set(train.labels[:30])) > 5


def test_no_image_comes_twice(train, test):
    images = np.concatenate([train.images, test.images])
    assert len({image.tobytes() for image in images}) == len(images)


def test_same_seed_bitwise_identical():
    first, again = make_shapes(523, seed=5), make_shapes(523, seed=5)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_other_seeds_and_splits_are_other_images():
    drawn = [make_shapes(40, 0), make_shapes(40, 1), make_shapes(40, 2**32), make_shapes(40, 0, "test")]
    for index, one in enumerate(drawn):
        for other in drawn[:index]:
            assert not np.array_equal(one.images, other.images)
            assert not np.array_equal(one.labels, other.labels)


def test_the_pixels_are_the_published_ones():
    data = make_shapes(600, seed=0)
    digest = hashlib.sha256(data.images.tobytes() + data.labels.astype("<i8").tobytes()).hexdigest()
    assert digest == "09f88a1684df90f4ad825d9544f3944160a1314b7115fe1f26702bfc2d6dfee8"


@pytest.mark.parametrize("count", [1, 7, 251])
def test_any_count_is_balanced(count):
    counts = np.bincount(make_shapes(count).labels, minlength=10)
    assert counts.sum() == count
    assert np.ptp(counts) <= 1


@pytest.mark.parametrize(("arguments", "name"), [((0,), "count"), ((1, -1), "seed"), ((1, 0, "valid"), "split")])
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        make_shapes(*arguments)


def test_sizes_spread(test):
    """Only objects have a channel above 160; specks and lines are darker."""
    object_pixels = test.images.max(axis=1) > 160
    heights = np.array([np.ptp(np.flatnonzero(pixels.any(axis=1))) + 1 for pixels in object_pixels])
    areas = object_pixels.sum(axis=(1, 2))
    for label in range(10):
        is_class = test.labels == label
        smallest, largest = np.percentile(areas[is_class], [5, 95])
        assert largest > 3 * smallest
    assert SMALLEST - 4 < heights.min() < SMALLEST + 1
    assert LARGEST - 1 < heights.max() < LARGEST + 4
    assert np.std(heights) > 4


@pytest.mark.parametrize("outline", OUTLINES, ids=SHAPE_CLASSES)
def test_an_outline_is_about_a_distance_and_fits_its_square(outline):
    v, u = np.mgrid[-1.6:1.6:129j, -1.6:1.6:129j]
    distance = outline(u, v)
    inside = distance < 0
    for axis in (u, v):
        assert np.abs(axis[inside]).max() <= 1
        assert np.ptp(axis[inside]) > 1.3
    # Between neighbouring points, a distance changes by at most their distance.
    step = u[0, 1] - u[0, 0]
    assert np.abs(np.diff(distance, axis=0)).max() <= step + 1e-12
    assert np.abs(np.diff(distance, axis=1)).max() <= step + 1e-12


@pytest.mark.parametrize("outline", OUTLINES, ids=SHAPE_CLASSES)
def test_outlines_keep_single_precision(outline):
    points = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    assert outline(points, points[::-1]).dtype == np.float32


def test_objects_have_any_hue():
    colours = object_colours(np.random.default_rng(0), 2000)[:, :, 0, 0]
    assert (np.bincount(colours.argmax(1), minlength=3) > 500).all()
    assert (np.bincount(colours.argmin(1), minlength=3) > 500).all()


@pytest.mark.thorough  # the pixels are compared with published ones, so that this result stays
def test_a_linear_classifier_stays_under_half(train, test):
    """Softmax regression by Adam on normalized pixels, and ridge regression in closed form."""
    x, x_test = (normalize(d.images, SHAPES_MEAN, SHAPES_STD).reshape(len(d), -1) for d in (train, test))
    ones = one_hot(train.labels, 10)

    ridge = np.linalg.solve(x.T @ x + 1e4 * np.eye(x.shape[1], dtype=x.dtype), x.T @ ones)
    ridge_accuracy = ((x_test @ ridge).argmax(1) == test.labels).mean()

    weight = np.zeros((x.shape[1], 10), np.float32)
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    rng = np.random.default_rng(0)
    steps = 600
    for step in range(1, steps + 1):
        batch = rng.integers(0, len(x), 128)
        scores = x[batch] @ weight
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        gradient = x[batch].T @ (scores / scores.sum(axis=1, keepdims=True) - ones[batch]) / 128
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 3e-4 * (1 - (step - 1) / steps)
        weight -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    softmax_accuracy = ((x_test @ weight).argmax(1) == test.labels).mean()

    assert 0.2 < ridge_accuracy < 0.5  # above chance: it was trained
    assert 0.2 < softmax_accuracy < 0.5
