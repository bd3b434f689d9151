"""Checkpoints of a run: weights, training state, and which run they belong to."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_integer, check_number, check_text, shown
from npswin.devices import to_host
from npswin.files import listed, shortened, shown_path
from npswin.training.errors import CheckpointError
from npswin.training.learner import Learner
from npswin.training.metrics_file import MetricsFile
from npswin.training.tasks.task import Task
from npswin.types import Array
from npswin.weights import TensorFile, WeightFileError, save_tensors
from npswin.weights.layout_search import TRAINING_PREFIX
from npswin.weights.load import model_tensors

_RUN, _STATE, _STEP = "run", "training", "step"  # names in the metadata
MOST_DIFFERENCES = 5  # of two runs, in a message
_MOST_TELLING_FIRST = (  # fields of a description, and beginnings of their names
    *("train_data.name", "class_names", "model.num_classes"),
    *("model", "train_data", "test_data", "task", "training", ""),
)
_FROM_EPOCHS = ("training.warmup_epochs", "training.decay_epochs", "training.warmup_steps", "training.schedule")
_LATER_FIELDS = {"schedule": "cosine", "decay_epochs": [], "warmup_steps": 0}  # of a recipe
_ARCHITECTURE = "model.architecture"
_NO_ENTRY = object()  # beyond the end of a list
_CATEGORY_IDS = "category_ids"  # in the description of a detector's run


@dataclass(frozen=True)
class RunState:
    """How far a run has come.

    Attributes:
        step: steps done.
        best_metric: the best value of the task's main metric on the test images; None before the first evaluation.
        unevaluated_record: of the epoch's last step, if the evaluation after it is not done; else None.
        metrics_crc32: checksum of the lines of metrics.jsonl; None in checkpoints of version 0.1.0.
        best_checksum: of best.safetensors; None before the first evaluation, and in checkpoints of version 0.1.0.
    """

    step: int
    best_metric: float | None
    unevaluated_record: dict[str, Any] | None
    metrics_crc32: int | None = None
    best_checksum: str | None = None

    @property
    def lines(self) -> int:
        """The number of lines that metrics.jsonl then has."""
        return self.step - (self.unevaluated_record is not None)


def save_checkpoint(
    path: Path, learner: Learner, run_state: RunState, run: Mapping[str, Any], metadata: Mapping[str, str]
) -> None:
    """Write a checkpoint: the weights under their own names, the training state under `training/`.

    Args:
        path: the file, replaced if it exists.
        learner: its weights, buffers among them, and training state are written.
        run_state: written as well.
        run: the run's description, by which `read_checkpoint` knows it again.
        metadata: further text for the file's header.
    """
    training_state = {TRAINING_PREFIX + name: tensor for name, tensor in learner.training_state().items()}
    tensors = {name: to_host(tensor) for name, tensor in {**model_tensors(learner.model), **training_state}.items()}
    state = {
        "step": run_state.step,
        _best_name(learner.task): run_state.best_metric,
        "pending": run_state.unevaluated_record,
        "metrics_crc32": run_state.metrics_crc32,
        "best_checksum": run_state.best_checksum,
    }
    save_tensors(path, tensors, {**metadata, _RUN: json.dumps(comparable(run)), _STATE: json.dumps(state)})


def save_best(
    path: Path, weights: Mapping[str, Array], step: int, run: Mapping[str, Any], metadata: Mapping[str, str]
) -> str:
    """Write the best weights so far; returns the file's checksum.

    Args:
        path: the file, replaced if it exists.
        weights: by name.
        step: after which the run had them.
        run: the run's description.
        metadata: further text for the file's header.
    """
    tensors = {name: to_host(tensor) for name, tensor in weights.items()}
    return save_tensors(path, tensors, {**metadata, _RUN: json.dumps(comparable(run)), _STEP: str(step)})


def check_best(path: Path, run_state: RunState, learner: Learner, run: Mapping[str, Any]) -> None:
    """Raise a CheckpointError unless the best weights are those that a run had when it had come so far.

    A run that was killed after an evaluation and before the checkpoint has already written the next best ones; it does
    the evaluation again and writes the same.
    """
    try:
        file = TensorFile(path)
        check_run(file, run)
        if run_state.best_checksum is not None and file.checksum != run_state.best_checksum:
            step = file.metadata.get(_STEP, "")
            first_later_step = run_state.step + (run_state.unevaluated_record is None)
            if not (step.isdecimal() and len(step) < 20 and int(step) >= first_later_step):
                raise ValueError("it is not the file that the checkpoint was saved with")
        shapes = {name: tuple(array.shape) for name, array in model_tensors(learner.model).items()}
        if file.shapes != shapes:
            raise ValueError("its tensors are not those of the model")
        if wrong := [name for name in shapes if not np.isfinite(file[name]).all()]:
            raise ValueError(f"tensors with NaN or infinity: {listed(wrong)}")
    except WeightFileError as error:
        raise CheckpointError(str(error)) from error
    except ValueError as error:
        raise CheckpointError(f"{shown_path(path)}: {error}") from error


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that fits the run.

    Attributes:
        path: of its file.
        weights: parameters and buffers, by name.
        training_state: as `Learner.training_state` gives it.
        run_state: how far the run had come.
    """

    path: Path
    weights: dict[str, Array]
    training_state: dict[str, Array]
    run_state: RunState


