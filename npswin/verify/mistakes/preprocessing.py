"""Images that were prepared in another way: a linear map of the key's pixels, fitted to the port's first tensor.

What happens to an image before the first layer is, for one pixel, a linear map of its channels and an offset: a range,
a mean and a deviation, an order of the channels, a gray image. Both are found by least squares between the key's pixels
and the port's `input`, or its patch embedding, which is linear too. The pixels may also be at other places: upside
down, turned, moved by one, or read from the memory in another order.
"""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Node, Run
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.arrangements import Arrangement, arrangements, in_key_order
from npswin.verify.mistakes.colour_spaces import recognized_colours
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of
from npswin.verify.mistakes.normalization import (
    COLOURS,
    Affine,
    Statistics,
    normalizing,
    order_in_words,
    recognized,
    weights_in_words,
)
from npswin.verify.mistakes.own_statistics import own_statistics

Function = Callable[[Array], Array]  # of the pixels (B, c, H, W)

EXPLAINED = 0.02  # largest deviation of the port's numbers from a fit, as a share; bfloat16 deviates by 0.004
EXACT = 1e-5  # deviation of a fit that no other one improves
BETTER = 0.5  # a fit with more numbers, of several channels or of each image, has to deviate at most so much
SMALL = 1e-3  # of a channel's part in another, as a share of the largest: less is rounding
MOST_ROWS = 2**18  # of a linear system; more make the fit no better
FEWEST = 8  # numbers of a tensor for each fitted one


