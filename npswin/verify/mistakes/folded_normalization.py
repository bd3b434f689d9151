"""The images' normalization in the parameters of the patch embedding.

W (x / 255 - mean) / deviation + b = (W / deviation) x / 255 + (b - Σ W · mean / deviation): a port may have it in
weight and bias, wrongly or beside the normalization of the pixels. Any change of the pixels by a factor and a constant
for each channel has this form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Explanation, plus, times
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.mistake import is_output_of
from npswin.verify.mistakes.normalization import COLOURS, SETS, normalizing

FEWEST_PER_NUMBER = 4  # entries of the bias for each fitted number
LARGE = 8  # times the tolerance: a change that has a form
EPS = float(np.finfo(np.float32).eps)  # of parameters that were computed from others
SAME = 1e-3  # of pixels after their normalization
WEIGHT, BIAS = 1, 2  # places of the inputs


class _Named(NamedTuple):
    words: str
    numbers: Array  # (c)


def folded_normalization(
    run: Run, node: Node, found: Mapping[int, Array], tolerance: Mapping[int, float]
) -> dict[int, Explanation]:
    """The explanations of weight and bias, by the place of the input; none where they are no normalization.

    Args:
        run: the graph on the port's own inputs.
        node: of the patch embedding.
        found: the wrong ones of weight (C, c, p, p) and bias (C), as they were used.
        tolerance: for their numbers.
    """
    prepared = run.graph.nodes[node.inputs[0]]
    if not found or not is_output_of(prepared, "normalize"):
        return {}
    mean, std = (np.array(prepared.settings[which]) for which in ("mean", "std"))
    weight, bias = (np.asarray(run.value(node.inputs[place]), np.float64) for place in (WEIGHT, BIAS))
    explained = {}
    if WEIGHT in found:
        reach = 2 * tolerance[WEIGHT] + EPS * float(np.abs(found[WEIGHT]).max())
        for scale in _scales(mean, std):
            if np.abs(weight * _by_channel(scale.numbers) - found[WEIGHT]).max() <= reach:
                explained[WEIGHT] = Explanation(scale.words, times(_by_channel(scale.numbers)))
                break
        else:
            return {}
    folded = "undone in" if WEIGHT in found and "multiplied" in explained[WEIGHT].words else "folded into"
    conclusion = f"the normalization is {folded} the parameters, {_pixels_in_words(run, node, mean, std)}"
    if BIAS not in found and np.ptp(scale.numbers) == 0:  # a factor of all
        return {}
    if BIAS not in found:
        text = f"{explained[WEIGHT].words}, and the bias is the key's: {conclusion}"
        return {WEIGHT: replace(explained[WEIGHT], words=text)}
    sums, change = weight.sum((2, 3)), found[BIAS] - bias
    reach = 2 * tolerance[BIAS] + EPS * float(np.abs(found[BIAS]).max() + np.abs(weight).sum((1, 2, 3)).max())
    if np.abs(change).max() <= LARGE * reach:
        return {}
    shifts = list(_shifts(mean, std))
    right, key_deviation = shifts[0], "the key's deviation"
    for shift in shifts:
        for sign, verb in ((-1, "is subtracted from it"), (1, "is added to it, not subtracted")):
            added = sign * sums @ shift.numbers
            if np.abs(added - change).max() <= reach:
                is_folded = WEIGHT in found and explained[WEIGHT].words == f"each channel is divided by {key_deviation}"
                is_wrong = is_folded and not (sign < 0 and shift is right)
                instead = f", where -Σ weight · ({right.words}) belongs" if is_wrong else ""
                text = f"Σ weight · ({shift.words}) {verb}{instead}: {conclusion}"
                return explained | {BIAS: Explanation(text, plus(added))}
    if len(bias) < FEWEST_PER_NUMBER * len(mean):
        return {}
    numbers = np.linalg.lstsq(sums, change, rcond=None)[0]
    if np.abs(sums @ numbers - change).max() > reach:
        return {}
    listed = ", ".join(f"{number:.4g}" for number in numbers)
    text = f"Σ weight · ({listed}) is added to it, as if these were added to the input's channels"
    return explained | {BIAS: Explanation(text, plus(sums @ numbers), len(numbers))}


def _by_channel(numbers: Array) -> Array:
    return numbers[:, None, None]


def _statistics(mean: Array, std: Array) -> list[tuple[_Named, _Named]]:
    """Mean and deviation that a normalization may have, the key's first."""
    sets = {"the key's": (mean, std), "the key's reversed": (mean[::-1], std[::-1])}
    if len(mean) == len(COLOURS):
        sets |= {name: (np.array(m), np.array(s)) for name, (m, s) in SETS.items()}
    named = [(_Named(f"{name} mean", m), _Named(f"{name} deviation", s)) for name, (m, s) in sets.items()]
    return [*named, (_Named("mean 0.5", np.full_like(mean, 0.5)), _Named("deviation 0.5", np.full_like(std, 0.5)))]


def _scales(mean: Array, std: Array) -> Iterator[_Named]:
    """Factors of a weight's channels that belong to a normalization."""
    for _, (deviation, s) in _statistics(mean, std):
        yield _Named(f"each channel is divided by {deviation}", 1 / s)
        yield _Named(f"each channel is multiplied by {deviation}", s)
        yield _Named(f"each channel is divided by 255 times {deviation}", 1 / s / 255)
        yield _Named(f"each channel is multiplied by 255 times {deviation}", 255 * s)
        yield _Named(f"each channel is divided by the square of {deviation}", 1 / s**2)
    yield _Named("it is divided by 255", np.full_like(std, 1 / 255))
    yield _Named("it is multiplied by 255", np.full_like(std, 255.0))


def _shifts(mean: Array, std: Array) -> Iterator[_Named]:
    """Constants of channels whose products with the weight a bias may have."""
    sets = _statistics(mean, std)
    (key_mean, key_std), (other_mean, other_std) = sets[:2]
    for (average, m), (deviation, s) in [*sets, (key_mean, other_std), (other_mean, key_std)]:
        yield _Named(f"{average} / {deviation}", m / s)
        yield _Named(average, m)
        yield _Named(f"{average} · {deviation}", m * s)
        yield _Named(f"{average} / {deviation}²", m / s**2)
        yield _Named(f"{average} (1 / {deviation} + 1 / {deviation}²)", m / s + m / s**2)
        yield _Named(f"255 {average} / {deviation}", 255 * m / s)
        yield _Named(f"{average} / (255 {deviation})", m / s / 255)
        yield _Named(f"255 {average}", 255 * m)


def _pixels_in_words(run: Run, node: Node, mean: Array, std: Array) -> str:
    """Whether the port's pixels are normalized, so that the parameters must not do it."""
    pixels = np.asarray(run.value(run.graph.nodes[node.inputs[0]].inputs[0]), np.float64)
    right, images = normalizing(mean, std).apply(pixels), run.value(node.inputs[0])
    are_right = images.shape == right.shape and np.abs(images - right).max() <= SAME
    return "though the pixels are normalized too" if are_right else "and the pixels are not the key's"
