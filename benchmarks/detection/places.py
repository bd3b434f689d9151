"""The places where a mistake makes a difference, and the mistakes that can be made together."""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.detection.backward import NORM_TERMS, REDUCTIONS
from benchmarks.detection.conditions import other_orders, other_parts, other_shift_sizes
from benchmarks.detection.layout import Layout, Size, layout
from benchmarks.detection.masks import MASKS, USES
from benchmarks.detection.mistakes import BACKWARD, Planted
from benchmarks.detection.sites import SITES, shortcuts
from benchmarks.detection.windows import OTHER_AMOUNTS, WRONG_MASKS

_ROLLS = (
    "pad-after-shift",
    "roll-direction",
    "roll-missing",
    "roll-one-axis",
    "roll-back-missing",
    "roll-back-direction",
    "roll-back-size",
    "shift-size",
)
_MASKS = (*WRONG_MASKS, *MASKS, *USES, "mask-value", "mask-after-softmax")
_OTHER_SHAPES = ("merge-crop", "patch-crop", "patch-pad-more")  # of all that follows
# Pairs that undo each other in a block, or are equal there.
_SAME = (
    {"qkv-order"},
    {"shift-where-none", "mask-on-unshifted"},
    {"windows-columns-first", "join-columns-first"},
    {"cut-columns-first", "join-columns-first"},
    {"pad-other-side", "crop-elsewhere"},
    {"pad-other-side", "crop-memory"},
    {"pad-both-sides", "crop-elsewhere"},
    {"pad-both-sides", "crop-memory"},
)
# Forward mistakes with which some backward mistakes of the block make no difference.
_NO_MISTAKE_WITH = {
    "pad-after-shift": ("shift-not-undone", "padding-gradient"),
    "roll-missing": ("shift-not-undone",),
    "bias-missing": ("bias-overwritten", "bias-windows"),
    "scale-missing": ("scale-gradient",),
    "gelu-relu": ("gelu-density",),
}


_CHOICES: dict[str, list[Any]] = {
    "norm-eps": [1e-6, 1e-3],
    "roll-one-axis": [1, 2],
    "mask-value": [-1.0, 1.0],
    "factor": [0.5, 1.5, 2.0],
    "bias-windows": list(REDUCTIONS),
}


def places(mistake: str, config: Mapping[str, Any], image_size: Size, batch: int = 2) -> list[str]:
    """Every place where this mistake makes a difference: names of tensors, as in `Planted`.

    It is assumed that pixels differ from channel to channel, and mean and deviation from 0.5.
    """
    return SITES[mistake](layout(config, image_size, batch))


def draw(
    mistake: str, config: Mapping[str, Any], image_size: Size, rng: np.random.Generator, batch: int = 2
) -> Planted:
    """The mistake at one of its places, with its detail.

    Raises:
        ValueError: there is no place for it.
    """
    found = places(mistake, config, image_size, batch)
    if not found:
        raise ValueError(f"mistake: {mistake} makes no difference anywhere in this model")
    place = found[rng.integers(len(found))]
    choices = _details(mistake, place, layout(config, image_size))
    if choices:
        return Planted(mistake, place, choices[rng.integers(len(choices))])
    if mistake in ("drop-path", "dropout"):
        return Planted(mistake, place, (float(rng.choice([0.1, 0.2, 0.3, 0.5])), int(rng.integers(2**31))))
    return Planted(mistake, place, int(rng.integers(2**31)) if mistake == "merge-bias" else None)


def compatible(first: Planted, second: Planted, config: Mapping[str, Any], image_size: Size) -> bool:
    """Whether both can be made in one run, so that each makes a difference at its place."""
    plan = layout(config, image_size)
    return first.place != second.place and not (_hides(first, second, plan) or _hides(second, first, plan))


def check(mistakes: Iterable[Planted], config: Mapping[str, Any], image_size: Size, batch: int) -> None:
    """Raises ValueError where a mistake makes no difference at its place, or not together with another."""
    mistakes = list(mistakes)
    for planted in mistakes:
        if planted.place not in places(planted.id, config, image_size, batch):
            raise ValueError(f"mistakes: {planted.id} makes no difference at {planted.place}")
    for first, second in itertools.combinations(mistakes, 2):
        if not compatible(first, second, config, image_size):
            raise ValueError(f"mistakes: {first} and {second} cannot be made together")


def _hides(first: Planted, second: Planted, plan: Layout) -> bool:
    """Whether the first mistake changes or removes the effect of the second one at its place."""
    gradient_of = second.place.removeprefix("grad/") if second.id in BACKWARD else None
    same_block = _block_of(first.place) is not None and _block_of(first.place) == _block_of(second.place)
    if second.id in _NO_MISTAKE_WITH.get(first.id, ()) or {first.id, second.id} in _SAME:
        return same_block
    if first.id in _ROLLS and second.id in (*_ROLLS, "bias-overwritten"):  # of few tokens an entry may have one pair
        return same_block
    if first.id in OTHER_AMOUNTS:
        return same_block and (".attn." in second.place or second.id == "padding-gradient")
    if first.id in _MASKS and (second.id in (*_MASKS, "mask-other-window", "mask-before-scale", "mask-missing")):
        return same_block
    if {first.id, second.id} & set(_OTHER_SHAPES):
        return True
    if first.id in ("never-written", "branch-missing"):
        return same_block or (first.place.startswith(f"{_reader_of(gradient_of, plan)}."))
    if first.id == "linear-bias-missing" and second.id == "bias-gradient-averaged":
        return gradient_of == f"{first.place}.bias"
    if first.id in ("residual-after-norm", "residual-missing") and second.id == "shortcut-gradient":
        return shortcuts(plan)[first.place] == gradient_of
    if first.id in ("norm-eps-outside", "norm-of-squares") and second.id in NORM_TERMS:
        return _block_of(first.place) in (None, _block_of(second.place))
    if first.id == "blocks-input" and second.id == "shortcut-gradient":
        return same_block or first.place == gradient_of
    if first.id in ("pool-sum", "pool-first"):
        return second.id == "pool-gradient"
    if first.id == "pool-before-norm":
        return gradient_of in (plan.last, "norm", "avgpool")
    if first.id == "norm-after-reduction" and second.id in ("shortcut-gradient", "linear-gradient", *NORM_TERMS):
        name = first.place.removesuffix(".norm")
        return gradient_of in (f"{name}.concat", f"{name}.norm", f"{name}.reduction")
    return False


def _reader_of(name: str | None, plan: Layout) -> str | None:
    """The block that reads this tensor."""
    return next((block.name for block in plan.blocks if block.reads == name), None)


def _block_of(place: str) -> str | None:
    found = re.search(r"layers\.\d+\.blocks\.\d+", place)
    return found and found[0]


def _details(mistake: str, place: str, plan: Layout) -> list[Any]:
    """The details from which one is drawn, for mistakes with few of them."""
    if mistake == "qkv-order":
        return other_parts(place)
    if mistake in _CHOICES:
        return _CHOICES[mistake]
    if mistake in ("shift-size", "roll-back-size"):
        (block,) = (block for block in plan.blocks if place.startswith(f"{block.name}."))
        return other_shift_sizes(block)
    if mistake == "merge-order":
        (merging,) = (merging for merging in plan.mergings if place.startswith(f"{merging.name}."))
        return other_orders(merging)
    return []