def _fit(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    node = run.graph.nodes[place]
    if symptom.startswith(GRADIENT_PREFIX) or not is_output_of(node, "normalize") or not found.any():
        return
    pixels, found = np.asarray(run.value(node.inputs[0]), np.float64), np.asarray(found, np.float64)
    if found.size < FEWEST * pixels.shape[1] * (pixels.shape[1] + 1):
        return
    if symptom == place:
        maps = linear_maps(*_mean_and_std(node), pixels, found)
        yield from ((words, _prepared(node, prepare)) for words, prepare in maps)
    elif is_output_of(run.graph.nodes[symptom], "patch_embed"):
        yield from _of_patches(run, symptom, node, pixels, found)


def linear_maps(mean: Array, std: Array, pixels: Array, found: Array) -> Iterator[tuple[str, Function]]:
    """From `input` itself: the arrangement whose fit is the nearest, and each image's own statistics.

    Args:
        mean, std: (c), of the key's normalization.
        pixels: (B, c, H, W) from 0 to 255.
        found: what the port made of them.
    """
    nearest, best = np.inf, None
    statistics = _statistics(mean, std, pixels)
    for arrangement in arrangements(pixels.shape):
        for after in (False, True) if arrangement.mixes_channels else (False,):
            there = pixels if after else arrangement.apply(pixels)
            fit = _linear(there, in_key_order(arrangement, found) if after else found)
            if fit is not None and fit[2] < nearest:
                nearest, best = fit[2], (arrangement, after, fit[0], fit[1])
        if nearest < EXACT:
            break
    if best is not None:
        yield _described(statistics, *best)
    if nearest > EXACT:
        own = own_statistics(pixels, found, statistics)
        if own is not None and own[1] <= min(EXPLAINED, BETTER * nearest):
            scale, offset = own[0].scale, own[0].offset
            yield own[0].words, lambda pixels: scale * pixels + offset


def _linear(pixels: Array, wanted: Array) -> tuple[Array, Array, float] | None:
    """The matrix (c, c) and the offsets (c) for which matrix · pixel + offset is `wanted`, and the deviation from it.

    A channel that depends on one channel alone gets no part of the others; of channels that are alike its own is taken.
    None where the deviation is large.
    """
    channels = pixels.shape[1]
    source, target = (np.moveaxis(array, 1, 0).reshape(channels, -1) for array in (pixels, wanted))
    matrix, offset, largest = np.zeros((channels, channels)), np.zeros(channels), 0.0
    for channel, values in enumerate(target):
        own_first = sorted(range(channels), key=lambda other: other != channel)
        fits = [(_affine(source[[other]], values), [other]) for other in own_first]
        (solution, deviation), chosen = min(fits, key=lambda fit: fit[0][1])
        if deviation > EXACT:
            mixed = _affine(source, values)
            if mixed[1] < BETTER * deviation:
                (solution, deviation), chosen = mixed, list(range(channels))
        if deviation > EXPLAINED:
            return None
        matrix[channel, chosen], offset[channel] = solution[:-1], solution[-1]
        largest = max(largest, deviation)
    return matrix, offset, largest


def _affine(sources: Array, values: Array) -> tuple[Array, float]:
    """The factors of the sources and the offset whose sum is the nearest to `values`, and the deviation from it."""
    columns = np.stack([*sources, np.ones_like(values)], axis=1)
    solution = np.linalg.lstsq(columns, values, rcond=None)[0]
    spread = _rms(values - values.mean()) or _rms(values) or 1.0
    return solution, _rms(columns @ solution - values) / spread


def _of_patches(run: Run, symptom: str, node: Node, pixels: Array, found: Array) -> Iterator[Fit]:
    """From the patch embedding, which is linear in the matrix and the offsets."""
    channels, patch_embed = pixels.shape[1], run.graph.nodes[symptom]
    assert patch_embed.operation is not None
    operation, weights = patch_embed.operation, [run.value(name) for name in patch_embed.inputs[1:]]

    def embedded(images: Array) -> Array:
        return np.asarray(operation.forward(images, *weights, **patch_embed.settings)[0], np.float64)

    black = embedded(np.zeros_like(pixels))
    if black.shape != found.shape:
        return
    rows = slice(None, None, max(1, found.size // MOST_ROWS))
    wanted = (found - black).reshape(-1)[rows]
    for arrangement in arrangements(pixels.shape, moved=False):
        there, columns = arrangement.apply(pixels), []
        for channel in range(channels):
            for source in [*np.moveaxis(there, 1, 0), np.ones_like(there[:, 0])]:
                image = np.zeros_like(pixels)
                image[:, channel] = source
                columns.append((embedded(image) - black).reshape(-1)[rows])
        system = np.stack(columns, axis=1)
        numbers = np.linalg.lstsq(system, wanted, rcond=None)[0]
        if _rms(system @ numbers - wanted) <= EXPLAINED * _rms(wanted):
            parts = numbers.reshape(channels, channels + 1)
            statistics = _statistics(*_mean_and_std(node), pixels)
            words, prepare = _described(statistics, arrangement, False, parts[:, :-1], parts[:, -1])
            yield words, _prepared(node, prepare)
            return


def _mean_and_std(node: Node) -> tuple[Array, Array]:
    return np.array(node.settings["mean"]), np.array(node.settings["std"])


def _statistics(mean: Array, std: Array, pixels: Array) -> Statistics:
    own = pixels.mean((0, 2, 3)) / 255, pixels.std((0, 2, 3)) / 255
    return {"the key's": (mean, std), "the batch's own": own}


def _described(
    statistics: Statistics, arrangement: Arrangement, after: bool, matrix: Array, offset: Array
) -> tuple[str, Function]:
    """A fitted map in words, and as a function of the pixels."""
    words, channels = [arrangement.words], np.arange(len(matrix))
    right = normalizing(*statistics["the key's"])
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    parts = np.abs(matrix) > SMALL * np.where(largest, largest, 1)
    total = matrix.sum(axis=1)
    if (parts.sum(axis=1) == 1).all():
        source = parts.argmax(axis=1)
        order = np.argsort(source) if len(set(source)) == len(source) else channels  # the colours in the key's order
        affine = recognized(total[order], offset[order], statistics)
        matrix, back = np.zeros_like(matrix), np.argsort(order)
        matrix[channels, source], offset = affine.scale[back], affine.offset[back]
        order_words = order_in_words(source)
        is_right = right.is_near(affine.scale, affine.offset) and any((*words, order_words))
        words += [order_words, "" if is_right else affine.words]
    elif np.allclose(matrix / total[:, None], matrix[0] / total[0], atol=0.01):
        affine = recognized(total, offset, statistics)
        words.append(f"the image is gray, {weights_in_words(matrix[0] / total[0])}")
        words.append("" if right.is_near(affine.scale, affine.offset) else affine.words)
    elif len(matrix) == len(COLOURS):
        words.append(_colours(right, matrix, offset))
    else:
        rows = "; ".join(weights_in_words(255 * row) for row in matrix)
        words.append(f"the channels are mixed: {rows}, of pixel / 255")

    def prepare(pixels: Array) -> Array:
        moved = pixels if after else arrangement.apply(pixels)
        mixed = np.einsum("ij,bjhw->bihw", matrix, moved) + offset[:, None, None]
        return arrangement.apply(mixed) if after else mixed

    return "; ".join(filter(None, words)), prepare


def _colours(right: Affine, matrix: Array, offset: Array) -> str:
    """A mixture of colours in words, before the key's normalization or without one."""
    whole = Affine("pixels are divided by 255 and not normalized", np.full(3, 1 / 255), np.zeros(3))
    before, is_known = recognized_colours(matrix / right.scale[:, None], (offset - right.offset) / right.scale)
    if is_known:
        return before
    without, is_known = recognized_colours(matrix / whole.scale[:, None], offset / whole.scale)
    return f"{without}; {whole.words}" if is_known else before


def _prepared(node: Node, prepare: Function) -> Changes:
    return change_node(node, constant("normalize", lambda pixels, **_: prepare(pixels)))


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(array * array)))


PREPROCESSING = (
    FittedMistake(
        "normalization",
        "pixels are prepared in another way",
        "x = (pixel / 255 - mean) / deviation, with the key's mean and deviation for each channel (manifest.json), red "
        "first",
        _fit,
    ),
)
