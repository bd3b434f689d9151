"""metrics.jsonl: a line of JSON for each training step."""

import errno
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from npswin.checks import check_number
from npswin.files import open_regular, shortened, shown_path, write_atomically
from npswin.training.errors import RunFolderError
from npswin.training.tasks.task import Task

LONGEST_LINE = 2**16  # bytes
MOST_SKIPPED = 2**24  # bytes of a line that is too long, before the rest of the file is given up


class RecordNames(NamedTuple):
    """The names of a task's numbers in the records.

    Attributes:
        losses: of each step; the first is "loss".
        metrics: of an evaluation, such as "test_accuracy".
    """

    losses: tuple[str, ...]
    metrics: tuple[str, ...]


def record_names(task: Task, model: Any) -> RecordNames:
    """The names in the records of a run of this task and model."""
    return RecordNames(task.loss_names(model), tuple(metric.record_name for metric in task.metrics))


class MetricsFile:
    """The records of a run's steps, in their order.

    A line has "step" (from 1), "epoch" (from 1), "loss" and its terms, if the task has several, "lr" and
    "gradient_norm"; and at an epoch's last step the task's metrics, such as "test_loss" and "test_accuracy". Of a step
    whose line was damaged and repaired, only "step" and "epoch" are known.

    Args:
        path: the file.
        steps_per_epoch: number of steps in an epoch.
        names: of the task's numbers.

    Attributes:
        crc32: checksum of the lines that were kept and written, while the file is open for `append`.
    """

    def __init__(self, path: Path, steps_per_epoch: int, names: RecordNames) -> None:
        self.path = path
        self._steps_per_epoch = steps_per_epoch
        self._numbers, self._evaluation = (*names.losses, "lr", "gradient_norm"), names.metrics
        self._file: BinaryIO | None = None
        self._length = self.crc32 = 0

    def open(self, lines: int) -> None:
        """Keep the first lines, remove all others, and open the file for `append`.

        The file is written anew: another name of the old one, such as in a copy of the folder made of links, keeps its
        lines.

        Raises:
            RunFolderError: it is no regular file, or has too few lines.
            OSError: it cannot be written to.
        """
        self._length = self.crc32 = 0

        def write(file: BinaryIO) -> None:
            for number, line in enumerate(self._read_lines(lines), 1):
                self._require_complete(number, line)
                file.write(line)
                self._length, self.crc32 = self._length + len(line), zlib.crc32(line, self.crc32)

        write_atomically(self.path, write)
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed by `close`)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line; where it cannot be written, the file is unchanged and an OSError is raised."""
        assert self._file is not None
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(end)
            raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(self.path)) from error
        self._length, self.crc32 = self._length + len(line), zlib.crc32(line, self.crc32)

    def sync(self) -> None:
        """Wait until the disk has all lines.

        Raises:
            RunFolderError: the file at `path` is another one by now, or has other lines: the folder was moved, or
                another process writes to it.
        """
        assert self._file is not None
        os.fsync(self._file.fileno())
        own = os.fstat(self._file.fileno())
        try:
            is_own = os.path.samestat(own, os.stat(self.path))
        except OSError:
            is_own = False
        if not is_own or own.st_size != self._length:
            what = "was moved, removed or changed by another program while the run was training"
            raise RunFolderError(f"{shown_path(self.path)}: {what}; nothing more is written there")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def records(self, lines: int, crc32: int | None = None) -> list[dict[str, Any]]:
        """The first records, checked.

        Args:
            lines: their number.
            crc32: of these lines; None where it is not known.

        Raises:
            RunFolderError: a line is missing or damaged or of another step, which the message names; or all are as they
                should be, but not those of this checksum.
        """
        records, found = [], 0
        for number, line in enumerate(self._read_lines(lines), 1):
            records.append(self._record(number, line))
            found = zlib.crc32(line, found)
        if crc32 is not None and found != crc32:
            raise RunFolderError(
                f"{shown_path(self.path)}: its first {lines} lines are not those that the checkpoint was saved with"
            )
        return records

    def repair(self, lines: int, crc32: int | None = None) -> int:
        """Rewrite the first lines: in place of those that are missing or damaged, with the step's number alone.

        If all seem to be right and the checksum says that they are not, none of them can be told to be right.

        Args:
            lines: their number.
            crc32: of these lines; None where it is not known.

        Returns:
            How many were lost.
        """
        found = list(self._read_lines(lines)) if self._is_readable() else [b""] * lines
        is_right = [self._is_right(number, line) for number, line in enumerate(found, 1)]
        if all(is_right) and crc32 is not None and zlib.crc32(b"".join(found)) != crc32:
            is_right = [False] * lines
        unknown = [{"epoch": self._epoch(number), "step": number} for number in range(1, lines + 1)]
        repaired = [
            line if right else json.dumps(record).encode() + b"\n"
            for line, right, record in zip(found, is_right, unknown, strict=True)
        ]
        write_atomically(self.path, lambda file: file.writelines(repaired))
        return is_right.count(False)

    def _is_readable(self) -> bool:
        try:
            open_regular(self.path, RunFolderError).close()
        except RunFolderError:
            return False
        return True

    def _is_right(self, number: int, line: bytes) -> bool:
        try:
            self._record(number, line)
        except RunFolderError:
            return False
        return True

    def ends_epoch(self, step: int) -> bool:
        """Whether a step, from 1, is the last one of its epoch."""
        return step > 0 and step % self._steps_per_epoch == 0

    def check_record(self, number: int, record: Any, is_evaluated: bool) -> None:
        """Raise a ValueError unless this can be the record of a step.

        Args:
            number: the step's number, from 1.
            record: the record.
            is_evaluated: whether it has to have the results of an evaluation.
        """
        if not isinstance(record, dict):
            raise ValueError(f"expected an object with step, epoch, {', '.join(self._numbers)}")
        for name, expected in (("step", number), ("epoch", self._epoch(number))):
            if record.get(name) != expected or isinstance(record[name], bool):
                raise ValueError(f"{name}: got {shortened(repr(record.get(name)), 80)}, expected {expected}")
        if record.keys() == {"step", "epoch"}:
            return
        for name in self._numbers + self._evaluation * is_evaluated:
            if not _is_finite(record.get(name)):
                raise ValueError(f"{name}: got {shortened(repr(record.get(name)), 80)}, expected a finite number")

    def _epoch(self, number: int) -> int:
        return (number - 1) // self._steps_per_epoch + 1

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        self._require_complete(number, line)
        try:
            record = json.loads(line)
            self.check_record(number, record, is_evaluated=self.ends_epoch(number))
        except (ValueError, RecursionError) as error:
            reason = f"not the record of a step ({shortened(str(error))})"
            raise RunFolderError(f"{shown_path(self.path)}, line {number}: {reason}") from error
        return record

    def _require_complete(self, number: int, line: bytes) -> None:
        if len(line) == LONGEST_LINE:
            raise RunFolderError(f"{shown_path(self.path)}, line {number}: longer than {LONGEST_LINE} bytes")
        if not line.endswith(b"\n"):
            has = f"has {number - 1} lines, but the checkpoint needs more"
            raise RunFolderError(f"{shown_path(self.path)}: {has}")

    def _read_lines(self, lines: int) -> Iterator[bytes]:
        """The first lines. One that is too long is cut; after the file's end they are empty."""
        if not lines and not os.path.lexists(self.path):
            return
        with open_regular(self.path, RunFolderError) as file:
            for _ in range(lines):
                line = file.readline(LONGEST_LINE)
                yield line
                skipped = 0
                while len(line) == LONGEST_LINE and not line.endswith(b"\n") and skipped < MOST_SKIPPED:
                    line, skipped = file.readline(LONGEST_LINE), skipped + LONGEST_LINE
                if skipped >= MOST_SKIPPED:
                    file.seek(0, os.SEEK_END)


def _is_finite(value: Any) -> bool:
    try:
        check_number("value", value)
    except ValueError:
        return False
    return True
