"""Each sample read once, before a data set is used."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from npswin.data.errors import DataFileError
from npswin.data.formats.findings import Findings, InconsistentFileError


def unreadable_samples(samples: Sequence[Any], findings: Findings) -> set[int]:
    """The numbers of the samples that cannot be read; why not is added to the findings."""

    from tqdm import tqdm

    def error_of(index: int) -> DataFileError | None:
        try:
            samples[index]
        except DataFileError as error:
            return error
        return None

    unreadable = set()
    with ThreadPoolExecutor() as threads:  # Pillow decodes in parallel
        errors = threads.map(error_of, range(len(samples)))
        bar = tqdm(errors, "checking files", len(samples), leave=False, delay=2, dynamic_ncols=True, disable=None)
        for index, error in enumerate(bar):
            if error is not None:
                where, _, text = str(error).partition(": ")
                findings.add(_kind(error), where, text)
                unreadable.add(index)
    return unreadable


def _kind(error: DataFileError) -> str:
    if isinstance(error, InconsistentFileError):
        return error.kind
    return "missing file" if isinstance(error, FileNotFoundError) else "damaged file"
