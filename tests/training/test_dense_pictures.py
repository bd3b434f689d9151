"""The pictures of label maps and of found objects: their files, texts and pixels."""

from itertools import pairwise

import numpy as np
import pytest

from npswin.data import Detections, DetectionSample, load_detection_scenes, load_segmentation_scenes
from npswin.training.pictures import draw_detections, draw_segmentation
from npswin.training.pictures.detections import _colour_indices
from npswin.training.pictures.labels import label_places
from npswin.training.pictures.palette import colours, outline, text_colour
from npswin.training.pictures.segmentation import _painted
from tests.training.test_pictures import _is_png, _text

pytest.importorskip("matplotlib")
SEGMENTATION = load_segmentation_scenes(size=40, count=6)
DETECTION = load_detection_scenes(size=40, count=6)
NAMES = DETECTION.class_names


@pytest.fixture
def figures(monkeypatch):
    """The matplotlib figures, which are not saved: painting them takes most of the time."""
    kept = []
    for module in ("detections", "segmentation"):
        monkeypatch.setattr(f"npswin.training.pictures.{module}.save_figure", lambda figure, path: kept.append(figure))
    return kept


def found(sample, scores):
    return Detections(sample.boxes, sample.labels, np.array(scores), sample.masks)


def axes_with_pixels(figure):
    return [axes for axes in figure.axes if axes.images]


def test_both_pictures_are_files(tmp_path):
    segmented, detected = SEGMENTATION[0], DETECTION[0]
    names = SEGMENTATION.class_names
    draw_segmentation([segmented.image], [segmented.labels], names, tmp_path / "a.png", [segmented.labels])
    draw_detections([detected.image], [found(detected, [0.9] * len(detected.labels))], NAMES, tmp_path / "b.png")
    assert _is_png(tmp_path / "a.png")
    assert _is_png(tmp_path / "b.png")


@pytest.mark.parametrize("count", [1, 6])
def test_draw_segmentation(tmp_path, figures, count):
    samples = [SEGMENTATION[index] for index in range(count)]
    images, labels = [sample.image for sample in samples], [sample.labels.copy() for sample in samples]
    predictions = [one.astype(np.int64) for one in labels]
    predictions[0][:10] = (predictions[0][:10] + 1) % 12
    labels[0][-20:] = 255
    draw_segmentation(images, predictions, SEGMENTATION.class_names, tmp_path / "a.png", labels, "Some scenes")
    text = _text(figures[0])
    assert "Some scenes" in text
    assert text.count("truth") == count
    assert text.count("prediction, 50 % of the pixels right") == 1
    assert text.count("prediction, 100 % of the pixels right") == count - 1
    assert "ignored" in text
    shown = {SEGMENTATION.class_names[label] for one in [*labels, *predictions] for label in set(one.flat) - {255}}
    legend = {one.get_text() for one in figures[0].legends[0].get_texts()}
    assert legend == shown | {"ignored"}
    assert len(axes_with_pixels(figures[0])) == 3 * count


def test_draw_segmentation_without_the_truth_in_one_channel(tmp_path, figures):
    sample = SEGMENTATION[0]
    draw_segmentation([sample.image[:1]], [sample.labels], SEGMENTATION.class_names, tmp_path / "a.png")
    assert "truth" not in _text(figures[0])
    assert len(axes_with_pixels(figures[0])) == 2


def test_all_pixels_ignored(tmp_path, figures):
    ignored = np.full((40, 40), 255)
    sample = SEGMENTATION[0]
    draw_segmentation([sample.image], [sample.labels], SEGMENTATION.class_names, tmp_path / "a.png", [ignored])
    assert "all ignored" in _text(figures[0])


def test_a_class_has_one_colour_and_ignored_pixels_are_grey():
    labels = np.repeat([0, 1, 255], 20)[None].repeat(30, axis=0)
    painted = _painted(np.full((3, 30, 60), 128, np.uint8), labels, colours(2)).astype(int)
    for label in range(2):
        inner = painted[:, 20 * label + 2 : 20 * label + 18]
        assert (inner == inner[0, 0]).all()
        assert inner[0, 0].argmax() == colours(2)[label].argmax()
    assert (painted[:, 41:] == painted[:, 41:, :1]).all()
    assert len(np.unique(painted[:, 41:])) == 2  # hatched


