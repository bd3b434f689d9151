"""The folder of a run: its settings, a line of metrics for each step, and checkpoints."""

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from npswin.files import read_json, shown_path, temporary_path, temporary_paths, write_atomically
from npswin.training.checkpoint import (
    Checkpoint,
    RunState,
    check_best,
    comparable_pair,
    differences,
    read_checkpoint,
    save_best,
    save_checkpoint,
)
from npswin.training.environment import import_optional
from npswin.training.errors import CheckpointError, RunFolderError
from npswin.training.learner import Learner
from npswin.training.metrics_file import MetricsFile, RecordNames
from npswin.training.normalization import NAMES, Normalization, read_normalization
from npswin.training.terminal import print_stderr
from npswin.types import Array
from npswin.weights import WeightFileError

CONFIG, METRICS = "config.json", "metrics.jsonl"
LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
_LOCK = ".lock"
LONGEST_CONFIG = 2**24  # bytes
_REPAIR = "--repair, or repair=True,"


def check_run_folder(path: Path, resume: bool) -> None:
    """Raise unless a run can begin in a folder, or be resumed there; no checkpoint is read, and nothing is written.

    Args:
        path: the folder.
        resume: whether a run in it is to be resumed, or started again where it has saved no checkpoint.

    Raises:
        RunFolderError: the folder holds something else, or there is no run to resume.
        OSError: there is a file where the folder should be.
    """
    if has_no_more_than_a_beginning(path):
        return
    has_checkpoint = (path / LAST).is_file() or (path / PREVIOUS).is_file()
    if resume:
        if not has_checkpoint:
            raise RunFolderError(f"{shown_path(path)}: no run to resume here (it has no {LAST})")
        return
    if path.is_dir():
        hint = "resume the run in it (--resume, or resume=True), or " if has_checkpoint else ""
        raise RunFolderError(f"{shown_path(path)}: not empty; {hint}choose another folder (--out, or out=)")
    if there := next((one for one in (path, *path.parents) if os.path.lexists(one) and not one.is_dir()), None):
        raise NotADirectoryError(errno.ENOTDIR, f"cannot be a run's folder, since {there} is no folder", str(path))


def has_no_more_than_a_beginning(path: Path) -> bool:
    """Whether a folder is there and holds nothing, or what a run writes before its first checkpoint.

    That is left where the process was killed, or the disk full, so early.
    """
    if not path.is_dir():
        return False
    config, metrics = path / CONFIG, path / METRICS
    unfinished = {one.name for one in _unfinished_files(path)}
    names = {one.name for one in path.iterdir()} - {_LOCK} - unfinished
    return (
        names <= {config.name, metrics.name}
        and (config.name not in names or _is_description(config))
        and (metrics.name not in names or (metrics.is_file() and metrics.stat().st_size == 0))
    )


def saved_normalization(path: Path) -> Normalization | None:
    """Mean and deviation of the run in a folder; None if none of its checkpoints can be read."""
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(WeightFileError):
            return read_normalization(path / name)
    return None


def _unfinished_files(path: Path) -> list[Path]:
    return [file for name in (CONFIG, METRICS, LAST, PREVIOUS, BEST) for file in temporary_paths(path / name)]


