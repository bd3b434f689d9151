import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.sample_transforms import crop_sample, flip_sample, resize_image, resize_sample, size_within
from npswin.data.samples import IGNORED, DetectionSample, SegmentationSample
from npswin.data.scenes import load_detection_scenes, load_segmentation_scenes
from npswin.data.tight_boxes import tight_boxes
from tests.data.drawn import SAMPLES, detection_samples, segmentation_samples

pytest.importorskip("PIL")
SIDES = st.integers(1, 40)
WITH_MASKS = detection_samples(with_masks=(True,))


def assert_same(one, other, atol=0.0):
    assert type(one) is type(other)
    for name, array in vars(one).items():
        if array is None:
            assert getattr(other, name) is None
        else:
            np.testing.assert_allclose(getattr(other, name), array, rtol=0, atol=atol, strict=True)


def crop_of(draw, sample):
    height, width = sample.image.shape[1:]
    size = draw(st.integers(1, height)), draw(st.integers(1, width))
    return draw(st.integers(0, height - size[0])), draw(st.integers(0, width - size[1])), size


@given(SAMPLES, st.tuples(SIDES, SIDES), st.data())
def test_results_have_the_size_asked_for_and_share_nothing(sample, size, data):
    before = {name: None if array is None else array.copy() for name, array in vars(sample).items()}
    crop = crop_of(data.draw, sample)
    results = [
        (resize_sample(sample, size), size),
        (crop_sample(sample, *crop), crop[2]),
        (flip_sample(sample), sample.image.shape[1:]),
    ]
    for result, (height, width) in results:
        assert result.image.shape == (len(sample.image), height, width)
        for name, array in vars(result).items():
            if array is not None:
                assert array.dtype == before[name].dtype
                assert not np.shares_memory(array, vars(sample)[name])
    assert_same(type(sample)(**before), sample)


@given(SAMPLES)
def test_flipping_twice_is_the_same(sample):
    assert_same(sample, flip_sample(flip_sample(sample)))


@given(SAMPLES)
def test_resizing_to_the_own_size_is_the_same(sample):
    assert_same(sample, resize_sample(sample, sample.image.shape[1:]))


@given(SAMPLES, st.data())
def test_a_crop_of_a_crop_is_a_crop(sample, data):
    top, left, size = crop_of(data.draw, sample)
    once = crop_sample(sample, top, left, size)
    inner_top, inner_left, inner_size = crop_of(data.draw, once)
    expected = crop_sample(sample, top + inner_top, left + inner_left, inner_size)
    assert_same(expected, crop_sample(once, inner_top, inner_left, inner_size))


@given(segmentation_samples(channels=(1,)), st.data())
def test_a_label_map_moves_as_the_image_does(sample, data):
    """The image is the label map itself."""
    sample = SegmentationSample(sample.labels[None].astype(np.uint8), sample.labels)
    top, left, size = crop_of(data.draw, sample)
    for moved in (flip_sample(sample), crop_sample(sample, top, left, size)):
        np.testing.assert_array_equal(moved.image[0], moved.labels)


