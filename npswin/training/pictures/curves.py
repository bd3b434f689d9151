"""The curves of a run: loss, learning rate, and how good the model was on the test images."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npswin.checks import check_instance, check_integer, check_number, check_path, check_text, shown
from npswin.training.pictures.style import BLUE, GREEN, GREY, RED, SKY, new_figure, save_figure, style_axes
from npswin.training.tasks.metric import ACCURACY, Metric
from npswin.types import Array


def draw_curves(
    records: Sequence[Mapping[str, Any]],
    data_name: str,
    path: str | os.PathLike[str],
    metric: Metric = ACCURACY,
    loss_label: str = "cross-entropy (nats)",
) -> None:
    """Loss and learning rate over the steps, accuracy or another metric on the test images over the epochs.

    Args:
        records: the lines of metrics.jsonl, at least one with a loss; those without one are left out.
        data_name: name of the data, for the title.
        path: the PNG file to write.
        metric: what is drawn of the evaluations, beside their loss if they have one.
        loss_label: what the loss is.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_instance("metric", metric, Metric, "a Metric")
    records = _checked_records(records, metric)
    check_text("data_name", data_name)
    check_text("loss_label", loss_label)
    path = check_path("path", path)
    steps, loss, lr = (np.array([record[name] for record in records]) for name in ("step", "loss", "lr"))
    evaluated = [record for record in records if metric.record_name in record]
    test_steps = [record["step"] for record in evaluated]
    values = [(100 if metric.is_share else 1) * record[metric.record_name] for record in evaluated]
    test_losses = {record["step"]: record["test_loss"] for record in evaluated if "test_loss" in record}

    figure = new_figure(11, 5.2)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.7, 1))
    axes = figure.add_subplot(grid[:, 0])
    axes.plot(steps, loss, color=SKY, linewidth=0.8, alpha=0.55, label="each training step")
    axes.plot(steps, _smoothed(loss), color=BLUE, linewidth=2, label="training, smoothed")
    if test_losses:
        axes.plot(test_losses.keys(), test_losses.values(), "o-", color=RED, markersize=5, label="test images")
    axes.set(title="Loss", xlabel="step", ylabel=loss_label)
    axes.set_ylim(0, 1.05 * max(np.quantile(loss, 0.995), *test_losses.values(), 1e-3))
    axes.legend(frameon=False)
    style_axes(axes)

    axes = figure.add_subplot(grid[0, 1])
    axes.plot(test_steps, values, "o-", color=GREEN, markersize=5)
    axes.set(title=f"{metric.label} on the test images", xlabel="step", xlim=(0, steps[-1] * 1.03))
    if metric.is_share:
        axes.set(ylabel="%", ylim=(0, 103))
    if evaluated:
        is_right = test_steps[-1] > 0.5 * steps[-1]
        bottom, top = axes.get_ylim()
        is_low = values[-1] - bottom < 0.25 * (top - bottom)  # below its point, the text would be on the axis
        axes.annotate(
            metric.shown(evaluated[-1][metric.record_name]),
            (test_steps[-1], values[-1]),
            xytext=(-6 if is_right else 6, 6 if is_low else -16),
            textcoords="offset points",
            ha="right" if is_right else "left",
            color=GREEN,
            weight="bold",
        )
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


def _checked_records(records: Any, metric: Metric) -> list[Mapping[str, Any]]:
    """The records with a loss."""
    if not isinstance(records, list | tuple) or not all(isinstance(record, Mapping) for record in records):
        raise ValueError(f"records: got {shown(records)}, expected the lines of metrics.jsonl")
    for number, record in enumerate(records):
        for name in ("step", "epoch"):
            check_integer(f"records[{number}][{name!r}]", record.get(name), 0)
        evaluation = {metric.record_name, "test_loss"} & record.keys()
        for name in (*("loss", "lr") * ("loss" in record), *sorted(evaluation)):
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
