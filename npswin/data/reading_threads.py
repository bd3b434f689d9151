"""How many threads read files."""

import os

from npswin.checks import check_integer

_limit: int | None = None


def limit_reading_threads(count: int) -> None:
    """At most so many threads read files from now on; at first as many as the machine has cores.

    Raises:
        ValueError: not an integer of at least 1.
    """
    global _limit
    _limit = check_integer("count", count, 1)


def reading_threads(at_most: int) -> int:
    """The threads that read files here: the limit, where none is set the cores, and at most so many."""
    return min(_limit or os.cpu_count() or 1, at_most)
