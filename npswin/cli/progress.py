"""Progress bars on a terminal."""

import sys

from tqdm import tqdm


class ProgressBar:
    """A progress bar for each piece of work that takes more than two seconds.

    A call takes the name of the work, how many steps are done, and how many there are.
    """

    def __init__(self) -> None:
        self.work, self.bar = "", tqdm(disable=True)

    def __call__(self, work: str, done: int, total: int) -> None:
        if (work, total) != (self.work, self.bar.total):
            self.bar.close()
            self.work = work
            self.bar = tqdm(desc=work, total=total, delay=2, leave=False, dynamic_ncols=True, disable=None)
        self.bar.update(done - self.bar.n)

    def print(self, line: str, is_error: bool = False) -> None:
        """Print a line on standard output, or for an error on stderr, above the bar."""
        tqdm.write(line, file=sys.stderr if is_error else sys.stdout)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
