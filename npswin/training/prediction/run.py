"""The model of a run, finished or not, with all that its predictions need, from the run's folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_choice, check_path, shown
from npswin.data.dataset import check_normalization
from npswin.data.sample_datasets import check_category_ids, check_class_names
from npswin.files import listed, read_json, shortened, shown_path
from npswin.models.configs import model_of_config
from npswin.training.checkpoint import check_run, differences
from npswin.training.errors import CheckpointError, RunFolderError
from npswin.training.run_folder import LONGEST_CONFIG
from npswin.training.tasks.choose import task_of_run
from npswin.training.tasks.task import PredictingTask
from npswin.types import Array
from npswin.weights import TensorFile, WeightFileError, load_weights
from npswin.weights.layout_search import TRAINING_PREFIX
from npswin.weights.load import model_tensors

WEIGHTS = ("best", "last")  # in the order in which they are looked for
_READINGS = 3  # of weights that a running training replaces meanwhile


@dataclass(frozen=True, eq=False)
class Run:
    """The model of a run, and what its predictions need.

    Attributes:
        model: with the run's weights, on the CPU; `model.to("cuda")` moves it.
        task: what it has learned, a `SegmentationTask`, a `DetectionTask` or that of classification, with the settings
            of the run.
        class_names: K names.
        mean, std: of each channel, with which images are normalized.
        weights: the file that the weights are from.
        category_ids: a number for each class, by which a detector's files of results name the classes: those of the
            training data; empty for 1 to K.
    """

    model: Any
    task: PredictingTask
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Path
    category_ids: tuple[int, ...] = ()

    def predict(self, image: Array) -> Any:
        """What the model finds in an image, in the pixels of the image as it is given.

        The model gets the image in the size that images had in the run's evaluations.

        Args:
            image: (c, H, W) uint8; for a classifier also uint16.

        Returns:
            Of a classifier the probability of each class, (K,); of a segmenter the class of each pixel, (H, W) int64;
            of a detector `npswin.data.Detections`.

        Raises:
            ValueError: `image` has another shape or dtype.
            ImportError: Pillow, which resizes images, is not installed.
            NonFiniteError: the forward pass gave NaN or infinity.
        """
        with np.errstate(all="ignore"):  # the tasks look for NaN and infinity
            return self.task.predict(self.model, image, (self.mean, self.std))


def load_run(folder: str | os.PathLike[str], weights: str | None = None) -> Run:
    """The model of a run that a `Trainer` has written, to predict with.

        run = npswin.load_run("runs/first")
        found = run.predict(image)

    Args:
        folder: of the run, with config.json and a checkpoint. The run may still be training.
        weights: "best", those that were best on the test images; "last", those after the last step that was saved,
            without their average; None for the best ones or, before the first evaluation, the last ones.

    Raises:
        RunFolderError: it is no run's folder, or config.json is damaged or of another version. For a checkpoint, which
            is missing, damaged or of another run, it is a WeightFileError, too.
        ValueError: `weights` is something else.
    """
    path = check_path("folder", folder, RunFolderError)
    if weights is not None:
        check_choice("weights", weights, WEIGHTS)
    description = _description(path)
    file = _weight_file(path, weights)
    try:
        _check_weights_are_of(file, description)
        return _run(description, file)
    except (RunFolderError, ImportError):
        raise
    except WeightFileError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        hint = "restore it from a copy, or predict with the version of npswin that wrote it"
        raise RunFolderError(f"{_shown_config(path)}: {shortened(str(error), 1000)}; {hint}") from error
    except MemoryError as error:
        raise RunFolderError(f"{_shown_config(path)}: too little memory for its model") from error


def _shown_config(folder: Path) -> str:
    return shown_path(folder / "config.json")


def _description(folder: Path) -> dict[str, Any]:
    """What is in config.json, an object with the model's configuration and the names of classes."""
    if not folder.is_dir():
        hint = f"; the run's folder is {shown_path(folder.parent)}" if (folder.parent / "config.json").is_file() else ""
        raise RunFolderError(f"{shown_path(folder)}: is no folder, expected that of a run{hint}")
    if not (folder / "config.json").exists():
        hint = "expected the folder that a training has written, such as runs/first"
        raise RunFolderError(f"{shown_path(folder)}: is not a run's folder, it has no config.json; {hint}")
    found = read_json(folder / "config.json", RunFolderError, LONGEST_CONFIG)
    if not isinstance(found, dict):
        raise RunFolderError(f"{_shown_config(folder)}: is {shown(found)}, expected the settings of a run")
    if missing := [name for name in ("model", "class_names", "mean", "std") if name not in found]:
        raise RunFolderError(f"{_shown_config(folder)}: lacks {listed(missing)}, expected the settings of a run")
    if not isinstance(found["model"], dict):
        raise RunFolderError(f"{_shown_config(folder)}: model: is {shown(found['model'])}, expected its arguments")
    return found


