"""Where a mistake can be made so that it makes a difference, and which mistakes can be made together."""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.detection.backward import NORM_TERMS
from benchmarks.detection.layout import Layout, Size, layout
from benchmarks.detection.mistakes import BACKWARD, Planted
from benchmarks.detection.sites import SITES, other_orders, other_shifts, shortcuts

_ROLLS = ("pad-after-shift", "roll-direction", "roll-back-missing", "roll-back-direction", "shift-size")


def places(mistake: str, config: Mapping[str, Any], image_size: Size, batch: int = 2) -> list[str]:
    """Every place where this mistake makes a difference: names of tensors, as in `Planted`.

    That pixels differ from channel to channel, and mean and deviation from 0.5, is taken for granted.
    """
    if mistake == "averaged-twice" and batch == 1:
        return []
    return SITES[mistake](layout(config, image_size))


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
    if mistake == "drop-path":
        return Planted(mistake, place, (float(rng.choice([0.1, 0.2, 0.3, 0.5])), int(rng.integers(2**31))))
    return Planted(mistake, place, int(rng.integers(2**31)) if mistake == "merge-bias" else None)


def compatible(first: Planted, second: Planted, config: Mapping[str, Any], image_size: Size) -> bool:
    """Whether both can be made in one run, each to be seen at its place."""
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
    """Whether the first mistake keeps the second one from being what it is at its place."""
    gradient_of = second.place.removeprefix("grad/") if second.id in BACKWARD else None
    same_block = _block_of(first.place) is not None and _block_of(first.place) == _block_of(second.place)
    if first.id == "pad-after-shift" and second.id in ("shift-not-undone", "padding-gradient"):
        return same_block
    if first.id in _ROLLS and second.id in _ROLLS:
        return same_block
    if {first.id, second.id} == {"shift-where-none", "mask-on-unshifted"}:
        return same_block
    if first.id == "bias-missing" and second.id == "bias-overwritten":
        return same_block
    if first.id == "residual-after-norm" and second.id == "shortcut-gradient":
        return shortcuts(plan)[first.place] == gradient_of
    if first.id == "pool-before-norm" and second.id in NORM_TERMS:
        return gradient_of == plan.last
    if first.id == "norm-after-reduction" and second.id in ("shortcut-gradient", *NORM_TERMS):
        name = first.place.removesuffix(".norm")
        return gradient_of in (f"{name}.concat", f"{name}.reduction")
    return False


def _block_of(place: str) -> str | None:
    found = re.search(r"layers\.\d+\.blocks\.\d+", place)
    return found and found[0]


def _details(mistake: str, place: str, plan: Layout) -> list[Any]:
    """The details between which one is drawn, for mistakes that have few."""
    if mistake == "norm-eps":
        return [1e-6, 1e-3]
    if mistake == "shift-size":
        (block,) = (block for block in plan.blocks if place.startswith(f"{block.name}."))
        return other_shifts(block)
    if mistake == "merge-order":
        (merging,) = (merging for merging in plan.mergings if place.startswith(f"{merging.name}."))
        return other_orders(merging)
    return []
