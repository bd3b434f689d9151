"""Images as the key has them and as a port prepared them, and an explanation of the one by the other."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import Affine, normalizing

Function = Callable[[Array], Array]  # images (B, c, H, W) -> images
MARGIN = 8.0  # times the tolerance
WHITE = 255.0
LEVELS = 256
LEFT = 0.2  # of the distance of the right images from the port's
TIE = 1e-3  # from half-way between two integers, where rounding errors decide
INTEGER = 0.02  # a pixel nearer to an integer is one


@dataclass(frozen=True)
class Images:
    """Images to explain.

    Attributes:
        pixels: (B, c, H, W) from 0 to 255.
        found: what the port made of them, in the same shape.
        mean, std: (c), of the key's normalization of pixels / 255.
        tolerance: the largest difference of equal numbers.
    """

    pixels: Array
    found: Array
    mean: Array
    std: Array
    tolerance: float

    @property
    def right(self) -> Affine:
        """The key's normalization."""
        return normalizing(self.mean, self.std)

    @property
    def normalized(self) -> Array:
        """What the port should have made of them."""
        return self.right.apply(self.pixels)

    @property
    def undone(self) -> Array:
        """The port's images with the key's normalization undone: the pixels that it may have normalized."""
        scale, offset = (array[:, None, None] for array in (self.right.scale, self.right.offset))
        return np.asarray((self.found - offset) / scale)

    @property
    def pixel_tolerance(self) -> float:
        """The tolerance for `undone`."""
        return MARGIN * self.tolerance / float(np.abs(self.right.scale).min())

    @property
    def wrong(self) -> Array:
        """Which of the port's numbers are wrong."""
        return np.asarray(np.abs(self.found - self.normalized) > MARGIN * self.tolerance)

    def agrees(self, prepared: Array, terms: int = 1) -> bool:
        """Whether normalized images, whose numbers are sums of so many terms, are the port's."""
        reach = MARGIN * self.tolerance * math.sqrt(terms)
        return prepared.shape == self.found.shape and bool((np.abs(prepared - self.found) <= reach).all())

    def explains(self, prepared: Array, terms: int = 1) -> bool:
        """Whether normalized images are the port's, and much nearer to them than the right ones are."""
        if not self.agrees(prepared, terms):
            return False
        left, without = (float(np.linalg.norm(one - self.found)) for one in (prepared, self.normalized))
        return left <= LEFT * without

    def rounded(self, made: Array) -> Array:
        """Pixels rounded to integers; where two are equally near, the port's."""
        if made.shape != self.undone.shape:  # on the way to another size
            return np.rint(made)
        is_between = np.abs(made % 1 - 0.5) <= TIE
        return np.where(is_between & (np.abs(self.undone - made) <= 0.5 + 2 * TIE), self.undone, np.rint(made))

    def part(self, images: slice, channels: slice) -> "Images":
        """Some of the images and channels."""
        pixels, found = self.pixels[images, channels], self.found[images, channels]
        return Images(pixels, found, self.mean[channels], self.std[channels], self.tolerance)

    def before(self, function: Function) -> Function:
        """A function of the pixels, which are then normalized as in the key."""
        return lambda pixels: self.right.apply(function(np.asarray(pixels, np.float64)))


@dataclass(frozen=True)
class Prepared:
    """How a port prepared images.

    Attributes:
        words: what it did.
        function: from the key's pixels to the port's images.
        fitted: how many numbers in it were fitted.
        terms: how many terms are summed for a number.
    """

    words: str
    function: Function
    fitted: int = 0
    terms: int = 1


Family = Callable[[Images], Iterator[Prepared]]


def are_integers(values: Array, tolerance: float) -> bool:
    """Whether all are pixels of 8 bits, from 0 to 255, within rounding errors."""
    near = max(min(tolerance, INTEGER), 1e-9)
    whole = np.rint(values)
    return bool((np.abs(values - whole) <= near).all() and whole.min() >= 0 and whole.max() <= WHITE)
