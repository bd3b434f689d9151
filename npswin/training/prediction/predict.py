"""Predictions on image files: `predict`, and the loop that the command has in common with it."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from npswin.checks import check_instance, check_path, shown
from npswin.data import DataFileError
from npswin.data.formats.image_files import read_image
from npswin.training.environment import import_optional
from npswin.training.errors import RunFolderError
from npswin.training.prediction.files import files_of_task
from npswin.training.prediction.folder import PredictionFolder
from npswin.training.prediction.image_paths import image_paths
from npswin.training.prediction.run import Run, load_run


class Prediction(NamedTuple):
    """What was found in an image file.

    Attributes:
        path: of the file.
        result: see `Run.predict`.
    """

    path: Path
    result: Any


def predict(
    run: Run | str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    top: int | None = None,
    threshold: float | None = None,
) -> list[Prediction]:
    """Predict on image files with the model of a run, and write pictures and JSON as `npswin predict` does.

        for path, found in npswin.predict("runs/first", "photos", out="found"):
            ...

    All results are in memory at the end; of many large images, call `Run.predict` for one after the other.

    Args:
        run: from `npswin.load_run`, or the run's folder.
        images: paths of images, or of folders whose image files are meant.
        out: a new or empty folder for pictures and JSON; None for no files.
        top: classes that are written and drawn of each image, of a classifier; five where it is None.
        threshold: the score from which on an object is drawn, of a detector; 0.5 where it is None. predictions.json has
            all that the model keeps: above its `score_threshold`, and at most `detections` of an image.

    Returns:
        For each image, in the order of `images`, its path and what was found. Images that cannot be read are left out,
        each with a warning.

    Raises:
        RunFolderError, WeightFileError: see `npswin.load_run`.
        DataFileError: there is no such file, or a folder has no image, or not one of the images can be read.
        FileError: `out` is a folder that is not empty, or a file.
        ValueError: an argument that does not fit, named, such as `top` for a detector, or without `out`; or the model's
            images have neither one nor three channels.
        ImportError: Pillow, or matplotlib for `out`, is not installed.
        NonFiniteError: the forward pass gave NaN or infinity.
        OSError: a file cannot be written.
    """
    if isinstance(run, str | os.PathLike):
        run = load_run(check_path("run", run, RunFolderError))
    check_instance("run", run, Run, "a Run from npswin.load_run, or the path of a run's folder")
    for name, value in (("top", top), ("threshold", threshold)):
        if out is None and value is not None:
            raise ValueError(f"{name}: got {shown(value)} without out, expected none: it is for the files in out")
    paths = image_paths(images)
    folder = None if out is None else files_of_task(run)(out, run, paths, top, threshold)
    found: list[Prediction] = []
    errors: list[DataFileError] = []

    def on_error(error: DataFileError) -> None:
        errors.append(error)
        if len(errors) < len(paths):
            warnings.warn(f"{error}; this image is left out", stacklevel=4)

    predict_files(run, paths, folder, lambda prediction, _: found.append(prediction), on_error)
    if not found:
        raise errors[-1]
    return found


def predict_files(
    run: Run,
    paths: Sequence[Path],
    folder: PredictionFolder | None,
    each: Callable[[Prediction, str], None],
    on_error: Callable[[DataFileError], None],
) -> None:
    """Predict on one file after the other.

    Args:
        run: whose model predicts.
        paths: of the files.
        folder: which the results are written to; None for nowhere.
        each: called for each image with its prediction and, where there is a folder, a line that tells it.
        on_error: called for an image that cannot be read, after which the others follow.

    Raises:
        ValueError, ImportError, NonFiniteError, OSError, FileError: see `predict`.
    """
    channels = run.model.in_chans
    if channels not in (1, 3):
        hint = "give run.predict arrays (c, H, W)"
        raise ValueError(f"run: its images have {channels} channels, image files have 1 or 3; {hint}")
    if folder is not None:
        import_optional("matplotlib.figure")  # raises before anything is computed
    with folder or nullcontext():
        for path in paths:
            try:
                image = read_image(path, channels)
            except DataFileError as error:
                on_error(error)
                continue
            result = run.predict(image)
            each(Prediction(path, result), "" if folder is None else folder.add(path, image, result))
