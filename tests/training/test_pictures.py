"""The pictures: their files, texts and numbers."""

import errno

import numpy as np
import pytest

from npswin.training import draw_attention, draw_class_scores, draw_curves, draw_predictions
from npswin.training.pictures import attention, style
from npswin.training.tasks.metric import ACCURACY, Metric
from tests.training.tiny import tiny_data, tiny_model

pytest.importorskip("matplotlib")
ERROR = Metric("error", "Error", is_share=False)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
RECORDS = [
    {"step": 1, "epoch": 1, "loss": 1.2, "lr": 0.1},
    {"step": 2, "epoch": 1, "loss": 0.9, "lr": 0.05, "test_loss": 1.0, "test_accuracy": 0.625},
    {"step": 3, "epoch": 2, "loss": 0.8, "lr": 0.02},
]


@pytest.fixture
def figures(monkeypatch):
    """The matplotlib figures that were saved as files."""

    def save(figure, path):
        saved.append(figure)
        style.save_figure(figure, path)

    saved = []
    for module in ("attention", "class_scores", "curves", "predictions"):
        monkeypatch.setattr(f"npswin.training.pictures.{module}.save_figure", save)
    return saved


def _text(figure):
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def _is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_draw_curves(tmp_path, figures, count):
    draw_curves(RECORDS[:count], "tiny", tmp_path / "curves.png")
    assert _is_png(tmp_path / "curves.png")
    assert f"Training on tiny: {count} step" in _text(figures[0])
    assert ("62.50 %" in _text(figures[0])) == (count > 1)


@pytest.mark.parametrize(
    ("metric", "value", "is_above"),
    [(ACCURACY, 0.004, True), (ACCURACY, 0.9, False), (ERROR, 0.3, True), (ERROR, 2.0, False)],
)
def test_a_low_value_is_written_above_its_point(tmp_path, figures, metric, value, is_above):
    """Below it are the axis and its ticks."""
    records = [{"step": step, "epoch": 1, "loss": 1.0, "lr": 0.1, metric.record_name: value} for step in (1, 2)]
    records[0][metric.record_name] = 1 - value / 2
    draw_curves(records, "tiny", tmp_path / "curves.png", metric)
    (text,) = [one for one in figures[0].axes[1].texts if one.get_text() == metric.shown(value)]
    axes = figures[0].axes[1]
    point = axes.transData.transform((2, value * (100 if metric.is_share else 1)))
    assert (text.get_window_extent().y0 > point[1]) == is_above
    assert text.get_window_extent().y0 > axes.get_window_extent().y0


def test_draw_predictions(tmp_path, figures):
    data = tiny_data(30, "test")
    model = tiny_model()
    model.params["head.bias"][1] = 9  # so that it predicts "middle" for every image
    draw_predictions(model, data, MEAN, STD, tmp_path / "predictions.png")
    assert _is_png(tmp_path / "predictions.png")
    text = _text(figures[0])
    right = int((data.labels == 1).sum())
    assert "tiny, test images" in text
    assert f"among the first 30, of which {right} are right" in text
    assert text.count("middle 100 %") == 24 + 8
    assert text.count("✗ it is: ") == (data.labels[:24] != 1).sum() + 8
    assert "✗ it is: middle" not in text


