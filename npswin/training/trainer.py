"""The training loop: epochs, evaluations and checkpoints. A resumed run is bitwise identical to an unstopped one.

What is learned, from what, and how well, is up to a task; see `tasks/task.py`.
"""

import json
import os
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

import numpy as np

from npswin.backends import allow_tf32, get_backend
from npswin.checks import check_flag, check_instance, check_path
from npswin.data import batch_rng, epoch_batches, steps_per_epoch
from npswin.devices import on_gpu
from npswin.files import counted
from npswin.progress import show_progress
from npswin.training.checkpoint import RunState
from npswin.training.config import TrainConfig
from npswin.training.environment import import_optional
from npswin.training.gpu.transfers import AsyncScalar
from npswin.training.gradients import NonFiniteError, require_finite_weights
from npswin.training.inputs import check_precision, products_in
from npswin.training.learner import Learner
from npswin.training.metrics_file import record_names
from npswin.training.normalization import Normalization, given_normalization, own_normalization
from npswin.training.pictures import draw_curves
from npswin.training.run_folder import (
    RunFolder,
    check_run_folder,
    has_no_more_than_a_beginning,
    saved_normalization,
)
from npswin.training.tasks.choose import choose_task
from npswin.training.tasks.task import Dataset, Task
from npswin.training.terminal import StopSignals, TrainingInterrupted, print_stderr
from npswin.training.trainable import Trainable
from npswin.weights.load import model_tensors


class _StopTraining(Exception):
    """Raised between two steps or batches, when a checkpoint can be saved, to leave the loop."""


