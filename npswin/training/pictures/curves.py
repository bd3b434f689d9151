"""The curves of a run: loss, accuracy, learning rate."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npswin.checks import check_integer, check_number, check_path, check_text, shown
from npswin.training.pictures.style import BLUE, GREEN, GREY, RED, SKY, new_figure, save_figure, style_axes
from npswin.types import Array


def draw_curves(records: Sequence[Mapping[str, Any]], data_name: str, path: str | os.PathLike[str]) -> None:
    """Loss and learning rate over the steps, accuracy on the test images over the epochs.

    Args:
        records: the lines of metrics.jsonl, at least one with a loss; those without one are left out.
        data_name: name of the data, for the title.
        path: the PNG file to write.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    records = _checked_records(records)
    check_text("data_name", data_name)
    path = check_path("path", path)
    steps, loss, lr = (np.array([record[name] for record in records]) for name in ("step", "loss", "lr"))
    evaluated = [record for record in records if "test_accuracy" in record]
    test_steps = [record["step"] for record in evaluated]
    test_loss = [record["test_loss"] for record in evaluated]
    accuracy = [100 * record["test_accuracy"] for record in evaluated]

    figure = new_figure(11, 5.2)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.7, 1))
    axes = figure.add_subplot(grid[:, 0])
    axes.plot(steps, loss, color=SKY, linewidth=0.8, alpha=0.55, label="each training step")
    axes.plot(steps, _smoothed(loss), color=BLUE, linewidth=2, label="training, smoothed")
    axes.plot(test_steps, test_loss, "o-", color=RED, markersize=5, label="test images")
    axes.set(title="Loss", xlabel="step", ylabel="cross-entropy (nats)")
    axes.set_ylim(0, 1.05 * max(np.quantile(loss, 0.995), *test_loss, 1e-3))
    axes.legend(frameon=False)
    style_axes(axes)

    axes = figure.add_subplot(grid[0, 1])
    axes.plot(test_steps, accuracy, "o-", color=GREEN, markersize=5)
    if evaluated:
        is_right = test_steps[-1] > 0.5 * steps[-1]
        axes.annotate(
            f"{accuracy[-1]:.2f} %",
            (test_steps[-1], accuracy[-1]),
            xytext=(-6 if is_right else 6, -16),
            textcoords="offset points",
            ha="right" if is_right else "left",
            color=GREEN,
            weight="bold",
        )
    axes.set(title="Accuracy on the test images", xlabel="step", ylabel="%", xlim=(0, steps[-1] * 1.03), ylim=(0, 103))
    style_axes(axes)

    axes = figure.add_subplot(grid[1, 1])
    axes.plot(steps, lr, color=GREY, linewidth=2)
    axes.set(title="Learning rate", xlabel="step", xlim=(0, steps[-1] * 1.03))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylim(bottom=0)
    style_axes(axes)

    epochs = records[-1]["epoch"]
    figure.suptitle(f"Training on {data_name}: {steps[-1]} steps in {epochs} epoch{'s' * (epochs > 1)}", weight="bold")
    save_figure(figure, path)


def _checked_records(records: Any) -> list[Mapping[str, Any]]:
    """The records with a loss."""
    if not isinstance(records, list | tuple) or not all(isinstance(record, Mapping) for record in records):
        raise ValueError(f"records: got {shown(records)}, expected the lines of metrics.jsonl")
    for number, record in enumerate(records):
        for name in ("step", "epoch"):
            check_integer(f"records[{number}][{name!r}]", record.get(name), 0)
        for name in ("loss", "lr") * ("loss" in record) + ("test_loss", "test_accuracy") * ("test_accuracy" in record):
            check_number(f"records[{number}][{name!r}]", record.get(name))
    with_loss = [record for record in records if "loss" in record]
    if not with_loss:
        raise ValueError(f"records: got {len(records)} without a loss, expected at least one with it")
    return with_loss


def _smoothed(values: Array) -> Array:
    """A centred moving mean over a thirtieth of the curve, shorter at its ends."""
    half_width = max(1, len(values) // 60)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    indices = np.arange(len(values))
    low, high = np.maximum(indices - half_width, 0), np.minimum(indices + half_width + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
