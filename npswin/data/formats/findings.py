"""What is wrong with a data set, collected and then reported at once."""

import warnings
from collections import Counter
from collections.abc import Sequence
from os import PathLike

from npswin.data.errors import AnnotationError, DataFileError, Finding
from npswin.files import listed, shortened, shown_path

MOST_KEPT = 1000  # findings; the others are counted
MOST_LISTED = 7  # in the message
# The options are those of the examples, and of the functions.
_HINT = "\nWith --repair-data, or repair=True, these are left out, or cut at the image's edge"


class EntryError(Exception):
    """Something is wrong with the entry that is being read.

    Attributes:
        kind: as in `Finding`.
        text: what was found.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


class InconsistentFileError(DataFileError):
    """A file can be read, and is not what is needed, or does not fit the others.

    Attributes:
        kind: as in `Finding`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Findings:
    """All that is wrong with one data set.

    Args:
        path: of the file or folder with the annotations.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.kept: list[Finding] = []
        self.fatal = False

    def add(self, kind: str, where: str, text: str, fatal: bool = False) -> None:
        """Add a finding.

        Args:
            kind, where, text: see `Finding`.
            fatal: whether the data set cannot be used without the entry, so that leaving it out does not help.
        """
        self.counts[kind] += 1
        self.fatal |= fatal
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Finding(kind, shortened(where), shortened(text)))

    def report(self) -> str:
        """The number of findings by kind, and the first of them, each in a line."""
        total = sum(self.counts.values())
        kinds = listed(f"{count} × {kind}" for kind, count in self.counts.most_common())
        lines = [f"{_shortened_place(one.where)}: {shortened(one.text, 120)}" for one in self.kept[:MOST_LISTED]]
        lines += [f"and {total - len(lines)} more"] * (total > len(lines))
        return "\n  ".join([f"{shown_path(self.path)}: {total} finding{'s' * (total > 1)}: {kinds}", *lines])

    def raise_or_warn(self, repair: bool) -> None:
        """Return if nothing is wrong; else raise, or where what is wrong was left out, warn.

        Args:
            repair: whether the caller asked for leaving out.

        Raises:
            AnnotationError: something is wrong and not left out.
        """
        if not self.counts:
            return
        if repair and not self.fatal:
            warnings.warn(f"{self.report()}\nThese are left out, or cut at the image's edge", stacklevel=4)
            return
        error = AnnotationError(self.report() + _HINT * (not self.fatal))
        error.counts, error.findings = dict(self.counts), tuple(self.kept)
        raise error


def joined(errors: Sequence[DataFileError]) -> DataFileError:
    """One error of all that is wrong with the parts of a data set; that of a single part is itself.

    Where one of them is an AnnotationError, it is one, too, with the counts added and the findings of all.
    """
    if len(errors) == 1:
        return errors[0]
    texts = [str(error) for error in errors]
    hint = _HINT * all(text.endswith(_HINT) for text in texts)
    message = "\n".join(text.removesuffix(_HINT) for text in texts) + hint
    of_annotations = [error for error in errors if isinstance(error, AnnotationError)]
    if not of_annotations:
        return DataFileError(message)
    whole = AnnotationError(message)
    whole.counts = dict(sum((Counter(error.counts) for error in of_annotations), Counter()))
    whole.findings = tuple(finding for error in of_annotations for finding in error.findings)
    return whole


def _shortened_place(where: str) -> str:
    """A place for the message; of a long path its end, which tells more than its beginning."""
    return where if len(where) <= 60 else f"...{where[-57:]}"