class Trainer:
    """Trains a model on images, and writes settings, metrics, checkpoints and curves into the run's folder.

        trainer = Trainer(model, train_data, test_data, TrainConfig(epochs=10), "runs/first")
        result = trainer.fit()

    The folder gets config.json, metrics.jsonl (a line per step), last.safetensors (the weights, and under `training/`
    all else that is needed to resume), previous.safetensors (the checkpoint before it), best.safetensors (the weights
    that were best on the test images, by the task's main metric: averaged ones where the recipe has an average) and
    curves.png.

    The images of a step and its random numbers depend on (seed, epoch, step) alone. A run that was stopped or crashed,
    and is resumed by `fit(resume=True)` with a model of the same configuration, therefore gives weights and metrics
    that are bitwise identical to those of a run that was never stopped.

    Args:
        model: trained in place.
        train_data: images to train on; for classification an `ImageDataset`.
        test_data: images to evaluate on after each epoch.
        config: the recipe.
        out: the run's folder.
        normalization: mean and deviation of each channel, with which all images are normalized: those of a checkpoint
            of another run, by its path, or a pair (mean, std), to go on with weights that were trained with them; None
            for the training images' own. A resumed run goes on with its own ones, which is all that may be given.
        task: what is learned, see `npswin.training.tasks.task.Task`; None for the task of the training data's type:
            classification of an `ImageDataset`.

    Attributes:
        mean, std: of each channel, with which all images are normalized. Those of the training images are computed when
            they are first needed: in `fit`, after the run's folder was found to be usable.
        best_metric: the best value so far of the task's main metric on the test images; None before the first
            evaluation.

    Raises:
        ValueError: an argument that does not fit, named: channels or classes of the data are not the model's, an
            augmentation is not defined for such images, or the precision needs a GPU or another processor. For a file
            it is a WeightFileError.
    """

    def __init__(
        self,
        model: Trainable,
        train_data: Dataset,
        test_data: Dataset,
        config: TrainConfig,
        out: str | os.PathLike[str],
        normalization: str | os.PathLike[str] | Sequence[Any] | None = None,
        task: Task | None = None,
    ) -> None:
        check_instance("config", config, TrainConfig, "a TrainConfig")
        self.task = choose_task(train_data, config) if task is None else check_instance("task", task, Task, "a task")
        self.task.check(model, train_data, test_data, config)
        check_precision(model, config.precision)
        self.model, self.train_data, self.test_data, self.config = model, train_data, test_data, config
        self._normalization = None if normalization is None else given_normalization(normalization, model)
        self.best_metric: float | None = None
        self._best_checksum: str | None = None
        self._task_description = self.task.describe(train_data)
        self._steps_per_epoch = steps_per_epoch(len(train_data), config.batch_size)
        self._out = check_path("out", out).absolute()  # the current folder may change
        self._learner = Learner(model, config, self._steps_per_epoch, self.task)
        # The record of an epoch's last step, until the evaluation adds its results and it is written.
        self._unevaluated_record: dict[str, Any] | None = None
        self._stop_signals = StopSignals()

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel."""
        return self._chosen_normalization()[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel."""
        return self._chosen_normalization()[1]

    def _chosen_normalization(self) -> Normalization:
        if self._normalization is None:
            self._normalization = own_normalization(self.task.channel_statistics(self.train_data))
        return self._normalization

    @cached_property
    def _description(self) -> dict[str, Any]:
        """The run's settings, by which a resumed run is known again."""
        mean, std = self._chosen_normalization()
        return {
            "training": self.config.as_dict(),
            "model": self.model.config,
            "train_data": self.train_data.describe(),
            "test_data": self.test_data.describe(),
            **self._task_description,
            "mean": list(mean),
            "std": list(std),
            "backend": "cuda" if on_gpu(next(iter(self.model.params.values()))) else get_backend(),
        }

    @cached_property
    def _folder(self) -> RunFolder:
        names = record_names(self.task, self.model)
        return RunFolder(self._out, self._description, self._steps_per_epoch, names)

    @property
    def best_accuracy(self) -> float | None:
        """In classification, the best accuracy on the test images so far: `best_metric`."""
        return self.best_metric

    def fit(self, resume: bool = False, repair: bool = False) -> Any:
        """Train to the end of the recipe.

        Args:
            resume: continue from last.safetensors in the run's folder, instead of starting in an empty one. Where a
                run has begun there and not saved a checkpoint, start from the beginning.
            repair: resume, and where a file of the run is missing or damaged, go on with what is left: from the
                previous checkpoint, without lost lines of metrics.jsonl, with new settings in config.json, without the
                best weights so far. Such files stay under other names, as metrics.damaged.jsonl. Otherwise this raises.

        Returns:
            The evaluation on the test images at the end, of the weights that the model then has: the averaged ones
            where the recipe has an average. In classification it is an `Evaluation`.

        Raises:
            ImportError: matplotlib, which draws the run's curves, is not installed.
            RunFolderError: the folder is not empty, or has no run to resume, or one with another recipe, model or data,
                or another process trains in it; or a file is damaged. For a checkpoint it is a WeightFileError, too.
            ValueError: this trainer has trained already, and is not to resume from a checkpoint; or a channel of the
                training images is constant, so that they have no deviation to divide by.
            TrainingInterrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
            NonFiniteError: NaN or infinity; the last checkpoint is from before it.
            RuntimeError: too little memory for a step; the last checkpoint remains.
            OSError: a file could not be written; the last checkpoint remains.
        """
        import_optional("matplotlib.figure")  # raises before training rather than at the first epoch's end
        resume, repair = check_flag("resume", resume) or check_flag("repair", repair), check_flag("repair", repair)
        learner = self._learner
        goes_on = resume and not has_no_more_than_a_beginning(self._out)
        if learner.step and not goes_on:
            hint = "make a new model and a new Trainer, or resume in the run's folder (resume=True)"
            raise ValueError(f"fit: this trainer has done {learner.step} steps already; {hint}")
        check_run_folder(self._out, resume)
        if goes_on and self._normalization is None:
            self._normalization = saved_normalization(self._out)
        self._chosen_normalization()
        tf32_before = allow_tf32(self.config.precision == "tf32")
        try:
            if goes_on:
                state = self._folder.reopen(learner, repair)
                self.best_metric, self._best_checksum = state.best_metric, state.best_checksum
                self._unevaluated_record = state.unevaluated_record
                if repair:
                    self._save()  # so that the run is whole again, whatever happens next
                print_stderr(f"resuming after step {learner.step} of {learner.total_steps}")
            else:
                if resume:
                    print_stderr(f"{self._folder.path}: no checkpoint was saved yet; starting from the beginning")
                self._folder.create()
                self._save()  # so that a folder or disk that cannot hold a checkpoint raises before training
            # NonFiniteError names the tensor
            products = products_in(self.model, self.config.precision)
            with StopSignals() as self._stop_signals, np.errstate(all="ignore"), products:
                result = self._run()
        except _StopTraining:
            assert self._stop_signals.received is not None
            message = f"stopped after step {learner.step} of {learner.total_steps}, saved {self._folder.last}"
            raise TrainingInterrupted(message, self._stop_signals.received) from None
        except NonFiniteError as error:
            raise NonFiniteError(
                f"after step {learner.step}: {error}; {self._folder.last} is from before it"
            ) from error
        except MemoryError as error:
            raise RuntimeError(
                f"after step {learner.step}: too little memory for batches of "
                f"{counted(self.config.batch_size, 'image')} ({error}); take smaller batches (--batch-size, or "
                f"batch_size=) or more micro_batches; {self._folder.last} is from before it"
            ) from error
        finally:
            self._folder.close()
            allow_tf32(tf32_before)
        if learner.ema is not None:
            learner.ema.copy_to_model()
        return result

    def _run(self) -> Any:
        result = None
        try:
            while self._learner.step < self._learner.total_steps or self._unevaluated_record is not None:
                if self._unevaluated_record is None:
                    self._train_epoch()
                result = self._finish_epoch()
            result = result or self._evaluate()
            if self.best_metric is None:  # best.safetensors of a finished run was lost
                self._save_if_best(result)
                self._save()
            return result
        except _StopTraining:
            self._save()
            raise

    def _train_epoch(self) -> None:
        """Do the remaining steps of an epoch, and write their records, except the last one's."""
        learner, config = self._learner, self.config
        epoch, first = divmod(learner.step, self._steps_per_epoch)
        index_batches = list(epoch_batches(len(self.train_data), config.batch_size, config.seed, epoch))
        total, done = sum(map(len, index_batches)), sum(map(len, index_batches[:first]))
        unfinished: list[dict[str, Any]] = []  # records of steps that a GPU may still be computing
        shown_values: dict[str, str] = {}
        like = next(iter(self.model.params.values()))
        loading = closing(self.task.load(self.train_data, index_batches[first:], like, config.seed, epoch))
        with loading as batches, show_progress(f"epoch {epoch + 1}/{config.epochs}", total, done) as progress:
            for step, samples in enumerate(batches, start=first):
                unfinished.append(self._train_step(samples, epoch, step))
                is_last, must_stop = step == len(index_batches) - 1, self._stop_signals.received is not None
                must_save = not is_last and config.checkpoint_every and learner.step % config.checkpoint_every == 0
                # On a GPU, a step's record is written while the next step is computed.
                is_async = isinstance(unfinished[-1]["loss"], AsyncScalar)
                may_stay = 1 if is_async and not (is_last or must_save or must_stop) else 0
                while len(unfinished) > may_stay:
                    record = learner.finish_step(unfinished.pop(0))
                    shown_values = {"loss": f"{record['loss']:.3f}", "lr": f"{record['lr']:.1e}"}
                    if is_last and not unfinished:
                        self._unevaluated_record = record
                    else:
                        self._folder.metrics.append(record)
                progress.advance(len(index_batches[step]), **shown_values)
                if must_save:
                    self._save()
                if must_stop:
                    raise _StopTraining

    def _train_step(self, samples: Any, epoch: int, step: int) -> dict[str, Any]:
        """Step number `step` of an epoch, both from 0; returns its record."""
        rng = batch_rng(self.config.seed, epoch, step)
        normalization, precision = (self.mean, self.std), self.config.precision
        inputs, targets = self.task.prepare(samples, self.model, normalization, precision, rng)
        return {"epoch": epoch + 1, **self._learner.train_step(inputs, targets, seed=int(rng.integers(2**63)))}

    def _finish_epoch(self) -> Any:
        """Evaluate, then write the epoch's last record, checkpoints and curves."""
        assert self._unevaluated_record is not None
        result = self._evaluate()
        self._save_if_best(result)
        values = {metric: float(getattr(result, metric.name)) for metric in self.task.metrics}
        record = {**self._unevaluated_record, **{metric.record_name: value for metric, value in values.items()}}
        self._folder.metrics.append(record)
        self._unevaluated_record = None
        self._save()
        records = self._folder.metrics.records(self._learner.step)
        curves = self._folder.path / "curves.png"
        draw_curves(records, self.train_data.name, curves, self.task.main_metric, self.task.loss_label)
        loss = float(np.mean([one["loss"] for one in records if one["epoch"] == record["epoch"] and "loss" in one]))
        tested = ", ".join(f"test {metric.label_within} {metric.shown(values[metric])}" for metric in values)
        print_stderr(
            f"epoch {record['epoch']}/{self.config.epochs}: mean loss {loss:.3f}, {tested} "
            f"({self.test_data.name}, {counted(len(self.test_data), 'image')})"
        )
        self._raise_if_signalled()
        return result

    def _save_if_best(self, result: Any) -> None:
        metric = self.task.main_metric
        value = float(getattr(result, metric.name))
        if metric.is_better(value, self.best_metric):
            self.best_metric = value
            with self._learner.averaged_weights():
                weights = model_tensors(self.model)
                self._best_checksum = self._folder.save_best(weights, self._learner.step, self._metadata())

    def _evaluate(self) -> Any:
        def each_batch(images: int) -> None:
            progress.advance(images)
            self._raise_if_signalled()

        normalization, precision = (self.mean, self.std), self.config.precision
        with self._learner.averaged_weights(), show_progress("evaluation", len(self.test_data)) as progress:
            return self.task.evaluate(self.model, self.test_data, normalization, precision, each_batch)

    def _raise_if_signalled(self) -> None:
        if self._stop_signals.received is not None:
            raise _StopTraining

    def _save(self) -> None:
        if self._learner.step:
            require_finite_weights(self.model, sync_gpu=True)
        state = RunState(
            self._learner.step,
            self.best_metric,
            self._unevaluated_record,
            self._folder.metrics.crc32,
            self._best_checksum,
        )
        self._folder.save_last(self._learner, state, self._metadata())

    def _metadata(self) -> dict[str, str]:
        """Metadata of the weight files: the model's config, and the descriptions of data and task."""
        names = ("train_data", *self._task_description, "mean", "std")
        about = {name: json.dumps(self._description[name]) for name in names}
        return {"config": json.dumps(self.model.config), **about}
