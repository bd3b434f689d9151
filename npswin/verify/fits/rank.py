"""Matrices of low rank: an approximation of the right one, or something added to it."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, plus

MOST_NUMBERS = 2**20  # of a matrix that is decomposed
CHANGED_SHARE = 0.7  # of the numbers that an added matrix changes
LARGEST_SHARE = 0.5  # of the matrix's numbers that a matrix of low rank may have


def low_rank(evidence: Evidence) -> Iterator[Explanation]:
    """The best approximation of some rank, as a truncated singular value decomposition gives it."""
    found, right = evidence.found, evidence.right
    if found.ndim != 2 or min(found.shape) < 3 or found.size > MOST_NUMBERS:
        return
    rank = _rank(found, evidence.tolerance)
    if 0 < rank < min(found.shape):
        left, singular, rows = np.linalg.svd(right, full_matrices=False)
        approximation = (left[:, :rank] * singular[:rank]) @ rows[:rank]
        if evidence.agrees(approximation, 2.0):
            words = (
                f"it is approximated by a matrix of rank {rank} (the {rank} largest singular values of {len(singular)})"
            )
            yield Explanation(words, plus(found - right))  # the port's own decomposition is rounded, too


def low_rank_added(evidence: Evidence) -> Iterator[Explanation]:
    """A matrix of low rank is added to all of the right one."""
    found, right = evidence.found, evidence.right
    if found.ndim != 2 or min(found.shape) < 3 or found.size > MOST_NUMBERS:
        return
    difference = found - right
    if (np.abs(difference) > evidence.tolerance).mean() < CHANGED_SHARE:  # a wrong row is of rank 1, too
        return
    added = _rank(difference, evidence.tolerance)
    if added > 0 and added * sum(found.shape) <= LARGEST_SHARE * found.size:
        words = f"a matrix of rank {added} is added, as a low-rank adapter (LoRA) is merged into a weight"
        yield Explanation(words, plus(difference), added * sum(found.shape))


def _rank(matrix: Array, tolerance: float) -> int:
    """How many singular values are larger than errors of this size make them."""
    singular = np.linalg.svd(matrix, compute_uv=False)
    return int((singular > tolerance * np.sqrt(max(matrix.shape))).sum())