def test_draw_class_scores(tmp_path, figures):
    scores = np.array([0.125, 0.5, 0.0, 0.375])
    image = np.zeros((1, 5, 7), np.uint16)
    draw_class_scores(image, scores, ("$a$", "b", "c", "d"), tmp_path / "a.png", top=3, title="what_1 $x$")
    assert _is_png(tmp_path / "a.png")
    text = _text(figures[0]).splitlines()
    assert "what_1 $x$" in text
    assert [label.get_text() for label in figures[0].axes[1].get_yticklabels()] == ["b", "d", "$a$"]
    assert [line for line in text if line.endswith((".5 %", ".0 %"))] == ["50.0 %", "37.5 %", "12.5 %"]
    bars = [patch for patch in figures[0].axes[1].patches if patch.get_width() > 0]
    assert [bar.get_width() for bar in bars] == [50, 37.5, 12.5]


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_no_warning(tmp_path):
    draw_class_scores(np.zeros((3, 4, 4), np.uint8), np.ones(1), ("猫",), tmp_path / "a.png", title="犬")
    assert _is_png(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"image": np.zeros((4, 4), np.uint8)}, "image"),
        ({"image": np.zeros((3, 4, 4))}, "image"),
        ({"scores": np.ones(3)}, "scores"),
        ({"scores": np.array([0.5, np.nan])}, "scores"),
        ({"scores": np.array([1, 0])}, "scores"),
        ({"class_names": "ab"}, "class_names"),
        ({"top": 0}, "top"),
        ({"title": None}, "title"),
    ],
)
def test_class_scores_that_do_not_fit(tmp_path, change, name):
    arguments = {"image": np.zeros((3, 4, 4), np.uint8), "scores": np.ones(2) / 2, "class_names": ("a", "b")}
    with pytest.raises(ValueError, match=f"^{name}:"):
        draw_class_scores(**{**arguments, "path": tmp_path / "a.png", **change})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 9])
def test_draw_predictions_of_few_images(tmp_path, count):
    draw_predictions(tiny_model(), tiny_data(count, "test"), MEAN, STD, tmp_path / "predictions.png")
    assert _is_png(tmp_path / "predictions.png")


@pytest.mark.parametrize(
    ("overrides", "rows"),
    [
        ({}, 3),
        ({"depths": (1,)}, 1),
        ({"img_size": 7, "num_heads": (1,)}, 3),
        ({"depths": (2, 2), "num_heads": (2, 4)}, 3),
    ],
)
def test_draw_attention(tmp_path, figures, overrides, rows):
    data = tiny_data(3, "test")
    draw_attention(tiny_model(**overrides), data, MEAN, STD, tmp_path / "attention.png", index=2)
    assert _is_png(tmp_path / "attention.png")
    text = _text(figures[0])
    assert f"tiny, test image 2 ({data.class_names[data.labels[2]]})" in text
    assert text.count("share of attention") == rows


def test_attention_locates_the_window_of_each_token():
    """As in a map of token numbers that is rolled and partitioned as the model does it."""
    block = {"window_size": 4, "shift_size": 2, "grid": (2, 3)}
    rows, columns = np.mgrid[0:8, 0:12]
    shifted = np.roll(rows * 12 + columns, (-2, -2), axis=(0, 1))
    windows = shifted.reshape(2, 4, 3, 4).transpose(0, 2, 1, 3).reshape(6, 16)
    for row in range(8):
        for column in range(12):
            window, (inner_row, inner_column) = attention._locate(block, (row, column))
            assert windows[window, inner_row * 4 + inner_column] == row * 12 + column
            window_rows, window_columns = attention._tokens_of(block, window)
            np.testing.assert_array_equal((window_rows[:, None] * 12 + window_columns).ravel(), windows[window])


def test_pictures_leave_no_file_on_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*curves\.png"):
        draw_curves(RECORDS, "tiny", tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("draw", "change", "name"),
    [
        (draw_curves, {"records": []}, "records"),
        (draw_curves, {"records": RECORDS[0]}, "records"),
        (draw_curves, {"records": [{**RECORDS[0], "loss": "1"}]}, r"records\[0\]\['loss'\]"),
        (draw_curves, {"data_name": None}, "data_name"),
        (draw_curves, {"path": None}, "path"),
        (draw_predictions, {"model": None}, "model"),
        (draw_predictions, {"dataset": [1]}, "dataset"),
        (draw_predictions, {"path": b"p.png"}, "path"),
        (draw_attention, {"index": -1}, "index"),
        (draw_attention, {"index": 0.0}, "index"),
        (draw_attention, {"std": (0.5, 0, 0.5)}, "std"),
    ],
)
def test_errors_name_the_argument(tmp_path, draw, change, name):
    path = tmp_path / "picture.png"
    right = {"model": tiny_model(), "dataset": tiny_data(2), "mean": MEAN, "std": STD, "path": path}
    if draw is draw_curves:
        right = {"records": RECORDS, "data_name": "tiny", "path": path}
    with pytest.raises(ValueError, match=f"^{name}: got "):
        draw(**{**right, **change})
    assert not path.exists()