class RunFolder:
    """config.json, metrics.jsonl, last.safetensors, previous.safetensors and best.safetensors of one run.

    While a process trains in it, the system locks `.lock`, and releases it when the process ends, however it ends.

    Args:
        path: the folder.
        description: the run's settings, as JSON can hold them. What is in the folder has to be of the same run.
        steps_per_epoch: number of steps in an epoch.
        names: of the task's numbers in the records.
    """

    def __init__(
        self, path: str | os.PathLike[str], description: Mapping[str, Any], steps_per_epoch: int, names: RecordNames
    ) -> None:
        self.path = Path(path).absolute()  # the current folder may change
        self.config = self.path / CONFIG
        self.last = self.path / LAST
        self.previous = self.path / PREVIOUS
        self.best = self.path / BEST
        self.metrics = MetricsFile(self.path / METRICS, steps_per_epoch, names)
        self._description = description
        self._lock: Any = None

    def create(self) -> None:
        """Make the folder, unless it has no more than a beginning, and write config.json.

        Raises:
            RunFolderError: the folder holds something else, or another process trains in it.
            OSError: it cannot be made or written to.
        """
        check_run_folder(self.path, resume=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"cannot be made a run's folder ({error.strerror})", str(self.path)) from error
        self._acquire_lock()
        check_run_folder(self.path, resume=False)  # another process may have begun before the lock was acquired
        self._write_config()
        self.metrics.open(lines=0)

    def _acquire_lock(self) -> None:
        """Keep other processes out until `close`, and remove what dead ones have not finished writing."""
        filelock = import_optional("filelock")
        lock = filelock.FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            hint = "wait until it ends, or choose another folder (--out, or out=)"
            raise RunFolderError(
                f"{shown_path(self.path)}: another process is training in this folder; {hint}"
            ) from error
        except NotImplementedError:  # a file system without locks
            pass
        self._lock = lock
        for path in _unfinished_files(self.path):
            path.unlink(missing_ok=True)

    def reopen(self, learner: Learner, repair: bool = False) -> RunState:
        """Restore the run's last checkpoint, and remove the lines of metrics.jsonl after it.

        Every file is checked before anything is changed. Files that are repaired or replaced stay under other names,
        such as metrics.damaged.jsonl.

        Args:
            learner: set to the checkpoint's weights and state.
            repair: whether to go on where a file is missing or damaged: from the previous checkpoint where the last one
                is; with a new config.json; without the lines of metrics.jsonl that are lost; and without
                best.safetensors until the next evaluation. Otherwise this raises.

        Returns:
            How far the run had come.

        Raises:
            RunFolderError: there is no run, or its description differs, or a file is missing or damaged, or another
                process trains in the folder. For checkpoints it is a WeightFileError, too.
            OSError: the folder cannot be written to.
        """
        check_run_folder(self.path, resume=True)
        self._acquire_lock()
        config_error = self._config_error(repair)
        checkpoint, errors = self._choose_checkpoint(learner, repair)
        run_state = checkpoint.run_state
        best_error = self._best_error(run_state, learner, repair)
        for message in dict.fromkeys(filter(None, (config_error, *map(str, errors), best_error))):
            print_stderr(f"repairing: {message}")
        if config_error:
            _set_aside(self.config)
        if any(not isinstance(error, CheckpointError) for error in errors):
            _set_aside(self.metrics.path)
            if lost := self.metrics.repair(run_state.lines, run_state.metrics_crc32):
                print_stderr(f"{self.metrics.path}: the records of {lost} of {run_state.lines} steps are lost")
        if checkpoint.path != self.last:
            print_stderr(f"{self.last}: missing or set aside; going on from {checkpoint.path.name}")
            _set_aside(self.last)
            self.last.unlink(missing_ok=True)  # else it would become previous.safetensors
        if os.path.lexists(self.previous) and not self.previous.is_file():
            _set_aside(self.previous)
            self.previous.unlink(missing_ok=True)
        if best_error:
            print_stderr(
                f"{self.best}: the best weights so far are lost; from now on the best of those to come are kept"
            )
            _set_aside(self.best)
            self.best.unlink(missing_ok=True)
            run_state = replace(run_state, best_metric=None, best_checksum=None)
        self._write_config()  # raises where the folder cannot be written to
        learner.restore(checkpoint.weights, checkpoint.training_state, run_state.step)
        self.metrics.open(run_state.lines)
        return run_state

    def _config_error(self, repair: bool) -> str:
        """What is wrong in config.json, where that is to be repaired, else it is raised; empty where it is whole."""
        try:
            found = read_json(self.config, RunFolderError, LONGEST_CONFIG)
            if not isinstance(found, dict):
                raise RunFolderError(f"{shown_path(self.config)}: expected an object")
        except RunFolderError as error:
            problem = str(error)
        else:
            old, wanted = comparable_pair(found, self._description)
            if different := differences(old, wanted):
                hint = "use its settings, or choose another folder (--out, or out=)"
                if {name for name in wanted if old.get(name) != wanted[name]} <= set(NAMES):
                    hint += (
                        "; without --mean, --std, --weights and --backbone, or normalization=, it goes on with its own"
                    )
                run = f"holds a run that differs in {'; '.join(different)}"
                raise RunFolderError(f"{shown_path(self.path)}: {run}; {hint}")
            return ""
        if not repair:
            raise RunFolderError(f"{problem}; {_REPAIR} writes it anew if the checkpoint is of this run")
        return problem

    def _choose_checkpoint(self, learner: Learner, repair: bool) -> tuple[Checkpoint, list[RunFolderError]]:
        """The checkpoint to go on from, and what is wrong with those after it, or with metrics.jsonl."""
        readable = whole = None
        errors: list[RunFolderError] = []
        for path in (self.last, self.previous):
            if not path.exists():  # last.safetensors, where the system cannot link files: see `_keep_previous`
                continue
            try:
                checkpoint = read_checkpoint(path, learner, self._description, self.metrics)
                readable = readable or checkpoint
                self.metrics.records(checkpoint.run_state.lines, checkpoint.run_state.metrics_crc32)
            except RunFolderError as error:
                errors.append(error)
            else:
                whole = checkpoint
                break
        chosen = whole or readable
        if chosen is None or (errors and not repair):
            hint = "" if chosen is None else f"; {_REPAIR} goes on after step {chosen.run_state.step}"
            raise type(errors[0])(f"{errors[0]}{hint}") from errors[0]
        return chosen, errors

    def _best_error(self, run_state: RunState, learner: Learner, repair: bool) -> str:
        """What is wrong with best.safetensors, where that is to be repaired, else it is raised; empty if nothing is."""
        if run_state.best_metric is None:
            return ""
        try:
            check_best(self.best, run_state, learner, self._description)
        except CheckpointError as error:
            if repair:
                return str(error)
            raise type(error)(f"{error}; {_REPAIR} goes on without it until the next evaluation") from error
        return ""

    def _write_config(self) -> None:
        text = json.dumps(self._description, indent=2) + "\n"
        write_atomically(self.config, lambda file: file.write(text.encode()))

    def save_last(self, learner: Learner, run_state: RunState, metadata: Mapping[str, str]) -> None:
        """Write last.safetensors; the one before it becomes previous.safetensors.

        Args:
            learner: its weights and training state are written.
            run_state: how far the run has come.
            metadata: further text for the file's header.
        """
        self.metrics.sync()  # a checkpoint on disk never has more steps than the metrics, and goes to the run's folder
        if self.last.exists():
            self._keep_previous()
        save_checkpoint(self.last, learner, run_state, self._description, metadata)

    def _keep_previous(self) -> None:
        """Give last.safetensors the name previous.safetensors as well, until the next one takes its own."""
        temporary = temporary_path(self.previous)
        try:
            os.link(os.path.realpath(self.last), temporary)
            os.replace(temporary, self.previous)
        except OSError:  # a file system without links
            temporary.unlink(missing_ok=True)
            os.replace(self.last, self.previous)

    def save_best(self, weights: Mapping[str, Array], step: int, metadata: Mapping[str, str]) -> str:
        """Write best.safetensors, weights alone; returns its checksum.

        Args:
            weights: parameters and buffers, by name.
            step: after which the run had them.
            metadata: further text for the file's header.
        """
        self.metrics.sync()  # raises where the folder is no longer this run's
        return save_best(self.best, weights, step, self._description, metadata)

    def close(self) -> None:
        """Close metrics.jsonl, and let other processes use the folder."""
        self.metrics.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _set_aside(path: Path) -> None:
    """Give a file that is to be replaced another name as well, and what is no regular file another name instead."""
    if not os.path.lexists(path):
        return
    names = (path.with_name(f"{path.stem}.damaged{number or ''}{path.suffix}") for number in count())
    other = next(name for name in names if not os.path.lexists(name))
    if path.is_file() and not path.is_symlink():  # through a link, what it leads to would be overwritten
        with contextlib.suppress(OSError):  # a file system without hard links
            os.link(path, other)
            return
    os.replace(path, other)


def _is_description(config: Path) -> bool:
    """Whether a file is a run's config.json."""
    try:
        found = read_json(config, RunFolderError, LONGEST_CONFIG)
    except RunFolderError:
        return False
    return isinstance(found, dict) and {"training", "model", "train_data"} <= found.keys()
