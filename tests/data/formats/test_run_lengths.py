"""Run lengths and polygons, against masks that are drawn pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.formats.findings import EntryError
from npswin.data.formats.run_lengths import decode_counts, decode_masks, encode_masks, encode_segmentation
from tests.data.formats.drawn import coco_text, rectangle, run_lengths

pytest.importorskip("pycocotools")


@st.composite
def masks(draw):
    """Masks (n, H, W), from single pixels to runs of more than 32 × 32 of them."""
    height, width, scale = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.sampled_from([1, 1, 60]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = rng.random((draw(st.integers(1, 4)), height, width)) < draw(st.sampled_from([0.1, 0.5, 0.9, 1.0]))
    return drawn.repeat(scale, axis=1)


@given(masks())
def test_masks_come_back_from_their_run_lengths(drawn):
    codes = encode_masks(drawn)
    assert [decode_counts(code["counts"].decode()) for code in codes] == [run_lengths(mask) for mask in drawn]
    decoded = decode_masks(codes, *drawn.shape[1:])
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, drawn)


@given(masks())
def test_run_lengths_as_a_list_and_as_text_are_the_same_mask(drawn):
    for mask in drawn[drawn.any(axis=(1, 2))]:
        height, width = mask.shape
        counts = run_lengths(mask)
        for value in (counts, coco_text(counts)):
            code = encode_segmentation({"size": [height, width], "counts": value}, height, width)
            np.testing.assert_array_equal(decode_masks([code], height, width)[0], mask)


def test_no_masks():
    assert decode_masks([], 4, 5).shape == (0, 4, 5)


@given(st.data())
def test_a_polygon_of_whole_numbers_is_the_pixels_inside(data):
    """Of rectangles pycocotools' rule for pixels on the outline, which it draws five times as large, has no effect."""
    height, width = data.draw(st.integers(2, 30)), data.draw(st.integers(2, 30))
    (x1, x2), (y1, y2) = (
        sorted(data.draw(st.lists(st.integers(0, length), min_size=2, max_size=2, unique=True)))
        for length in (width, height)
    )
    outline = [x1, y1, x2, y1, x2, y2, x1, y2]
    expected = rectangle(height, width, x1, y1, x2, y2)
    code = encode_segmentation([outline], height, width)
    np.testing.assert_array_equal(decode_masks([code], height, width)[0], expected)


@given(st.integers(0, 2**32))
def test_a_polygon_is_the_pixels_whose_centres_are_inside_but_for_its_outline(seed):
    """A triangle: the sign of three products says on which sides of its edges a pixel's centre is."""
    corners = np.random.default_rng(seed).uniform(0, 20, (3, 2))
    if abs(np.linalg.det(corners[1:] - corners[0])) < 4:
        return  # it is thinner than a pixel
    x, y = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    distances = []
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        distances.append(((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / np.hypot(x2 - x1, y2 - y1))
    distance = np.stack(distances) * np.sign(np.linalg.det(corners[1:] - corners[0]))
    mask = decode_masks([encode_segmentation([corners.ravel().tolist()], 20, 20)], 20, 20)[0]
    assert mask[distance.min(axis=0) > 1].all()
    assert not mask[distance.min(axis=0) < -1].any()


def test_several_polygons_are_one_object():
    code = encode_segmentation([[0, 0, 2, 0, 2, 2, 0, 2], [4, 4, 6, 4, 6, 6, 4, 6]], 8, 8)
    expected = rectangle(8, 8, 0, 0, 2, 2) | rectangle(8, 8, 4, 4, 6, 6)
    np.testing.assert_array_equal(decode_masks([code], 8, 8)[0], expected)


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        ([[1, 1, 5, 1, 5]], "wrong polygon"),
        ([[1, 1, 5, 5]], "wrong polygon"),
        ([[]], "wrong polygon"),
        ([1, 1, 5, 1, 5, 5], "wrong polygon"),
        ([[1, 1, 5, 1, 5, "5"]], "wrong polygon"),
        ([[1, 1, 5, 1, 5, True]], "wrong polygon"),
        ([[1, 1, 5, 1, 5, 10**400]], "wrong polygon"),
        ([[1, 1, 5, 1, 50, 5]], "wrong polygon"),
        ([[1, 1, 5, 1, 5, -9]], "wrong polygon"),
        ([[1, 1, 1, 1, 1, 1]], "empty mask"),
        ("text", "wrong run lengths"),
        ({"counts": [64]}, "wrong run lengths"),
        ({"size": [8, 8]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": None}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [10, 20.0, 34]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [10, 20, 33]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [10, 20, 35]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [10, -2, 56]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [10, 2**70, 54 - 2**70]}, "wrong run lengths"),
        ({"size": [8, 9], "counts": [10, 20, 34]}, "wrong run lengths"),
        ({"size": [8], "counts": [10, 20, 34]}, "wrong run lengths"),
        ({"size": 8, "counts": [10, 20, 34]}, "wrong run lengths"),
        ({"size": [8, 8], "counts": [64]}, "empty mask"),
        ({"size": [8, 8], "counts": ""}, "wrong run lengths"),
        ({"size": [8, 8], "counts": "P"}, "wrong run lengths"),
        ({"size": [8, 8], "counts": "!!!"}, "wrong run lengths"),
        ({"size": [8, 8], "counts": "ä"}, "wrong run lengths"),
        ({"size": [8, 8], "counts": "\ud800"}, "wrong run lengths"),
        ({"size": [8, 8], "counts": "ooooooooo1"}, "wrong run lengths"),
        ({"size": [8, 8], "counts": coco_text([10, 20, 35])}, "wrong run lengths"),
        ({"size": [8, 8], "counts": coco_text([10, 2**34, 54 - 2**34])}, "wrong run lengths"),
        ({"size": [8, 8], "counts": coco_text([10, 20, 34])[:-1]}, "wrong run lengths"),
    ],
)
def test_wrong_segmentations_are_refused_before_pycocotools_reads_them(segmentation, kind):
    with pytest.raises(EntryError) as caught:
        encode_segmentation(segmentation, 8, 8)
    assert caught.value.kind == kind
    assert len(caught.value.text) < 300
