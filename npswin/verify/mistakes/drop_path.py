"""Drop path that was left on: in inference no branch is dropped, and none is scaled.

Stochastic depth (Huang et al. 2016) skips a branch for some images and divides it by the share that is kept for the
others. The factor of each image and branch is fitted to what was dumped behind them.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from npswin.ops.residual import residual_backward, residual_forward
from npswin.types import Array
from npswin.verify.fits.explanation import times
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Operation, Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_input, transform_output

NEWTON_STEPS = 5
NEAR = 1e-2  # largest distance of a fitted factor from 0, 1 or the common one
STARTS = (0.0, 1.0, 1.25)  # factors from which Newton's method begins
STEP = 1e-6
FEWEST_RUNS = 3  # more stretches than these of tokens that skip a branch and of tokens that do not are drawn


def _drop_path(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """Some images skip the branch."""
    scale = _scale_of_branch(run, symptom, found, place)
    if scale is not None and not scale.all():
        yield _words(scale), _with_factors(run.graph, place, scale)


def _branch_factor(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """The branch is multiplied by the same factor for all images."""
    scale = _scale_of_branch(run, symptom, found, place)
    if scale is not None and scale.all():
        factor = float(scale[0])
        rate = f", as drop path of rate {1 - 1 / factor:.3g} does where it is left on" if factor > 1 else ""
        yield f"by {factor:.4g}{rate}", _with_factors(run.graph, place, scale)


def _both_branches(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """Drop path in both branches of a block of which only the output was dumped."""
    first = f"{place}.residual"
    if symptom != place or first not in run.graph.nodes or first in run.given:
        return
    if not is_output_of(run.graph.nodes[place], "residual") or not is_output_of(run.graph.nodes[first], "residual"):
        return
    batch = len(run.value(run.graph.nodes[first].inputs[0]))
    if found.shape[:1] == (batch,):
        scales = [_common(factors) for factors in _factors(run, symptom, found, [first, place], batch)]
        if all(scale is not None and np.abs(scale - 1).max() > NEAR for scale in scales):
            attention, mlp = (scale for scale in scales if scale is not None)
            changes = _with_factors(run.graph, first, attention) | _with_factors(run.graph, place, mlp)
            yield f"the attention branch: {_words(attention)}; the MLP branch: {_words(mlp)}", changes


def _drop_tokens(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """Some tokens skip the branch, drawn for each token and not for each image."""
    node = run.graph.nodes[place]
    if place != symptom or not is_output_of(node, "residual"):
        return
    x, branch = (run.value(read) for read in node.inputs)
    if found.shape != x.shape or x.ndim != 4:
        return
    rows = branch.reshape(-1, branch.shape[-1])
    scale = _common(_own_factors(rows, (found - x).reshape(rows.shape)))
    if scale is None or scale.all() or not scale.any() or not _are_scattered(scale == 0):
        return
    factors = scale.reshape(x.shape[:3])
    skipping = f"{np.mean(scale == 0):.0%} of the tokens skip the branch"
    words = f"for each token by itself: {skipping}; the others' is multiplied by {scale.max():.4g}"
    assert node.operation is not None
    yield words, change_node(node, transform_input(node.operation, 1, times(factors[..., None])))


def _are_scattered(chosen: Array) -> bool:
    """Whether tokens were chosen at random: those of a loop that ends early stand side by side."""
    runs = 1 + np.count_nonzero(np.diff(chosen.astype(int)))
    return bool(runs > FEWEST_RUNS)


def _scale_of_branch(run: Run, symptom: str, found: Array, place: str) -> Array | None:
    """The factor of each image, if these are 0 and one other number, and not all 1."""
    node = run.graph.nodes[place]
    ends_branch = place == symptom and _ends_branch(run.graph, place)
    if not (ends_branch or is_output_of(node, "residual")) or symptom.startswith(GRADIENT_PREFIX):
        return None
    if ends_branch:
        right = run.compute(symptom)
        if found.shape != right.shape:
            return None
        scale = _common(_own_factors(right, found))
        if scale is not None and scale.max() <= 1 + NEAR:  # zeros alone are told as such
            return None
    else:
        batch = len(run.value(node.inputs[0]))
        if found.shape[:1] != (batch,):
            return None
        scale = _common(_factors(run, symptom, found, [place], batch)[0])
    return None if scale is None or np.abs(scale - 1).max() <= 1e-5 else scale


def _ends_branch(graph: Graph, name: str) -> bool:
    """Whether a tensor is what a block adds to its input: the port dumped it after drop path."""
    return any(
        is_output_of(graph.nodes[user], "residual") and graph.nodes[user].inputs[1] == name
        for user in graph.consumers[name]
    )


def _own_factors(right: Array, found: Array) -> Array:
    """The factor (B,) of each image of a tensor, by least squares."""
    rows, wanted = right.reshape(len(right), -1), found.reshape(len(right), -1)
    squares = np.square(rows).sum(axis=1)
    return (rows * wanted).sum(axis=1) / np.where(squares == 0, 1, squares)


def _common(factors: Array) -> Array | None:
    """The factors as 0 and one other number above 1, or None."""
    nonzero = factors[np.abs(factors) > NEAR]
    factor = float(nonzero.mean()) if nonzero.size else 0.0
    scale = np.where(np.abs(factors) > NEAR, factor, 0.0)
    possible = factor == 0 or factor > 1 - NEAR
    return scale if possible and np.abs(factors - scale).max() <= NEAR else None


def _words(scale: Array) -> str:
    factor, skipping = float(scale.max()), [str(image) for image in np.flatnonzero(scale == 0)]
    words = f"image {', '.join(skipping)} of the batch skips the branch" if skipping else ""
    if factor > 1 + NEAR:
        words += f"{'; ' if words else ''}the branch is multiplied by {factor:.4g}, a rate of {1 - 1 / factor:.3g}"
    return words


def _factors(run: Run, symptom: str, found: Array, places: Sequence[str], batch: int) -> list[Array]:
    """The factors of the branches that end at these places, (B,) each, by the Gauss-Newton method for each image."""

    def symptom_with(factors: Sequence[Array]) -> Array:
        changes: Changes = {}
        for place, one in zip(places, factors, strict=True):
            changes |= _with_factors(run.graph, place, one)
        return run.replaced(changes).compute(symptom).reshape(batch, -1)

    wanted = found.reshape(batch, -1)
    starts = np.array(list(product(STARTS, repeat=len(places))))
    errors = [((symptom_with([np.full(batch, one) for one in start]) - wanted) ** 2).sum(axis=1) for start in starts]
    factors = starts[np.argmin(errors, axis=0)].T.copy()  # (places, B)
    for _ in range(NEWTON_STEPS):
        now = symptom_with(list(factors))
        slopes = []
        for place in range(len(places)):
            moved = factors.copy()
            moved[place] += STEP
            slopes.append((symptom_with(list(moved)) - now) / STEP)
        slope = np.stack(slopes, axis=1)  # (B, places, numbers)
        squares = slope @ slope.swapaxes(1, 2) + 1e-12 * np.eye(len(places))
        factors += np.linalg.solve(squares, slope @ (wanted - now)[:, :, None])[:, :, 0].T
    return list(factors)


def _with_factors(graph: Graph, place: str, factors: Array) -> Changes:
    def forward(x: Array, y: Array) -> tuple[Array, object]:
        return residual_forward(x, y, factors.astype(x.dtype))

    node = graph.nodes[place]
    if is_output_of(node, "residual"):
        return change_node(node, Operation("residual", forward, residual_backward))
    assert node.operation is not None

    def scaled(x: Array) -> Array:
        return x * factors.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)

    return change_node(node, transform_output(node.operation, (lambda x: (scaled(x), None), lambda dy, _: scaled(dy))))


LEFT_ON = "drop path is left on"
FIX = "in inference no branch is dropped, and none is scaled"
DROP_PATH = (
    FittedMistake("drop-path", LEFT_ON, FIX, _drop_path, varies=True),
    FittedMistake("drop-path-of-tokens", LEFT_ON, FIX, _drop_tokens, varies=True),
    FittedMistake("branch-factor", "the branch is multiplied", "x + branch(norm(x)), as it is", _branch_factor),
    FittedMistake("drop-path-twice", f"{LEFT_ON} in both branches", FIX, _both_branches, varies=True),
)
