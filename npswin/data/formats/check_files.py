"""Each sample read once, before a data set is used."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from npswin.data.errors import DataFileError
from npswin.data.formats.findings import Findings, InconsistentFileError
from npswin.data.reading_threads import reading_threads
from npswin.progress import show_progress

MOST_THREADS = 32


def unreadable_samples(samples: Sequence[Any], findings: Findings) -> set[int]:
    """The numbers of the samples that cannot be read; why not is added to the findings."""

    def error_of(index: int) -> DataFileError | None:
        try:
            samples[index]
        except DataFileError as error:
            return error
        return None

    unreadable = set()
    threads = ThreadPoolExecutor(reading_threads(MOST_THREADS))  # Pillow decodes in parallel
    try:
        errors = threads.map(error_of, range(len(samples)))
        with show_progress("checking files", len(samples), unit="files") as progress:
            for index, error in enumerate(errors):
                if error is not None:
                    where, _, text = str(error).partition(": ")
                    findings.add(_kind(error), where, text)
                    unreadable.add(index)
                progress.advance(1)
    finally:
        threads.shutdown(cancel_futures=True)  # after Ctrl-C the rest is not read
    return unreadable


def _kind(error: DataFileError) -> str:
    if isinstance(error, InconsistentFileError):
        return error.kind
    return "missing file" if isinstance(error, FileNotFoundError) else "damaged file"
