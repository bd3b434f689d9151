"""Random brightness, contrast, saturation and hue, in the ranges of MMSegmentation's `PhotoMetricDistortion`."""

from dataclasses import replace

import numpy as np

from npswin.checks import check_generator
from npswin.data.sample_transforms import Sample, check_sample
from npswin.types import Array

BRIGHTNESS = 32  # added, at most
CONTRAST = SATURATION = 0.5, 1.5  # factors
HUE = 36.0  # degrees, in both directions


def distort_colours(sample: Sample, rng: np.random.Generator) -> Sample:
    """Change brightness, contrast, saturation and hue of the image, each with probability 1/2.

    Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2, after Howard 2013. The contrast is changed
    before saturation and hue or after them, at random. Values are rounded to 8 bits after each change.

    Args:
        sample: of a dense task. Images of three channels are red, green and blue; in those of another number,
            brightness and contrast alone are changed.
        rng: generator of the choices and strengths.

    Returns:
        A new sample; what is no image is the same.

    Raises:
        ValueError: an argument is of another type.
        ImportError: Pillow is not installed.
    """
    check_sample(sample)
    check_generator("rng", rng)
    is_changed = rng.random(4) < 0.5
    contrast_comes_first = rng.random() < 0.5
    strengths = rng.random(4)
    brightness = BRIGHTNESS * (2 * strengths[0] - 1)
    contrast = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * strengths[1]
    saturation = SATURATION[0] + (SATURATION[1] - SATURATION[0]) * strengths[2]
    hue = HUE * (2 * strengths[3] - 1)

    image = sample.image
    if is_changed[0]:
        image = _rounded(image + brightness)
    if is_changed[1] and contrast_comes_first:
        image = _rounded(image * contrast)
    if is_changed[2:].any() and len(image) == 3:
        image = shift_colours(image, saturation if is_changed[2] else 1.0, hue if is_changed[3] else 0.0)
    if is_changed[1] and not contrast_comes_first:
        image = _rounded(image * contrast)
    return replace(sample, image=image)


def shift_colours(image: Array, saturation: float, hue: float) -> Array:
    """Multiply the saturation and turn the hue, in degrees, of an image (3, H, W) uint8, with Pillow's HSV colours."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("distort_colours needs Pillow: pip install 'npswin[train]'") from error
    hsv = np.array(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).convert("HSV"))
    hsv[..., 0] += np.uint8(round(hue * 256 / 360) % 256)  # a full turn has 256 steps, and uint8 wraps around
    hsv[..., 1] = _rounded(hsv[..., 1] * saturation)
    turned = Image.merge("HSV", [Image.fromarray(hsv[..., channel]) for channel in range(3)])
    return np.ascontiguousarray(np.asarray(turned.convert("RGB")).transpose(2, 0, 1))


def _rounded(values: Array) -> Array:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
