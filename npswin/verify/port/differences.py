"""Where a tensor differs from the right one and by how much, for tensors that no mistake explains."""

from collections.abc import Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.parts import entries_text, entries_with
from npswin.verify.fits.words import Axis

MOST = 0.9  # of an axis' entries that may differ where these are told
FEWEST = 8  # numbers of which an order or a direction is told
RELATED = 0.9  # the cosine from which on it is told
UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # the largest relative error of a rounding to nearest
AS_LARGE = (0.1, 4.0)  # a root mean square error in these units is as large as that of some roundings


def difference_text(found: Array, right: Array, axes: Sequence[Sequence[Axis]], tolerance: float) -> str:
    """In words where numbers differ, and what kind of difference it is.

    Args:
        found: the port's.
        right: what its operation gives on the port's own inputs, of the same shape.
        axes: for each axis its parts.
        tolerance: the largest difference of equal numbers.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(found - right) <= tolerance)
    if not wrong.any() or not np.isfinite(right).all():
        return ""
    is_zero = right == 0
    not_cleared = bool(is_zero[wrong].all()) and not is_zero.all()
    facts = [_where(wrong, axes)]
    facts += ["it differs only where it should be 0: memory that was not cleared, or not written"] * not_cleared
    if np.isfinite(found).all():
        facts += [_order(found, right, axes, tolerance) or _size(found, right)]
    else:
        facts += [f"{np.mean(~np.isfinite(found)):.0%} of the numbers are infinite or NaN"]
    return "; ".join(filter(None, facts))


def _where(wrong: Array, axes: Sequence[Sequence[Axis]]) -> str:
    """The entries of each axis to which the differences are confined."""
    parts = [part for axis in axes for part in axis]
    by_part = wrong.reshape([part.size for part in parts])
    places = []
    for place, part in enumerate(parts):
        entries = entries_with(by_part, place)
        if len(entries) <= MOST * part.size:
            places.append(entries_text(part, entries))
    if places:
        return f"it differs in {' of '.join(places)} alone"
    return "" if wrong.mean() > MOST else f"{wrong.mean():.0%} of its numbers differ"


def _order(found: Array, right: Array, axes: Sequence[Sequence[Axis]], tolerance: float) -> str:
    """That the numbers are those of the right tensor in another order: all of it, or along one part of an axis."""
    if found.size < FEWEST or np.abs(np.sort(found, axis=None) - np.sort(right, axis=None)).max() > tolerance:
        return ""
    parts = [part for axis in axes for part in axis]
    shape = [part.size for part in parts]
    for place, part in enumerate(parts):
        one, other = (np.sort(array.reshape(shape), axis=place) for array in (found, right))
        if np.abs(one - other).max() <= tolerance:
            return f"the right numbers in another order, that of the {part.plural}"
    return "the right numbers in another order"


def _size(found: Array, right: Array) -> str:
    """The relative error, as one of roundings if it is as small as theirs; else how much it has of the right tensor."""
    size, error = (float(np.linalg.norm(array)) for array in (right, found - right))
    if not size:
        return ""
    for precision, unit in UNITS.items():
        if AS_LARGE[0] * unit <= error / size <= AS_LARGE[1] * unit:
            likely = f"as roundings to {precision} make it, or an approximation"
            return f"a relative error of {error / size:.1e}, about {likely}"
    cosine = float((found * right).sum() / (size * np.linalg.norm(found))) if found.any() else 0.0
    of_right = "" if found.size < FEWEST else f", the cosine between both is {cosine:.3f}" if cosine > RELATED else ""
    return f"a relative error of {error / size:.2g}{of_right}"