@pytest.mark.parametrize("size", [(64, 64), (70, 45), (200, 150)])
def test_a_resized_label_map_is_where_the_resized_image_is(size):
    """Colours of the classes as image: where no other class is near, the colour is the label's exactly."""
    for index in range(3):
        labels = load_segmentation_scenes(size=96, count=3)[index].labels
        moved = resize_sample(SegmentationSample(20 * labels[None], labels), size)
        reach = 2
        padded = np.pad(moved.labels, reach, mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
        is_alike = (views == moved.labels[..., None, None]).all(axis=(2, 3))
        # A thin piece of another class may have no pixel in the smaller label map, and still change the image.
        is_right = moved.image[0] == 20 * moved.labels
        assert is_right[is_alike].mean() > 0.995
        assert is_alike.mean() > 0.4


@given(WITH_MASKS, st.data())
def test_boxes_stay_tight_around_masks_that_are_cropped_and_flipped(sample, data):
    moved = flip_sample(crop_sample(sample, *crop_of(data.draw, sample)))
    np.testing.assert_array_equal(moved.boxes, tight_boxes(moved.masks))


@given(detection_samples(with_masks=(True,), rectangles=True), st.tuples(SIDES, SIDES))
def test_resized_boxes_are_within_half_a_pixel_of_their_masks(sample, size):
    moved = resize_sample(sample, size)
    assert np.abs(moved.boxes - tight_boxes(moved.masks)).max(initial=0) <= 0.5 + 1e-5


def test_boxes_of_scenes_stay_with_their_masks_when_resized():
    for sample in load_detection_scenes(count=5, size=96):
        moved = resize_sample(sample, (230, 180))
        assert np.abs(moved.boxes - tight_boxes(moved.masks)).max() <= 0.5 + 1e-5
        np.testing.assert_array_equal(moved.labels, sample.labels)


@given(detection_samples(), st.data())
def test_what_is_left_of_each_object(sample, data):
    """Those with a pixel, or without masks with an area, in the part; each with its own label, mask and crowd flag."""
    top, left, (height, width) = crop_of(data.draw, sample)
    moved = crop_sample(sample, top, left, (height, width))
    kept = 0
    for index, (x1, y1, x2, y2) in enumerate(sample.boxes):
        expected = [max(x1 - left, 0), max(y1 - top, 0), min(x2 - left, width), min(y2 - top, height)]
        is_left = expected[0] < expected[2] and expected[1] < expected[3]
        if sample.masks is not None:
            mask = sample.masks[index, top : top + height, left : left + width]
            is_left = mask.any()
        if is_left:
            assert moved.labels[kept] == sample.labels[index]
            assert moved.crowd[kept] == sample.crowd[index]
            if sample.masks is None:
                np.testing.assert_array_equal(moved.boxes[kept], expected)
            else:
                np.testing.assert_array_equal(moved.masks[kept], mask)
            kept += 1
    assert len(moved.labels) == kept


def test_a_box_that_no_border_cuts_is_not_made_tight():
    """COCO's boxes are drawn around outlines, not pixels."""
    masks = np.zeros((2, 10, 10), bool)
    masks[:, 3:5, 4:6] = True
    masks[1, 9, 9] = True
    boxes = np.array([[3.6, 2.7, 6.2, 5.3], [3.6, 2.7, 10.0, 10.0]], np.float32)
    sample = DetectionSample(np.zeros((3, 10, 10), np.uint8), boxes, np.array([0, 1]), masks, np.zeros(2, bool))
    moved = crop_sample(sample, 1, 2, (7, 7))
    np.testing.assert_allclose(moved.boxes, [[1.6, 1.7, 4.2, 4.3], [2, 2, 4, 4]], atol=1e-6)
    np.testing.assert_allclose(flip_sample(sample).boxes[0], [3.8, 2.7, 6.4, 5.3], atol=1e-6)
    np.testing.assert_allclose(resize_sample(sample, (20, 5)).boxes[0], [1.8, 5.4, 3.1, 10.6], atol=1e-6)


def test_label_maps_take_the_nearest_pixel():
    labels = np.array([[0, 1, 2, IGNORED]], np.uint8)
    resized = resize_sample(SegmentationSample(np.zeros((1, 1, 4), np.uint8), labels), (1, 8)).labels
    np.testing.assert_array_equal(resized, [[0, 0, 1, 1, 2, 2, IGNORED, IGNORED]])
    smaller = resize_sample(SegmentationSample(np.zeros((1, 1, 4), np.uint8), labels), (1, 2)).labels
    np.testing.assert_array_equal(smaller, [[1, IGNORED]])


def test_images_are_resized_bilinearly_in_every_channel():
    image = np.stack([np.full((2, 2), 7), [[0, 100], [0, 100]]]).astype(np.uint8)
    resized = resize_sample(SegmentationSample(image, np.zeros((2, 2), np.uint8)), (2, 4)).image
    np.testing.assert_array_equal(resized[0], 7)
    np.testing.assert_array_equal(resized[1], [[0, 25, 75, 100]] * 2)


def test_16_bits_are_resized_as_8_are():
    image = np.array([[[0, 100], [0, 100]]], np.uint16) * 600
    resized = resize_image(image, (2, 4))
    assert resized.dtype == np.uint16
    np.testing.assert_array_equal(resized, [[[0, 15000, 45000, 60000]] * 2])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((375, 1242), (402, 1333)),  # the longer side limits
        ((1, 5000), (1, 1333)),
    ],
)
def test_sizes_within_limits_are_those_of_mmcv(size, expected):
    assert size_within(size, 800, 1333) == expected


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda sample: resize_sample(sample, 5), "size"),
        (lambda sample: resize_sample(sample, (5, 0)), "size"),
        (lambda sample: resize_sample(sample.image, (5, 5)), "sample"),
        (lambda sample: crop_sample(sample, 0, 0, (5, 3)), "size"),
        (lambda sample: crop_sample(sample, 2, 0, (3, 3)), "top"),
        (lambda sample: crop_sample(sample, 0, -1, (3, 3)), "left"),
        (lambda sample: flip_sample(None), "sample"),
        (lambda sample: size_within((4, 4), 10, 9), "longer"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=f"^{name}:"):
        call(SegmentationSample(np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4), np.uint8)))
