"""The exception for a mistake that cannot be made in a graph."""

from collections.abc import Iterator
from contextlib import contextmanager


class NotApplicable(Exception):
    """A mistake cannot be made here: a shape does not fit, or another mistake has already changed the node.

    The search for mistakes skips a hypothesis that raises this. Every other exception is a programming error.
    """


@contextmanager
def shape_errors_as_not_applicable(name: str) -> Iterator[None]:
    """Convert the errors that NumPy raises for shapes that do not fit.

    Args:
        name: the tensor that is computed inside the with block.

    Raises:
        NotApplicable: instead of a ValueError or an IndexError.
    """
    try:
        yield
    except (ValueError, IndexError) as error:
        raise NotApplicable(f"{name}: {error}") from error