def test_draw_detections(tmp_path, figures):
    samples = [DETECTION[index] for index in range(5)]
    scores = [np.linspace(0.3, 0.9, len(sample.labels)) for sample in samples]
    samples[0].crowd[0] = True
    predictions = [found(*pair) for pair in zip(samples, scores, strict=True)]
    images = [sample.image for sample in samples]
    draw_detections(images, predictions, NAMES, tmp_path / "a.png", samples, 0.6, "Some scenes")
    text = _text(figures[0]).splitlines()
    assert "Some scenes" in text
    for label, name in enumerate(NAMES):
        assert text.count(name) == sum((sample.labels == label).sum() for sample in samples)
    pairs = [pair for one in predictions for pair in zip(one.labels, one.scores, strict=True)]
    with_scores = [f"{NAMES[label]} {100 * score:.0f} %" for label, score in pairs if score >= 0.6]
    assert sorted(line for line in text if line.split(" ")[0] in NAMES and " " in line) == sorted(with_scores)
    patches = [patch for axes in axes_with_pixels(figures[0]) for patch in axes.patches]
    assert sum(patch.get_linestyle() == "--" for patch in patches) == 1


def test_draw_detections_without_truth_masks_or_objects(tmp_path, figures):
    sample = DETECTION[0]
    boxes_alone = Detections(sample.boxes, sample.labels, np.ones(len(sample.labels)))
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    draw_detections([sample.image, sample.image], [boxes_alone, nothing], NAMES, tmp_path / "a.png")
    shown, empty = axes_with_pixels(figures[0])
    for axes in (shown, empty):  # no mask is painted
        np.testing.assert_array_equal(axes.images[0].get_array(), sample.image.transpose(1, 2, 0))
    assert (len(shown.patches), len(empty.patches)) == (len(sample.labels), 0)


def covered(places, sizes):
    """The area that labels have in common, by counting pixels of a tenth."""
    counts = np.zeros((2000, 2000), int)
    for left, top, width, height in np.rint(10 * np.concatenate([places, sizes], axis=1)).astype(int):
        counts[top : top + height, left : left + width] += 1
    return (np.maximum(counts - 1, 0)).sum() / 100


def test_labels_are_where_they_cover_no_other():
    size, one = (100, 120), np.array([[20.0, 5]])
    assert label_places(np.array([[30.0, 40, 80, 90]]), one, size).tolist() == [[30, 35]]  # above the box
    assert label_places(np.array([[30.0, 2, 80, 90]]), one, size).tolist() == [[30, 0]]  # within the image
    assert label_places(np.array([[110.0, 40, 118, 90]]), one, size).tolist() == [[100, 35]]
    for count in (2, 8, 12):  # of the same box
        boxes, sizes = np.tile([30.0, 40, 80, 90], (count, 1)), np.tile(one, (count, 1))
        assert covered(label_places(boxes, sizes, size), sizes) == 0
    rng = np.random.default_rng(0)
    corners, sizes = rng.uniform(0, 90, (40, 2)), np.tile(one, (40, 1))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 20, (40, 2))], axis=1)
    at_first_place = np.clip(boxes[:, :2] - [0, 5], 0, [100, 95])
    assert covered(label_places(boxes, sizes, size), sizes) < 0.2 * covered(at_first_place, sizes)


