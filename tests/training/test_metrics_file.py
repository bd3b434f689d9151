"""metrics.jsonl: what is written, what is refused with its line, and what repairing keeps."""

import json
import zlib

import pytest

from npswin.training import RunFolderError
from npswin.training.metrics_file import LONGEST_LINE, MetricsFile, RecordNames
from tests.training.tiny import FileSizeLimit

NAMES = RecordNames(("loss",), ("test_loss", "test_accuracy"))


def record(step, /, **changes):
    """The record of a step in a run of three steps per epoch."""
    numbers = {"loss": 1.5 / step, "lr": 1e-3, "gradient_norm": 0.5}
    evaluation = {} if step % 3 else {"test_loss": 0.5, "test_accuracy": 0.9}
    return {"epoch": (step + 2) // 3, "step": step, **numbers, **evaluation, **changes}


@pytest.fixture
def metrics(tmp_path):
    """A file with the records of seven steps."""
    file = MetricsFile(tmp_path / "metrics.jsonl", steps_per_epoch=3, names=NAMES)
    file.open(lines=0)
    for step in range(1, 8):
        file.append(record(step))
    file.close()
    return file


def lines_of(metrics):
    return metrics.path.read_bytes().splitlines(keepends=True)


def replace_line(metrics, number, line):
    lines = lines_of(metrics)
    lines[number - 1] = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
    metrics.path.write_bytes(b"".join(lines))


def test_records_and_their_checksum(metrics):
    assert metrics.records(7) == [record(step) for step in range(1, 8)]
    assert metrics.crc32 == zlib.crc32(metrics.path.read_bytes())
    assert metrics.records(7, metrics.crc32) == metrics.records(7)
    assert metrics.records(4) == [record(step) for step in range(1, 5)]
    assert metrics.records(0, 0) == []


def test_lines_after_the_checkpoint_are_removed_whatever_they_hold(metrics):
    replace_line(metrics, 6, b"\xff garbage, and no end of line")
    metrics.open(lines=4)
    metrics.append(record(5))
    metrics.close()
    assert metrics.records(5, metrics.crc32) == [record(step) for step in range(1, 6)]
    assert len(lines_of(metrics)) == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{\n", "not the record of a step"),
        (b"\xff\n", "not the record of a step"),
        (b"[" * 5000 + b"\n", "not the record of a step"),
        (b"\n", "not the record of a step"),
        ([1], "expected an object with step, epoch, loss"),
        ({}, "step: got None, expected 3"),
        (record(4), "step: got 4, expected 3"),
        (record(3, step="3"), "step: got '3', expected 3"),
        (record(3, epoch=2), "epoch: got 2, expected 1"),
        (record(3, loss=None), "loss: got None, expected a finite number"),
        (record(3, lr="x" * 10_000), "lr: got 'xxx.* expected a finite number"),
        (record(3, loss=10**400), "loss: got .* expected a finite number"),
        (record(3, gradient_norm=float("nan")), "gradient_norm: got nan, expected a finite number"),
        (record(3, test_accuracy=True), "test_accuracy: got True, expected a finite number"),
        ({name: value for name, value in record(3).items() if name != "test_loss"}, "test_loss: got None"),
        (b"x" * LONGEST_LINE + b"\n", f"longer than {LONGEST_LINE} bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_damaged_or_foreign_line_is_named(metrics, line, reason):
    replace_line(metrics, 3, line)
    with pytest.raises(RunFolderError, match=rf"metrics\.jsonl, line 3: .*{reason}") as caught:
        metrics.records(7)
    assert len(str(caught.value)) < 1000
    assert metrics.records(2) == [record(1), record(2)]
    assert metrics.repair(7) == 1
    assert metrics.records(7) == [record(step) if step != 3 else {"epoch": 1, "step": 3} for step in range(1, 8)]


def test_lines_of_another_run_are_known_by_the_checksum(metrics):
    replace_line(metrics, 2, record(2, loss=0.75 + 2**-40))
    with pytest.raises(RunFolderError, match="its first 7 lines are not those that the checkpoint was saved with"):
        metrics.records(7, metrics.crc32)


@pytest.mark.parametrize("end", [0, 1, 100, -1])
def test_missing_lines(metrics, end):
    whole = metrics.path.read_bytes()
    metrics.path.write_bytes(whole[:end])
    left = whole[:end].count(b"\n")
    with pytest.raises(RunFolderError, match=rf"metrics\.jsonl: has {left} lines, but the checkpoint needs more"):
        metrics.records(7)
    assert metrics.repair(7) == 7 - left
    assert [one["step"] for one in metrics.records(7)] == list(range(1, 8))


def test_lines_of_which_none_can_be_told_to_be_right(metrics):
    replace_line(metrics, 2, record(2, loss=0.75 + 2**-40))
    assert metrics.repair(7, metrics.crc32) == 7
    assert all(one.keys() == {"epoch", "step"} for one in metrics.records(7))


def test_a_missing_file(metrics):
    metrics.path.unlink()
    for use in (metrics.records, metrics.open):
        with pytest.raises(RunFolderError, match=r"metrics\.jsonl: No such file"):
            use(7)
    assert metrics.repair(2) == 2
    assert metrics.records(2) == [{"epoch": 1, "step": 1}, {"epoch": 1, "step": 2}]


def test_a_line_that_cannot_be_written_leaves_the_file_unchanged(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", steps_per_epoch=3, names=NAMES)
    metrics.open(lines=0)
    with FileSizeLimit(100):
        metrics.append(record(1))
        with pytest.raises(OSError, match=r"metrics\.jsonl"):
            metrics.append(record(2, filling="x" * 100))
    metrics.append(record(2))
    metrics.close()
    assert metrics.records(2, metrics.crc32) == [record(1), record(2)]
