"""Mean and deviation of the channels of images of different sizes."""

from collections.abc import Iterable

import numpy as np

from npswin.checks import check_instance, shown
from npswin.data.dataset import statistics_of_counts
from npswin.data.samples import DetectionSample, SegmentationSample


def sample_statistics(
    samples: Iterable[SegmentationSample | DetectionSample],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of all images, one image after the other.

    Args:
        samples: a data set of a dense task, or other samples; all with the same number of channels.

    Returns:
        mean and std, a number for each channel, of pixels scaled to [0, 1], as `normalize` takes them.

    Raises:
        ValueError: there is no sample, something else among them, or another number of channels.
    """
    counts = None
    try:
        iterator = iter(samples)
    except TypeError:
        raise ValueError(f"samples: got {shown(samples)}, expected samples of a dense task") from None
    for sample in iterator:
        check_instance("samples", sample, (SegmentationSample, DetectionSample), "samples of a dense task")
        own = np.stack([np.bincount(channel.reshape(-1), minlength=256) for channel in sample.image])
        if counts is not None and len(own) != len(counts):
            raise ValueError(f"samples: got images of {len(counts)} and {len(own)} channels, expected one number")
        counts = own if counts is None else counts + own
    if counts is None:
        raise ValueError("samples: got none, expected at least one")
    return statistics_of_counts(list(counts))
