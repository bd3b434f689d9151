"""Whether a tensor's numbers are multiples of a step, as quantized weights and activations are."""

from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.port.operation_steps import Rounding

MOST_LEVELS = 511  # the sum of two numbers of 8 bits
FEWEST_NUMBERS = 16  # different ones, of the tensor or of a channel
ROUNDING = 0.02  # of a step, by which float32 multiples of it may be off
LARGEST = 2**20  # numbers of a tensor that is looked at


def quantization_text(array: Array) -> str:
    """What is known of a quantized tensor's steps, such as "multiples of 0.0123, 255 levels"; "" for another tensor."""
    if array.size > LARGEST or not np.isfinite(array).all() or np.array_equal(array, np.rint(array)):
        return ""
    step, levels = _step(array.reshape(-1))
    if step:
        return f"its numbers are multiples of {step:.4g}, with {levels} levels"
    for axis, what in ((0, "first"), (-1, "last")) if array.ndim > 1 else ():
        channels = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        steps = [_step(channel) for channel in channels]
        if len(channels) > 1 and all(step for step, _ in steps):
            least, most = min(steps)[0], max(steps)[0]
            return f"its numbers are multiples of a step for each index of the {what} axis, {least:.4g} to {most:.4g}"
    return ""


@dataclass(frozen=True)
class FoundGrid:
    """Rounding to the grid on which a quantized tensor's numbers lie.

    Attributes:
        step, offset: numbers are offset + n step.
        least, most: of the tensor's numbers, which limit others.
    """

    step: float
    offset: float
    least: float
    most: float

    def __call__(self, x: Array) -> Array:
        """The nearest number of the grid, within the limits."""
        return np.clip(self.unlimited(x), self.least, self.most).astype(x.dtype)

    def within(self, levels: int) -> Rounding:
        """Rounding to the grid with other limits: so many steps from 0."""
        most = levels * self.step
        return lambda x: np.clip(self.unlimited(x), -most, most).astype(x.dtype)

    def unlimited(self, x: Array) -> Array:
        """The nearest number of the grid."""
        return np.asarray(np.rint((x - self.offset) / self.step) * self.step + self.offset)


def rounding_to_the_grid_of(array: Array) -> FoundGrid | None:
    """Rounding to the grid on which a quantized tensor's numbers lie, limited by the least and the largest; or None.

    A step that was chosen beforehand, from other images, shows in the tensor alone.
    """
    if array.size > LARGEST or not np.isfinite(array).all():
        return None
    step, _ = _step(array.reshape(-1))
    if not step:
        return None
    least, most = float(array.min()), float(array.max())
    return FoundGrid(step, least - step * float(np.rint(least / step)), least, most)


def usual_grid_of(array: Array) -> FoundGrid:
    """Rounding to 127 steps from 0 to a tensor's largest number, for one whose few numbers show no step."""
    largest = float(np.abs(array).max())
    return FoundGrid(largest / 127 or 1.0, 0.0, -largest, largest)


def _step(numbers: Array) -> tuple[float, int]:
    """The step of which all numbers are multiples, up to a zero point, and the levels of their range; or (0, 0)."""
    values = np.unique(numbers.astype(np.float64))
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-6 * max(np.abs(values).max(initial=0), 1e-300)]
    if len(gaps) + 1 < FEWEST_NUMBERS:
        return 0.0, 0
    step = float(gaps.min())
    levels = (values[-1] - values[0]) / step
    if levels > MOST_LEVELS or np.abs(gaps / step - np.rint(gaps / step)).max() > ROUNDING * np.rint(gaps / step).max():
        return 0.0, 0
    return float((values[-1] - values[0]) / np.rint(levels)), int(np.rint(levels)) + 1
