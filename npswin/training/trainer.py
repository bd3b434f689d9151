"""The training loop: epochs, evaluations and checkpoints, stopped and resumed to the bit."""

import json
import os
from typing import Any

import numpy as np

from npswin.backends import allow_tf32, get_backend
from npswin.data import ImageDataset, batch_rng, channel_statistics, epoch_batches, steps_per_epoch
from npswin.devices import on_gpu
from npswin.training.arriving import Arriving
from npswin.training.augment import augment
from npswin.training.config import TrainConfig
from npswin.training.evaluate import Evaluation, evaluate
from npswin.training.feed import feed
from npswin.training.finite import NonFiniteError, require_finite_weights
from npswin.training.inputs import check_data, describe_data
from npswin.training.interrupts import Interrupts, TrainingInterrupted
from npswin.training.learner import Learner, settled
from npswin.training.pictures import draw_curves
from npswin.training.progress import progress, say
from npswin.training.run_folder import RunFolder
from npswin.training.trainable import Trainable, as_input
from npswin.types import Array


class _Stop(Exception):
    """Leave the loop; the state is whole."""


class Trainer:
    """Trains a model on images and leaves a folder that tells all about it.

        trainer = Trainer(model, train_data, test_data, TrainConfig(epochs=10), "runs/first")
        result = trainer.fit()

    The folder gets config.json, metrics.jsonl (a line a step), last.safetensors (the weights, and under `training/` all
    else that is needed to go on), best.safetensors (the weights that did best on the test images: averaged ones where
    the recipe has an average) and curves.png.

    Which images a step sees and what it draws depend on (seed, epoch, step) alone. A run that was stopped or that
    crashed, and then goes on by `fit(resume=True)` with a model of the same configuration, therefore comes to the same
    weights and the same metrics, to the bit, as one that never stopped.

    Args:
        model: trained in place.
        train_data: images to learn from.
        test_data: images to evaluate on after each epoch.
        config: the recipe.
        out: the run's folder.

    Attributes:
        mean, std: of the training images' channels, with which all images are normalized.
        best_accuracy: on the test images, so far; None before the first evaluation.

    Raises:
        ValueError: the data do not fit the model.
    """

    def __init__(
        self,
        model: Trainable,
        train_data: ImageDataset,
        test_data: ImageDataset,
        config: TrainConfig,
        out: str | os.PathLike[str],
    ) -> None:
        check_data(model, train_data, test_data)
        is_on_gpu = on_gpu(next(iter(model.params.values())))
        if config.precision != "full" and not (is_on_gpu and model.dtype == np.float32):
            raise ValueError(
                f"precision: got {config.precision!r}, which takes a model in float32 on a GPU: model.to('cuda')"
            )
        self.model, self.train_data, self.test_data, self.config = model, train_data, test_data, config
        self.mean, self.std = channel_statistics(train_data.images)
        self.best_accuracy: float | None = None
        self._folder = RunFolder(out)
        self._description = {
            "training": config.as_dict(),
            "model": model.config,
            "train_data": describe_data(train_data),
            "test_data": describe_data(test_data),
            "class_names": list(train_data.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "backend": "cuda" if is_on_gpu else get_backend(),
        }
        self._steps_per_epoch = steps_per_epoch(len(train_data), config.batch_size)
        self._learner = Learner(model, config, self._steps_per_epoch)
        # The record of an epoch's last step, from the step until the evaluation that completes it.
        self._pending: dict[str, Any] | None = None
        self._interrupts = Interrupts()

    def fit(self, resume: bool = False) -> Evaluation:
        """Train to the end of the recipe.

        Args:
            resume: go on from last.safetensors in the run's folder, instead of starting in an empty one.

        Returns:
            The evaluation on the test images at the end, of the weights that the model then has: the averaged ones
            where the recipe has an average.

        Raises:
            RunFolderError: the folder is not as it should be, or holds a run with another recipe, model or data.
            TrainingInterrupted: Ctrl-C or SIGTERM; everything is saved.
            NonFiniteError: NaN or infinity; the last good checkpoint is kept.
            RuntimeError: too little memory for a step; the last checkpoint is kept.
            WeightFileError: the checkpoint to resume from is damaged.
            OSError: a file could not be written; the last checkpoint is kept.
        """
        learner = self._learner
        tf32_before = allow_tf32(self.config.precision == "tf32")
        try:
            if resume:
                state = self._folder.reopen(self._description, learner)
                self.best_accuracy, self._pending = state["best_accuracy"], state["pending"]
                say(f"going on after step {learner.step} of {learner.total_steps}")
            else:
                self._folder.create(self._description)
                self._save()  # a folder or a disk that cannot take a checkpoint is found out now
            with Interrupts() as self._interrupts, np.errstate(all="ignore"):  # what is not finite is found by name
                result = self._run()
        except _Stop:
            assert self._interrupts.requested is not None
            message = f"stopped after step {learner.step} of {learner.total_steps}, saved {self._folder.last}"
            raise TrainingInterrupted(message, self._interrupts.requested) from None
        except NonFiniteError as error:
            raise NonFiniteError(
                f"after step {learner.step}: {error}; {self._folder.last} is from before it"
            ) from error
        except MemoryError as error:
            raise RuntimeError(
                f"after step {learner.step}: too little memory for batches of {self.config.batch_size} images "
                f"({error}); take a smaller batch_size or more micro_batches; {self._folder.last} is from before it"
            ) from error
        finally:
            self._folder.close()
            allow_tf32(tf32_before)
        if learner.ema is not None:
            learner.ema.settle()
        return result

    def _run(self) -> Evaluation:
        result = None
        try:
            while self._learner.step < self._learner.total_steps or self._pending is not None:
                if self._pending is None:
                    self._train_epoch()
                result = self._finish_epoch()
            return result or self._evaluate()
        except _Stop:
            self._save()
            raise

    def _train_epoch(self) -> None:
        """The steps of an epoch that are not done yet. The last one's record is left pending."""
        learner, config = self._learner, self.config
        epoch, first = divmod(learner.step, self._steps_per_epoch)
        batches = list(epoch_batches(len(self.train_data), config.batch_size, config.seed, epoch))
        total, done = sum(map(len, batches)), sum(map(len, batches[:first]))
        waiting: list[dict[str, Any]] = []  # records of steps that a GPU may not have done yet
        values: dict[str, str] = {}
        coming = feed(self.train_data, batches[first:], next(iter(self.model.params.values())))
        with progress(f"epoch {epoch + 1}/{config.epochs}", total, done) as shown:
            for within, (images, labels) in enumerate(coming, start=first):
                waiting.append(self._train_step(images, labels, epoch, within))
                is_last, asked = within == len(batches) - 1, self._interrupts.requested is not None
                is_due = not is_last and config.checkpoint_every and learner.step % config.checkpoint_every == 0
                may_wait = isinstance(waiting[-1]["loss"], Arriving) and not (is_last or is_due or asked)
                while len(waiting) > may_wait:
                    record = settled(waiting.pop(0), learner)
                    values = {"loss": f"{record['loss']:.3f}", "rate": f"{record['lr']:.1e}"}
                    if is_last and not waiting:
                        self._pending = record
                    else:
                        self._folder.append(record)
                shown.advance(len(labels), **values)
                if is_due:
                    self._save()
                if asked:
                    raise _Stop

    def _train_step(self, images: Array, labels: Array, epoch: int, within: int) -> dict[str, Any]:
        rng = batch_rng(self.config.seed, epoch, within)
        inputs, targets = augment(
            images,
            labels,
            self.model.num_classes,
            self.config,
            self.mean,
            self.std,
            self.model.dtype,
            rng,
        )
        inputs = as_input(self.model, inputs, self.config.precision)
        return {"epoch": epoch + 1, **self._learner.learn(inputs, targets, seed=int(rng.integers(2**63)))}

    def _finish_epoch(self) -> Evaluation:
        """Evaluate, then write what is known of the epoch: metrics, checkpoints and curves."""
        assert self._pending is not None
        result = self._evaluate()
        if self.best_accuracy is None or result.accuracy > self.best_accuracy:
            self.best_accuracy = result.accuracy
            with self._learner.averaged():
                self._folder.save_best(self.model.params, self._metadata())
        record = {**self._pending, "test_loss": result.loss, "test_accuracy": result.accuracy}
        self._folder.append(record)
        self._pending = None
        self._save()
        records = self._folder.records()
        draw_curves(records, self.train_data.name, self._folder.path / "curves.png")
        loss = float(np.mean([one["loss"] for one in records if one["epoch"] == record["epoch"]]))
        say(
            f"epoch {record['epoch']}/{self.config.epochs}: mean loss {loss:.3f}, test loss {result.loss:.3f}, "
            f"test accuracy {100 * result.accuracy:.2f} % ({self.test_data.name}, {result.images} images)"
        )
        self._stop_if_asked()
        return result

    def _evaluate(self) -> Evaluation:
        def each_batch(images: int) -> None:
            shown.advance(images)
            self._stop_if_asked()

        with self._learner.averaged(), progress("evaluation", len(self.test_data)) as shown:
            return evaluate(
                self.model,
                self.test_data,
                self.mean,
                self.std,
                each_batch=each_batch,
                precision=self.config.precision,
            )

    def _stop_if_asked(self) -> None:
        if self._interrupts.requested is not None:
            raise _Stop

    def _save(self) -> None:
        if self._learner.step:
            require_finite_weights(self.model, waits=True)
        state = {"step": self._learner.step, "best_accuracy": self.best_accuracy, "pending": self._pending}
        self._folder.save_last(self._learner, state, self._metadata())

    def _metadata(self) -> dict[str, str]:
        """What a weight file of this run says about itself, beside the model's config."""
        about = {name: json.dumps(self._description[name]) for name in ("train_data", "class_names", "mean", "std")}
        return {"config": json.dumps(self.model.config), **about}
