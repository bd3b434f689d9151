"""Which image files are meant, and the names of what is written for each."""

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from npswin.checks import check_path, shown
from npswin.data import DataFileError
from npswin.data.formats.label_maps import IMAGE_SUFFIXES
from npswin.files import listed, shown_path


def image_paths(images: Any) -> list[Path]:
    """The files that are given, and of each folder the image files in it, in the order of their names.

    A file that is there twice counts once. Whether a file is an image is seen when it is read.

    Args:
        images: a path, or a list of paths, of files or folders.

    Raises:
        ValueError: it is something else, or there is none.
        DataFileError: there is no such file or folder, or a folder has no image file in it.
    """
    given = [images] if isinstance(images, str | os.PathLike) else images
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"images: got {shown(images)}, expected paths of images or of folders with images")
    paths = [check_path("images", one) for one in given]
    if missing := [shown_path(path) for path in paths if not os.path.exists(path)]:
        raise DataFileError(f"{listed(missing)}: no such file or folder, expected images or folders with images")
    found: dict[str, Path] = {}
    for path in paths:
        for file in _images_in(path) if path.is_dir() else [path]:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _images_in(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not (images := [path for path in files if not path.name.startswith(".")]):
        endings = ", ".join(IMAGE_SUFFIXES)
        raise DataFileError(f"{shown_path(folder)}: has no image; expected names that end with {endings}")
    return images


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The name of each path without its suffix, by which files of results are named; a number tells equal ones apart.

    Names that differ in upper and lower case alone are equal on some systems, so they get a number as well.
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        candidates = (f"{path.stem}-{number}" if number > 1 else path.stem for number in count(1))
        name = next(one for one in candidates if one.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names