@pytest.mark.parametrize(("count", "font_size"), [(1, 7), (12, 7), (20, 5.4), (60, 4.5)])
def test_labels_do_not_cover_each_other(tmp_path, figures, count, font_size):
    """As they are drawn: of boxes in a grid, whose labels are wider than they are."""
    number = np.arange(count)
    corners = np.stack([20 * (number % 8), 20 * (number // 8)], axis=1).astype(float)
    one = Detections(np.concatenate([corners, corners + 18], axis=1), number % 2, np.full(count, 0.9))
    draw_detections([np.zeros((3, 180, 180), np.uint8)], [one], NAMES, tmp_path / "a.png")
    (axes,) = axes_with_pixels(figures[0])
    assert {round(text.get_fontsize(), 1) for text in axes.texts} == {font_size}
    extents = [text.get_window_extent() for text in axes.texts]
    frame = axes.get_window_extent()
    for number, extent in enumerate(extents):
        assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1
        assert frame.y0 <= extent.y0 < extent.y1 <= frame.y1
        assert not any(extent.overlaps(other) for other in extents[:number])


def test_rows_of_images_are_as_high_as_they_need(tmp_path, figures):
    shapes = [(60, 30), (10, 40), (40, 40)]
    images = [np.zeros((3, *shape), np.uint8) for shape in shapes]
    maps = [np.zeros(shape, int) for shape in shapes]
    draw_segmentation(images, maps, SEGMENTATION.class_names, tmp_path / "a.png")
    figures[0].draw_without_rendering()
    boxes = [axes.get_position() for axes in figures[0].axes[::2]]
    gaps = [upper.y0 - lower.y1 for upper, lower in pairwise(boxes)]
    assert max(gaps) * figures[0].get_figheight() < 0.8  # inches


def test_a_single_image_is_drawn_with_its_pixels(tmp_path, figures):
    for width in (40, 780, 9000):
        nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
        draw_detections([np.zeros((3, 40, width), np.uint8)], [nothing], NAMES, tmp_path / "a.png", title="$x$")
    assert [round(figure.get_figwidth(), 1) for figure in figures] == [3.5, 6.1, 14.1]
    assert "$x$" in _text(figures[0])
    assert "nothing found with a score of at least 50 %" in _text(figures[0])


def test_boxes_are_drawn_around_their_pixels(tmp_path, figures):
    """Matplotlib's pixel in column 0 reaches from -0.5 to 0.5."""
    masks = np.zeros((1, 40, 40), bool)
    masks[0, 10:20, 0:5] = True
    one = Detections(np.array([[0.0, 10, 5, 20]]), np.array([2]), np.array([0.9]), masks)
    draw_detections([DETECTION[0].image], [one], NAMES, tmp_path / "a.png")
    (patch,) = axes_with_pixels(figures[0])[0].patches
    assert (*patch.get_xy(), patch.get_width(), patch.get_height()) == (-0.5, 9.5, 5, 10)


def test_what_is_found_has_the_colour_of_its_object():
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]])
    crowd = np.array([False, False, True])
    truth = DetectionSample(np.zeros((3, 64, 64), np.uint8), boxes, np.array([1, 2, 3]), None, crowd)
    twice, other_class, is_crowd, too_little = [0.0, 0, 10, 9], [20, 20, 30, 30], [50, 50, 60, 60], [0, 8, 10, 18]
    seen = np.array([twice, [0, 0, 10, 10], [20, 20, 30, 31], other_class, is_crowd, too_little])
    found = Detections(seen, np.array([1, 1, 2, 1, 3, 1]), np.array([0.8, 0.9, 0.5, 0.9, 0.9, 0.95]))
    assert _colour_indices(found, truth).tolist() == [3, 0, 1, 6, 7, 8]


def test_colours_differ():
    palette = colours(150)
    assert len({tuple(colour) for colour in palette.tolist()}) == 150
    np.testing.assert_array_equal(palette[:12], colours(12))
    near = np.abs(palette[:20, None].astype(int) - palette[:20]).sum(axis=2) + 999 * np.eye(20)
    assert near.min() > 50
    assert colours(0).shape == (0, 3)
    assert (text_colour(np.array([0, 0, 80])), text_colour(np.array([255, 255, 0]))) == ("white", "black")


def test_an_outline_is_the_rim_of_a_mask_within_the_image():
    mask = np.zeros((5, 6), bool)
    mask[1:5, 2:6] = True
    expected = mask.copy()
    expected[2:5, 3:6] = False
    np.testing.assert_array_equal(outline(mask), expected)


IMAGE, MAP = np.zeros((3, 4, 5), np.uint8), np.zeros((4, 5), np.int64)
FOUND = Detections(np.zeros((1, 4)), np.array([0]), np.array([0.5]), np.zeros((1, 4, 5), bool))


@pytest.mark.parametrize(
    ("draw", "change", "name"),
    [
        (draw_segmentation, {"images": []}, "images"),
        (draw_segmentation, {"images": [IMAGE / 2]}, "images"),
        (draw_segmentation, {"images": IMAGE}, "images"),
        (draw_segmentation, {"predictions": [MAP, MAP]}, "predictions"),
        (draw_segmentation, {"predictions": [MAP[1:]]}, "predictions"),
        (draw_segmentation, {"predictions": [MAP + 2]}, "predictions"),
        (draw_segmentation, {"labels": [MAP * 1.0]}, "labels"),
        (draw_segmentation, {"class_names": "ab"}, "class_names"),
        (draw_segmentation, {"path": None}, "path"),
        (draw_detections, {"images": [IMAGE[0]]}, "images"),
        (draw_detections, {"predictions": [None]}, "predictions"),
        (draw_detections, {"predictions": [FOUND], "images": [IMAGE[:, 1:]]}, "predictions"),
        (draw_detections, {"predictions": [FOUND], "class_names": ()}, "predictions"),
        (draw_detections, {"truths": [FOUND]}, "truths"),
        (draw_detections, {"min_score": "a"}, "min_score"),
        (draw_detections, {"title": 3}, "title"),
    ],
)
def test_bad_arguments_are_named(tmp_path, draw, change, name):
    predictions = [MAP] if draw is draw_segmentation else [FOUND]
    arguments = {"images": [IMAGE], "predictions": predictions, "class_names": ("a", "b"), "path": tmp_path / "a.png"}
    with pytest.raises(ValueError, match=f"^{name}:"):
        draw(**{**arguments, **change})
    assert not list(tmp_path.iterdir())
