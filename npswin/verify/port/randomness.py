"""What a tensor that differs between two runs looks like, if a random operation made the difference."""

import numpy as np

from npswin.types import Array

FEWEST_ZEROS = 4  # that are in one run only, for these to be dropout's
TINY = 1e-5  # relative difference that the order of a sum leaves


def random_pattern(one: Array, other: Array) -> str:
    """A sentence on the difference between two runs, or "" if it looks like nothing random.

    Args:
        one, other: the tensor in two runs, of one shape.
    """
    here, there = (one == 0) & (other != 0), (other == 0) & (one != 0)
    both = (one != 0) & (other != 0)
    zeros = int(here.sum()), int(there.sum())
    if min(zeros) >= FEWEST_ZEROS and np.array_equal(one[both], other[both]):
        rate = float(np.mean([(array == 0).mean() for array in (one, other)]))
        return (
            f"{zeros[0]} numbers are 0 in the first alone and {zeros[1]} in the second alone, all others are equal: "
            f"dropout of a rate of about {rate:.2g}"
        )
    images = [bool(np.array_equal(*pair)) for pair in zip(one, other, strict=True)] if one.ndim > 1 else []
    if any(images):
        equal = ", ".join(str(number) for number, same in enumerate(images[:8]) if same) + ", ..." * (len(images) > 8)
        return (
            f"entries {equal} of the first axis are equal, {images.count(False)} of {len(images)} are not: whole "
            "images are dropped, as drop path does"
        )
    largest = float(np.abs(one).max(initial=0))
    if largest and float(np.abs(one - other).max(initial=0)) < TINY * largest:
        return "the difference is as small as that of sums in another order: threads, or atomic additions on a GPU"
    return ""