def read_checkpoint(path: Path, learner: Learner, run: Mapping[str, Any], metrics: MetricsFile) -> Checkpoint:
    """Read a checkpoint of this run.

    Args:
        path: the file.
        learner: which is to continue from it; not changed.
        run: the run's description.
        metrics: checks the record in the checkpoint.

    Raises:
        CheckpointError: it is damaged, of another run, or not a checkpoint.
    """
    try:
        file = TensorFile(path)
        check_run(file, run)
        run_state = _run_state(file.metadata, learner, metrics)
        own = sum(
            array.nbytes for array in (*model_tensors(learner.model).values(), *learner.training_state().values())
        )
        found = sum(math.prod(shape) for shape in file.shapes.values())
        if found > own:  # every number has at least one byte
            raise ValueError(f"it has {found} numbers, the run's tensors have {own} bytes")
        weights = {name: file[name] for name in file}
        state_names = [name for name in weights if name.startswith(TRAINING_PREFIX)]
        training_state = {name.removeprefix(TRAINING_PREFIX): weights.pop(name) for name in state_names}
        learner.check_state(weights, training_state, run_state.step)
    except WeightFileError as error:
        raise CheckpointError(str(error)) from error
    except ValueError as error:
        reason = f"no checkpoint of this run ({shortened(str(error), 2000)})"
        raise CheckpointError(f"{shown_path(path)}: {reason}") from error
    return Checkpoint(path, weights, training_state, run_state)


def check_run(file: TensorFile, run: Mapping[str, Any]) -> None:
    """Raise a ValueError if a file is damaged or says that it is of another run."""
    if _RUN not in file.metadata:
        return  # version 0.1.0
    if file.checksum is None:
        raise ValueError("its checksum is missing")
    found = _json(file.metadata, _RUN)
    if not isinstance(found, dict):
        raise ValueError(f"its description of the run is {shown(found)}")
    if different := differences(*comparable_pair(found, run)):
        raise ValueError(f"it is of a run that differs in {'; '.join(different)}")


