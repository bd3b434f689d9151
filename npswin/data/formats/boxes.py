"""Boxes of annotations, brought into the image."""

from npswin.data.formats.findings import EntryError, Findings

Box = tuple[float, float, float, float]

ROUNDING = 1.0  # pixels by which a box may reach over the image's edge, as rounded coordinates do


def most_is_in_box(inner: Box, outer: Box) -> bool:
    """Whether at least half of one box is in another, or so near that rounding explains it; it has to touch it, too."""
    x1, y1, x2, y2 = outer
    around = x1 - ROUNDING, y1 - ROUNDING, x2 + ROUNDING, y2 + ROUNDING
    return _overlap(inner, outer) > 0 and 2 * _overlap(inner, around) >= _overlap(inner, inner)


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    width, height = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return max(width, 0.0) * max(height, 0.0)


def box_in_image(box: Box, height: int, width: int, findings: Findings, where: str) -> Box:
    """A box x1, y1, x2, y2, cut at the image's edge.

    Where that changes it by more than rounding, it is a finding.

    Args:
        box: of an annotation.
        height, width: of the image.
        findings: where to add it.
        where: see `Finding`.

    Raises:
        EntryError: the box has no area, or is outside of the image.
    """
    x1, y1, x2, y2 = box
    shown = f"the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
    size = f"the image of {width}×{height} pixels"
    if x1 >= x2 or y1 >= y2:
        raise EntryError("empty box", f"{shown} has no area")
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        raise EntryError("box outside of the image", f"{shown} is outside of {size}")
    if min(x1, y1, width - x2, height - y2) < -ROUNDING:
        findings.add("box over the edge", where, f"{shown} reaches over the edge of {size}")
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