def _weight_file(folder: Path, weights: str | None) -> Path:
    """The file of these weights."""
    names = WEIGHTS if weights is None else (weights,)
    files = [folder / f"{name}.safetensors" for name in names]
    for file in files:
        if file.exists():
            return file
    missing = " or ".join(file.name for file in files)
    raise CheckpointError(f"{shown_path(folder)}: has no {missing}; a run writes it at an epoch's end, or earlier")


def _check_weights_are_of(path: Path, description: Mapping[str, Any]) -> None:
    """Raise a CheckpointError unless a weight file says that it is of the run that config.json describes.

    So config.json, which has no checksum, is as it was written before a model is made by it.
    """
    file = TensorFile(path)
    try:
        check_run(file, description)
        own = json.loads(file.metadata.get("config", "null"))
    except (ValueError, RecursionError) as error:
        hint = "it and config.json are of different runs, or one of them was changed"
        raise CheckpointError(f"{shown_path(path)}: {shortened(str(error), 500)}; {hint}") from error
    if not isinstance(own, dict):
        raise CheckpointError(f"{shown_path(path)}: its metadata lack the model's config, expected a run's checkpoint")
    if different := differences(own, description["model"]):  # also where a file of version 0.1.0 has no run
        raise CheckpointError(f"{shown_path(path)}: is of another model than config.json: {'; '.join(different)}")


def _run(description: Mapping[str, Any], file: Path) -> Run:
    """The run; a ValueError names what is wrong in its description."""
    class_names = check_class_names(description["class_names"])
    model, task = model_of_config(description["model"]), task_of_run(description)
    if model.num_classes != len(class_names):
        raise ValueError(f"class_names: got {len(class_names)} names, the model has {model.num_classes} classes")
    values = description["mean"], description["std"]
    mean, std = check_normalization(("mean", "std"), values, model.in_chans, model.dtype)
    category_ids = description.get("category_ids", [])  # in runs of a detector, but not of older versions
    if category_ids:
        category_ids = check_category_ids(category_ids, len(class_names))
    _load(model, file)
    return Run(model, task, class_names, mean, std, file, tuple(category_ids))


def _load(model: Any, path: Path) -> None:
    """Set a model's weights; all are of one checkpoint, also if a training that is running replaces the file."""
    own = {name: tuple(array.shape) for name, array in model_tensors(model).items()}
    for _ in range(_READINGS):
        before = TensorFile(path)
        names = [name for name in before if not name.startswith(TRAINING_PREFIX)]
        if wrong := sorted(name for name in {*names, *own} if before.shapes.get(name) != own.get(name)):
            raise WeightFileError(f"{shown_path(path)}: tensors that are not those of the model: {listed(wrong)}")
        weights = {name: before[name] for name in names}
        if TensorFile(path).checksum != before.checksum:
            continue
        try:
            load_weights(model, weights)
        except ValueError as error:
            raise WeightFileError(f"{shown_path(path)}: {shortened(str(error), 1000)}") from error
        return
    raise WeightFileError(f"{shown_path(path)}: was replaced while it was read, {_READINGS} times; try again")