def comparable(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's description without precision and backend, since a run may be resumed on another device.

    A recipe of version 0.1.0, which lacks fields that came later, gets their defaults.
    """
    training = run.get("training")
    if isinstance(training, Mapping):
        training = {name: value for name, value in {**_LATER_FIELDS, **training}.items() if name != "precision"}
    return {**run, "training": training, "backend": None}


def comparable_pair(found: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description of a run in a file, and this run's, each as `differences` compares them.

    Where a file of an older version has no ids of categories, neither has the other: the data's checksum is compared.
    """
    found, wanted = comparable(found), json.loads(json.dumps(comparable(run)))
    if _CATEGORY_IDS not in found:
        wanted.pop(_CATEGORY_IDS, None)
    return found, wanted


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The fields in which two descriptions of runs differ, each with both its values; of many, the most telling ones.

    Model and data come first; a run of another architecture differs in so much that nothing else is said. What a
    program derives from the number of epochs is left out where that differs.
    """
    different = dict(_differences(found, wanted, ""))
    if _ARCHITECTURE in different:
        old, new = (run["model"].get("architecture") or "a classifier" for run in (found, wanted))
        return [f"{_ARCHITECTURE} (it is of {shortened(str(old))}, this one of {shortened(str(new))})"]
    if "training.epochs" in different:
        different = {name: text for name, text in different.items() if name not in _FROM_EPOCHS}
    rank = _MOST_TELLING_FIRST.index
    names = sorted(different, key=lambda name: rank(next(filter(name.startswith, _MOST_TELLING_FIRST))))
    more = [f"and {len(names) - MOST_DIFFERENCES} more"] if len(names) > MOST_DIFFERENCES else []
    return [different[name] for name in names[:MOST_DIFFERENCES]] + more


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Names of the fields that differ, with a text."""
    for name in sorted(found.keys() | wanted.keys()):
        old, new = found.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            where, old, new = _first_difference(name, old, new)
            yield prefix + name, f"{shortened(prefix + where, 80)} (it has {old}, this one {new})"


def _first_difference(name: str, old: Any, new: Any) -> tuple[str, str, str]:
    """Two values that differ as texts that do; of two lists the first entries that differ, with their place."""
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip_longest(old, new, fillvalue=_NO_ENTRY)
        place, (old, new) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        name = f"{name}[{place}]"
    texts = ["nothing" if value is _NO_ENTRY else shown(value) for value in (old, new)]
    if texts[0] == texts[1]:  # what differs is in the middle of a long text, which is not shown
        whole = repr(old), repr(new)
        place = next((i for i, (one, other) in enumerate(zip(*whole, strict=False)) if one != other), 0)
        texts = [f"... {shortened(text[max(place - 20, 0) :], 90)}" for text in whole]
    return name, texts[0], texts[1]


def _best_name(task: Task) -> str:
    """The name of the best value of the main metric, in the metadata: "best_accuracy"."""
    return f"best_{task.main_metric.name}"


def _run_state(metadata: Mapping[str, str], learner: Learner, metrics: MetricsFile) -> RunState:
    state, best_name = _json(metadata, _STATE), _best_name(learner.task)
    if not isinstance(state, dict) or not {"step", best_name, "pending"} <= state.keys():
        raise ValueError(f"its state is {shown(state)}, expected step, {best_name} and pending")
    step = check_integer("step", state["step"], 0, learner.total_steps)
    best, record, crc32 = state[best_name], state["pending"], state.get("metrics_crc32")
    if best is not None:
        bounds: dict[str, Any] = {"at_least": 0, "at_most": 1} if learner.task.main_metric.is_share else {}
        best = check_number(best_name, best, **bounds)
    if record is not None:
        if not metrics.ends_epoch(step):
            raise ValueError(f"pending: got a record of step {step}, expected one of an epoch's last step")
        metrics.check_record(step, record, is_evaluated=False)
    checksum = state.get("best_checksum")
    is_of_an_older_version = _RUN not in metadata
    if crc32 is not None or not is_of_an_older_version:
        crc32 = check_integer("metrics_crc32", crc32, 0)
    if checksum is not None or not (best is None or is_of_an_older_version):
        check_text("best_checksum", checksum)
    return RunState(step, best, record, crc32, checksum)


def _json(metadata: Mapping[str, str], name: str) -> Any:
    if name not in metadata:
        raise ValueError(f"its metadata lacks {name!r}")
    try:
        return json.loads(metadata[name])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name!r} in its metadata is not JSON ({error})") from error
