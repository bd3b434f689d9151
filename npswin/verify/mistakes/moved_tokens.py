"""Products of matrices whose one factor is that of another head, window or image in some of its tokens alone.

So are keys that are loaded in tiles, of which the last one is still that of the window before. In the scores, the wrong
rows or columns tell the tokens. The context sums over the tokens of v: one of its rows tells from which token on the
values are others.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.parts import entries_text
from npswin.verify.fits.words import ANY_ORDER, Axis, other_words_along, words_along
from npswin.verify.graph import Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Rearrangement, change_node, gather, is_output_of, transform_input
from npswin.verify.mistakes.moved_slices import AXES, MOST_ENTRIES, sources, stacked, taken_from

COMPARED = 4  # rows of the other factor by which sources are told
FEWEST_NUMBERS = 3  # of a row of the context by which tokens are told
MOST_STEPS = 8  # from an entry to that in place of it, the most frequent ones
MOST_SPLITS = 4  # of the tokens, the likeliest first


def fit_moved_tokens(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of scores and of the context by tokens of a factor that are those of another place.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "scores", "mix") or not np.isfinite(found).all():
        return
    assert node.operation is not None
    factors, right = [run.value(read) for read in node.inputs], run.compute(name)
    if found.shape != right.shape or factors[0].shape[:3] != factors[1].shape[:3]:
        return
    difference = found - right
    # As products x yᵀ of two factors (..., tokens, d): the scores q kᵀ, and the context p v as p (vᵀ)ᵀ.
    other_rows = factors[1] if is_output_of(node, "scores") else factors[1].swapaxes(-1, -2)
    for index, read in enumerate(node.inputs):
        explained, is_summed = False, index == 1 and is_output_of(node, "mix")
        wrong = (np.abs(difference) > tolerance).any(axis=(0, 1, 2, 4 - index))  # rows or columns
        if not is_summed and (wrong.all() or not wrong.any()):
            continue
        for (start, end), part in AXES.items():
            if explained and part.startswith("head of"):
                break
            stacks = [stacked(x, start, end) for x in (factors[0], other_rows, found)]
            of_sum = _summed_tokens(stacks, stacked(difference, start, end), tolerance) if is_summed else [wrong]
            for tokens in of_sum:
                source = _source(stacks, index, tokens, is_summed, tolerance)
                if source is None or ANY_ORDER in (words := words_along(Axis(part, len(source)), source)):
                    continue
                at, axis, explained = f"{read}, in {_in_words(tokens)}", Axis(part, len(source)), True
                changed = transform_input(node.operation, index, gather(_moved(source, start, end, tokens)))
                also = tuple(f"{at}: {other}" for other in other_words_along(axis, source))
                yield Fit(f"{at}: {words}", change_node(node, changed), 0, also)
                break


def _summed_tokens(stacks: list[Array], difference: Array, tolerance: float) -> Iterator[Array]:
    """The tokens (N), the last ones or the first ones, whose values another entry has where the context differs most.

    Args:
        stacks: probabilities (before, entries, after, N, N), values (..., d, N) and the port's contexts (..., N, d).
        difference: of these from the right ones.
        tolerance: the largest difference of equal numbers.
    """
    p, v, found = stacks
    count = p.shape[-1]
    if not 1 < p.shape[1] <= MOST_ENTRIES or found.shape[-1] < FEWEST_NUMBERS:
        return
    before, entry, after, row, _ = np.unravel_index(np.abs(difference).argmax(), difference.shape)
    sums = np.cumsum(v[before, :, after] * p[before, entry, after, row], axis=-1)  # (entries, d, N)
    own, numbers = sums[entry], found[before, entry, after, row][:, None]
    splits = np.arange(1, count)
    until = sums[..., :-1]
    last = own[:, :-1] + (sums[..., -1:] - until)
    first = until + (own[:, -1:] - own[:, :-1])
    far = np.stack([np.abs(one - numbers).max(axis=1).min(axis=0) for one in (last, first)])  # (2, N - 1)
    for place in np.argsort(far, axis=None)[:MOST_SPLITS]:
        which, split = np.unravel_index(place, far.shape)
        if far[which, split] <= 2 * tolerance:
            yield (np.arange(count) >= splits[split]) == (which == 0)


def _source(stacks: list[Array], index: int, tokens: Array, is_summed: bool, tolerance: float) -> Array | None:
    """For each entry that of which the tokens of a factor are: see `sources`."""
    one, other, found = stacks if index == 0 else (stacks[1], stacks[0], stacks[2].swapaxes(-1, -2))
    if is_summed:  # without what the other tokens add
        found = found - one[..., ~tokens] @ other[..., ~tokens].swapaxes(-1, -2)
        one, other = one[..., tokens], other[..., tokens]
    else:
        one, found = one[..., tokens, :], found[..., tokens, :]
    few = [one, other[..., :COMPARED, :], found[..., :COMPARED]]
    source = sources(few, _product, tolerance)
    return source if source is None else next(_by_a_rule(source, few, tolerance), source)


def _product(one: Array, other: Array) -> Array:
    return np.asarray(one @ other.swapaxes(-1, -2))


def _by_a_rule(source: Array, stacks: list[Array], tolerance: float) -> Iterator[Array]:
    """The same entry before or after each, where some tokens are the same in several: those of the padding are."""
    one, other, found = stacks
    index = np.arange(len(source))
    steps, counts = np.unique((source - index)[source != index], return_counts=True)
    for step in steps[np.argsort(-counts)][:MOST_STEPS]:
        for moved in (np.clip(index + step, 0, len(index) - 1), (index + step) % len(index)):
            if (np.abs(_product(one[:, moved], other) - found) <= 2 * tolerance).all():
                yield moved


def _moved(source: Array, start: int, end: int, tokens: Array) -> Rearrangement:
    taken = taken_from(source, start, end)
    return lambda x: np.where(tokens[:, None], taken(x), x)


def _in_words(tokens: Array) -> str:
    """Such as "the last 2 of 9 tokens"."""
    count, (places,) = int(tokens.sum()), np.nonzero(tokens)
    for words, run in (("last", tokens[-count:]), ("first", tokens[:count])):
        if run.all():
            return f"the {words} {count} of {len(tokens)} tokens"
    return entries_text(Axis("token", len(tokens)), places)
