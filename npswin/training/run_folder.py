"""The files of a run: its settings, a line of metrics for each step, and checkpoints."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from npswin.devices import to_host
from npswin.files import FileError, write_atomically
from npswin.training.environment import import_optional
from npswin.training.learner import Learner
from npswin.types import Array
from npswin.weights import WeightFileError, load_tensors, save_tensors

_LOCK = ".lock"
_STATE_PREFIX = "training/"  # of the names of all tensors in a checkpoint but the weights


class RunFolderError(FileError):
    """A folder that this run cannot use; the message has its path and the reason."""


class RunFolder:
    """config.json, metrics.jsonl, last.safetensors and best.safetensors of one run.

    While a process trains in it, the system locks `.lock`, and releases it when the process ends, however it ends.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.last = self.path / "last.safetensors"
        self.best = self.path / "best.safetensors"
        self._log: BinaryIO | None = None
        self._lock: Any = None

    def has_no_more_than_a_beginning(self) -> bool:
        """Whether the folder is there and holds nothing, or what a run writes before its first checkpoint.

        That is left where the process was killed, or the disk full, so early.
        """
        if not self.path.is_dir():
            return False
        names = {path.name for path in self.path.iterdir()} - {_LOCK} - {path.name for path in self._partial_files()}
        return (
            names <= {self.config.name, self.metrics.name}
            and (self.config.name not in names or _is_description(self.config))
            and (self.metrics.name not in names or self.metrics.stat().st_size == 0)
        )

    def _partial_files(self) -> list[Path]:
        """Files that a process has not finished writing: see `write_atomically`."""
        files = self.config, self.metrics, self.last, self.best
        return [path for file in files for path in self.path.glob(f".{file.name}.*.partial")]

    def create(self, description: Mapping[str, Any]) -> None:
        """Make the folder, unless it has no more than a beginning, and write config.json.

        Raises:
            RunFolderError: the folder holds something else, or another process trains in it.
            OSError: it cannot be made or written to.
        """
        self._require_no_more_than_a_beginning()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"cannot be made a run's folder ({error.strerror})", str(self.path)) from error
        self._acquire_lock()
        self._require_no_more_than_a_beginning()  # another process may have begun before the lock was acquired
        text = json.dumps(description, indent=2) + "\n"
        write_atomically(self.config, lambda file: file.write(text.encode()))
        self._open_log(lines=0)

    def _require_no_more_than_a_beginning(self) -> None:
        if self.path.is_dir() and not self.has_no_more_than_a_beginning():
            hint = "resume the run in it (--resume, or resume=True)" if self.last.is_file() else "delete it"
            raise RunFolderError(f"{self.path}: not empty; {hint}, or choose another folder (--out, or out=)")

    def _acquire_lock(self) -> None:
        """Keep other processes out until `close`, and remove what dead ones have not finished writing."""
        filelock = import_optional("filelock")
        lock = filelock.FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            hint = "wait until it ends, or choose another folder (--out, or out=)"
            raise RunFolderError(f"{self.path}: another process is training in this folder; {hint}") from error
        except NotImplementedError:  # a file system without locks
            pass
        self._lock = lock
        for path in self._partial_files():
            path.unlink(missing_ok=True)

    def reopen(self, description: Mapping[str, Any], learner: Learner) -> dict[str, Any]:
        """Restore the run's last checkpoint, and remove the lines of metrics.jsonl after it.

        Args:
            description: of this run, compared with the one in config.json.
            learner: set to the checkpoint's weights and state.

        Returns:
            The state that was given to `save_last`.

        Raises:
            RunFolderError: there is no run, or its description differs, or metrics.jsonl has too few lines, or another
                process trains in the folder.
            WeightFileError: the checkpoint is damaged.
            OSError: the folder cannot be read or written to.
        """
        if not (self.config.is_file() and self.last.is_file()):
            raise RunFolderError(f"{self.path}: no run to resume here (it needs config.json and last.safetensors)")
        self._acquire_lock()
        try:
            text = self.config.read_bytes()
            found = json.loads(text)
        except ValueError as error:
            raise RunFolderError(f"{self.config}: not JSON ({error})") from error
        if differences := _differences(_comparable(found), _comparable(json.loads(json.dumps(description)))):
            hint = "use its settings, or choose another folder (--out, or out=)"
            raise RunFolderError(f"{self.path}: holds a run that differs in {'; '.join(differences)}; {hint}")
        tensors, metadata = load_tensors(self.last)
        state_names = [name for name in tensors if name.startswith(_STATE_PREFIX)]
        training_state = {name.removeprefix(_STATE_PREFIX): tensors.pop(name) for name in state_names}
        try:
            state: dict[str, Any] = json.loads(metadata["training"])
            learner.restore(tensors, training_state, state["step"])
        except KeyError as error:
            raise WeightFileError(f"{self.last}: no checkpoint of a run (its metadata lacks {error})") from error
        except ValueError as error:
            raise WeightFileError(f"{self.last}: no checkpoint of this run ({error})") from error
        write_atomically(self.config, lambda file: file.write(text))  # raises where the folder cannot be written to
        self._open_log(lines=state["step"] - (state["pending"] is not None))
        return state

    def _open_log(self, lines: int) -> None:
        self._log = open(self.metrics, "a+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._log.seek(0)
        found = self._log.read().split(b"\n")[:-1][:lines]
        if len(found) < lines:
            self.close()
            raise RunFolderError(f"{self.metrics}: has {len(found)} lines, but the checkpoint needs {lines}")
        self._log.truncate(sum(len(line) + 1 for line in found))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; where it cannot be written, the file is unchanged and an OSError is raised."""
        assert self._log is not None
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._log.fileno()).st_size
        try:
            if self._log.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._log.truncate(end)
            raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(self.metrics)) from error

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return [json.loads(line) for line in self.metrics.read_bytes().splitlines()]

    def save_last(self, learner: Learner, state: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        """Write last.safetensors: the weights under their own names, the training state under `training/`.

        Args:
            learner: its weights and training state are written.
            state: "step", "pending" and further values of the run; as JSON can hold it.
            metadata: further text for the file's header.
        """
        assert self._log is not None
        os.fsync(self._log.fileno())  # so that a checkpoint on disk never has more steps than the metrics
        training_state = {_STATE_PREFIX + name: tensor for name, tensor in learner.training_state().items()}
        tensors = {name: to_host(tensor) for name, tensor in {**learner.model.params, **training_state}.items()}
        save_tensors(self.last, tensors, {**metadata, "training": json.dumps(state)})

    def save_best(self, weights: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
        """Write best.safetensors, weights alone."""
        save_tensors(self.best, {name: to_host(tensor) for name, tensor in weights.items()}, metadata)

    def close(self) -> None:
        """Close metrics.jsonl, and let other processes use the folder."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _is_description(config: Path) -> bool:
    """Whether a file is a run's config.json."""
    try:
        found = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"training", "model", "train_data"} <= found.keys()


def _comparable(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description without precision and backend, since a run may be resumed on another device."""
    training = {name: value for name, value in description.get("training", {}).items() if name != "precision"}
    return {**description, "training": training, "backend": None}


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The fields in which two descriptions differ, each with both its values."""
    differences = []
    for name in sorted(found.keys() | wanted.keys()):
        old, new = found.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            differences += _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            differences.append(f"{prefix}{name} (it has {old!r}, this one {new!r})")
    return differences
