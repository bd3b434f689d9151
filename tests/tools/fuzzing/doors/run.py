"""The folder of a training run: resumed, and read to predict with."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from npswin import training
from npswin.models import UPerNet
from npswin.training.checkpoint import RunState, save_best
from npswin.training.learner import Learner
from npswin.training.metrics_file import record_names
from npswin.training.run_folder import RunFolder
from npswin.training.tasks.classification import ClassificationTask
from npswin.weights import save_tensors
from npswin.weights.load import model_tensors
from tests.tools.fuzzing.doors.door import SMALL_MODEL, Door, Sample, require, same, small_model
from tests.tools.fuzzing.safetensors import decoded, split_safetensors, without_checksum
from tests.tools.fuzzing.workspace import Files


@dataclass
class _Run:
    """A run of three steps, two to an epoch.

    Attributes:
        learner: of the run.
        description: its settings.
        files: of its folder.
        states: at its last checkpoint and at the one before it, all tensors and how far it had come.
    """

    learner: Learner
    description: dict[str, Any]
    files: Files
    states: list[tuple[dict[str, np.ndarray], RunState]]


@cache
def _run(folder: Path) -> _Run:
    model = small_model(depths=(1,), qkv_bias=False, patch_norm=False, position_bias="none")
    config = training.TrainConfig(epochs=2, batch_size=2, ema_decay=0.9)
    learner = Learner(model, config, 2, ClassificationTask(config))
    description = {
        "training": learner.config.as_dict(),
        "model": learner.model.config,
        "train_data": {"name": "noise", "images": 4},
        "class_names": ["a", "b", "c"],
        "mean": [0.5],
        "backend": "numpy",
    }
    run_folder = RunFolder(folder / "run", description, 2, record_names(learner.task, model))
    run_folder.create()
    rng = np.random.default_rng(0)
    states = []
    for step in range(3):
        images = rng.standard_normal((2, 1, 8, 8)).astype(np.float32)
        record = {"epoch": 1 + step // 2, **learner.train_step(images, np.array([0, 2]), seed=step)}
        run_folder.metrics.append(record | ({"test_loss": 1.0, "test_accuracy": 0.5} if step == 1 else {}))
        if step == 1:
            best = run_folder.save_best(learner.model.params, step + 1, {})
        if step > 0:
            run_state = RunState(step + 1, 0.5, None, run_folder.metrics.crc32, best)
            run_folder.save_last(learner, run_state, {})
            states.insert(0, (_tensors(learner), run_state))
    run_folder.close()
    files: Files = {path.name: path.read_bytes() for path in (folder / "run").iterdir() if path.name != ".lock"}
    return _Run(learner, description, files, states)


def _tensors(learner: Learner) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in {**learner.model.params, **learner.training_state()}.items()}


def _read_run(folder: Path) -> Callable[[Sample], str]:
    run = _run(folder)
    learner, last = run.learner, run.states[0][1]

    def read(sample: Sample) -> str:
        for array in (*learner.model.params.values(), *learner.training_state().values()):
            array[...] = 1
        learner.step = 0
        run_folder = RunFolder(sample.folder, run.description, 2, record_names(learner.task, learner.model))
        repair = sample.number % 4 == 0
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                found = run_folder.reopen(learner, repair)
                if found.unevaluated_record is None:  # else the next line is that record's
                    run_folder.metrics.append({"step": found.step + 1})
        finally:
            run_folder.close()
        own = _tensors(learner)
        require(all(bool(np.isfinite(array).all()) for array in own.values()), "resumed with NaN or infinity")
        require(learner.step == found.step, "two step counts")
        if not repair:
            records = run_folder.metrics.records(found.lines)
            require([one["step"] for one in records] == list(range(1, found.lines + 1)), "resumed with other metrics")
        if _names_its_run(sample.files.get("last.safetensors")):  # else of a version without descriptions and checksums
            of = next((progress for tensors, progress in run.states if same(own, tensors)), None)
            require(of is not None, "resumed with other tensors")
            assert of is not None
            require(found.step == of.step, f"resumed with other progress, {found}")
            require(repair or found == of, f"resumed with other progress, {found}")
        return f"resumed {repair} {found.step == last.step}"

    return read


def _names_its_run(content: bytes | str | None) -> bool:
    if not isinstance(content, bytes):
        return True
    try:
        return not {"run", "npswin_sha256"}.isdisjoint(split_safetensors(content)[0]["__metadata__"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def checkpoint_door(folder: Path) -> Door:
    """`RunFolder.reopen`, with last.safetensors mutated."""
    files = _run(folder).files
    plain = {**files, "last.safetensors": without_checksum(files["last.safetensors"])}
    errors = (training.RunFolderError,)
    return Door("checkpoint", errors, [files, plain], _read_run(folder), ("last.safetensors",), changes_files=True)


def run_door(folder: Path) -> Door:
    """`RunFolder.reopen`, with the other files mutated."""
    mutated = ("config.json", "metrics.jsonl", "best.safetensors", "previous.safetensors")
    return Door("run", (training.RunFolderError,), [_run(folder).files], _read_run(folder), mutated, changes_files=True)


def load_run_door(folder: Path) -> Door:
    """`load_run`, from runs of a classifier and of a segmenter, with config.json or the weights mutated."""
    statistics: dict[str, Any] = {"mean": [0.5], "std": [0.25], "backend": "numpy", "training": {}, "train_data": {}}
    names = ["a", "b", "c"]
    task = {"name": "segmentation", "crop_size": [8, 8], "shorter": 8, "longer": 16, "ratios": [0.5, 2.0]}
    models: list[tuple[Any, dict[str, Any]]] = [
        (small_model(), {}),
        (UPerNet(3, {**SMALL_MODEL, "img_size": None, "num_classes": 0}, 4, 0, pool_scales=(1,)), {"task": task}),
    ]
    seeds: list[Files] = []
    for model, more in models:
        run = {**statistics, "model": model.config, "class_names": names, **more}
        save_best(folder / "best.safetensors", model_tensors(model), 1, run, {"config": json.dumps(model.config)})
        weights = (folder / "best.safetensors").read_bytes()
        seeds.append({"config.json": json.dumps(run).encode(), "best.safetensors": weights})
    save_tensors(folder / "old.safetensors", model_tensors(models[0][0]), {"config": json.dumps(models[0][0].config)})
    seeds.append({**seeds[0], "best.safetensors": without_checksum((folder / "old.safetensors").read_bytes())})

    def read(sample: Sample) -> str:
        run = training.load_run(sample.folder)
        own = model_tensors(run.model)
        require(all(bool(np.isfinite(array).all()) for array in own.values()), "NaN or infinity")
        content = sample.files["best.safetensors"]
        assert isinstance(content, bytes)
        stored = {name: array.astype(own[name].dtype) for name, array in decoded(content).items()}
        require(same(own, stored), "other weights")
        try:
            found = run.predict(np.full((1, 9, 7), 100, np.uint8))
        except training.NonFiniteError:  # of weights without a checksum, some of which became very large
            return "loaded, and not finite"
        require(found.shape == ((9, 7) if "task" in json.loads(sample.files["config.json"]) else (3,)), "no result")
        return f"loaded {len(own)} {run.task!r:.20}"

    return Door("load-run", (training.RunFolderError,), seeds, read)
