"""The cases of the key that npswin golden writes: a model with images and labels each."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.models import SwinTransformer
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, swin_graph
from npswin.verify.key.cases import MOST_CASES
from npswin.verify.key.golden import EVEN_MINIATURE, draw_labels, draw_pixels, randomize_weights, read_images
from npswin.verify.key.stress import stress_weights
from npswin.verify.key.trace import Normalization

Size = tuple[int, int]


@dataclass(frozen=True)
class GoldenCase:
    """What one key is computed from.

    Attributes:
        name: of its subfolder, "" for the key itself.
        model: with its weights.
        pixels: (B, c, H, W), uint8.
        labels: (B,).
    """

    name: str
    model: SwinTransformer
    pixels: Array
    labels: Array

    @property
    def normalization(self) -> Normalization:
        """ImageNet's mean and deviation; 0.5 for images of another number of channels."""
        channels = self.model.in_chans
        return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ([0.5] * channels, [0.5] * channels)


def draw_weights(options: argparse.Namespace, model: SwinTransformer) -> None:
    """Random weights, for --stress those that half precision fails on."""
    if options.stress:
        stress_weights(model, options.seed)
    else:
        randomize_weights(model, options.seed)


def golden_cases(options: argparse.Namespace, model: SwinTransformer) -> list[GoldenCase]:
    """The key itself, and its further cases: the even miniature, or the other sizes and numbers of images."""
    sizes_and_batches = _sizes_and_batches(options, model)
    labels = _labels(options, model, max(batch for _, batch in sizes_and_batches))
    cases: list[GoldenCase] = []
    for size, batch in sizes_and_batches:
        name = f"{batch}x{size[0]}x{size[1]}" if cases else ""
        cases.append(GoldenCase(name, model, _pixels(options, model, size, batch), labels[:batch]))
    chosen = (options.model, options.config, options.weights, options.size, options.image)
    if chosen == (None,) * len(chosen) and len(cases) == 1:
        even = SwinTransformer(**{**EVEN_MINIATURE, "dtype": options.dtype})
        draw_weights(options, even)
        cases.append(
            GoldenCase("even", even, draw_pixels(options.seed, len(labels), EVEN_MINIATURE["img_size"]), labels)
        )
    return cases


def _sizes_and_batches(options: argparse.Namespace, model: SwinTransformer) -> list[tuple[Size, int]]:
    """Size and number of the images of each case."""
    own = model.config["img_size"]
    if options.size is None and own is None:
        raise ValueError("--size: got none, and the model has no img_size; expected H W")
    sizes = options.size or [[own, own] if isinstance(own, int) else own]
    batches = options.batch or [len(options.image) if options.image else 2]
    for height, width in sizes:
        if min(height, width) < 1:
            raise ValueError(f"--size: got {height} {width}, expected at least 1 pixel")
    if min(batches) < 1:
        raise ValueError(f"--batch: got {min(batches)}, expected at least 1")
    count = max(len(sizes), len(batches))
    if any(len(listed) not in (1, count) for listed in (sizes, batches)):
        raise ValueError(f"--batch: got {len(batches)} numbers, expected one, or one for each of {len(sizes)} sizes")
    if count > MOST_CASES:
        raise ValueError(f"--size, --batch: got {count} cases, expected at most {MOST_CASES}")
    both = [(tuple(sizes[i % len(sizes)]), batches[i % len(batches)]) for i in range(count)]
    if len(set(both)) < count:
        raise ValueError("--size, --batch: got the same images twice, expected cases that differ")
    return both


def _pixels(options: argparse.Namespace, model: SwinTransformer, size: Size, batch: int) -> Array:
    """The first images of the files; random ones follow if there are fewer files than images."""
    files = (options.image or [])[:batch]
    if files and model.in_chans != 3:
        raise ValueError(f"--image: the model takes {model.in_chans} channels, expected 3 for an image")
    drawn = draw_pixels(options.seed, batch, size, model.in_chans)
    return np.concatenate([read_images(files, size), drawn[len(files) :]]) if files else drawn


def _labels(options: argparse.Namespace, model: SwinTransformer, count: int) -> Array:
    """The classes of the largest batch."""
    if options.labels is not None:
        if len(options.labels) != count:
            raise ValueError(f"--labels: got {len(options.labels)}, expected one for each of {count} images")
        return np.array(options.labels)
    return draw_labels(options.seed, count, model.num_classes) if model.num_classes else np.zeros(0, int)


def patterns_of_cases(only: Sequence[str], cases: Sequence[GoldenCase], backward: bool) -> dict[str, Sequence[str]]:
    """By case the patterns of --only that match one of its tensors; each has to match in one of the cases.

    A case in which none matches stores its loss alone.
    """
    matching: dict[str, Sequence[str]] = {}
    for case in cases:
        nodes = swin_graph(case.model, case.pixels.shape[2:], case.normalization)
        names = [*nodes.nodes, *(GRADIENT_PREFIX + name for name in nodes.differentiable if backward)]
        matching[case.name] = [pattern for pattern in only if any(fnmatch(name, pattern) for name in names)]
    unmatched = set(only).difference(*matching.values())
    if unmatched:  # write_key says what is wrong with it
        return dict.fromkeys(matching, sorted(unmatched))
    return {case: patterns or (["loss"] if only else []) for case, patterns in matching.items()}
