"""Numbers that are limited, and by whose range."""

from npswin.verify.fits.explanation import Evidence


def range_of_an_image(low: float, high: float, evidence: Evidence) -> str:
    """In words the image whose least and largest numbers limit those of all; "" if there is none.

    Args:
        low, high: the limits; an infinite one does not limit.
        evidence: whose right array has images along its first axis, or none.
    """
    if not evidence.axes or [part.name for part in evidence.axes[0]] != ["B"]:
        return ""
    for number, image in enumerate(evidence.right):
        if all(
            abs(own - end) <= evidence.tolerance
            for own, end in ((float(image.min()), low), (float(image.max()), high))
            if abs(end) < float("inf")
        ):
            return f", the range of image {number}"
    return ""
