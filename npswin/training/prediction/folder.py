"""The folder of predictions: a picture for each image, and JSON for programs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npswin.checks import check_integer, check_number, check_path, shown
from npswin.files import FileError, shown_path, write_atomically
from npswin.training.prediction.image_paths import distinct_names
from npswin.training.prediction.run import Run
from npswin.types import Array

PICTURES = "pictures"
TOP, THRESHOLD = 5, 0.5
TASKS_OF_SETTINGS = {"top": "a classifier", "threshold": "a detector"}


class PredictionFolderError(FileError):
    """A folder that predictions cannot be written to; the message has its path and the reason."""


class PredictionFolder:
    """pictures/NAME.png for each image, and predictions.json; what else there is, a task's subclass adds.

    In a `with` statement: at its end, whatever ends it, the JSON of all images that were added is written, so that it
    fits to the pictures. The folder is made with the first image. Each file is complete or not there.

    Args:
        path: the folder, new or empty.
        run: whose predictions are written.
        paths: of all images; their numbers in this list are the images' ids.
        top: classes of an image that are written and drawn, of a classifier; TOP where it is None.
        threshold: the score from which on an object is drawn and counted, of a detector; THRESHOLD where it is None.

    Attributes:
        settings: which of `top` and `threshold` the task has.

    Raises:
        PredictionFolderError: the folder is not empty, or a file.
        ValueError: an argument that does not fit, named.
    """

    settings: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: Run,
        paths: Sequence[Path],
        top: int | None = None,
        threshold: float | None = None,
    ) -> None:
        self.path = check_path("out", path)
        for name, value in (("top", top), ("threshold", threshold)):
            if value is not None and name not in self.settings:
                expected = f"expected none: it is for the run of {TASKS_OF_SETTINGS[name]}"
                raise ValueError(f"{name}: got {shown(value)}, {expected}")
        self.top = TOP if top is None else check_integer("top", top, 1)
        self.threshold = THRESHOLD if threshold is None else check_number("threshold", threshold, at_least=0, at_most=1)
        self.class_names = run.class_names
        self._names = dict(zip(paths, distinct_names(paths), strict=True))
        self._ids = {path: number for number, path in enumerate(paths, 1)}
        self.entries: list[dict[str, Any]] = []
        self._has_images = False
        is_folder = self.path.is_dir()
        if self.path.exists() and not (is_folder and not any(self.path.iterdir())):
            problem = "not empty" if is_folder else "is no folder"
            raise PredictionFolderError(
                f"{shown_path(self.path)}: {problem}; choose another folder, new or empty (--out, or out=)"
            )

    def __enter__(self) -> "PredictionFolder":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_images:
            self.write_json()

    def add(self, path: Path, image: Array, result: Any) -> str:
        """Draw and write what was found in an image; returns a line that tells it."""
        line = self._add(path, image, result)
        self._has_images = True
        return line

    def closing_line(self) -> str:
        """What is to be said after the last image; empty for nothing."""
        return ""

    def _add(self, path: Path, image: Array, result: Any) -> str:
        """What `add` does, in a subclass for a task."""
        raise NotImplementedError

    def write_json(self) -> None:
        """Write what is known of all images so far."""
        self._write_json("predictions.json", self.entries)

    def _name(self, path: Path) -> str:
        return self._names[path]

    def _id(self, path: Path) -> int:
        return self._ids[path]

    def _file(self, folder: str, path: Path) -> Path:
        """The PNG file of an image in a folder of this one, which is made."""
        self._make(self.path / folder)
        return self.path / folder / f"{self._name(path)}.png"

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"cannot be made a folder ({error.strerror})", str(folder)) from error

    def _write_json(self, name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path / name, lambda file: file.write(text.encode()))
