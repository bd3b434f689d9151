"""Sums of products in which terms are left out or weighted, and products whose heads are those of other heads.

Each number of a product a b is a sum over an inner index j, of keys for the probabilities and the values, of channels
for queries and keys. A port whose loop ends too early, or whose last tile is not read, has Σ w_j a_ij b_jk with a
weight for each j; these weights are few, and follow by least squares from the normal equations

    Σ_k w_k (Σ_i a_ij a_ik)(Σ_l b_jl b_kl) = Σ_il y_il a_ij b_jl ,

summed over images, windows and heads as well.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Pair, times
from npswin.verify.fits.families import factors_words
from npswin.verify.fits.left_out import keys_words
from npswin.verify.fits.mixing import different_weights, mixture, mixture_words
from npswin.verify.fits.words import Axis
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Changes, change_node, transform_input

NUMBERS_PER_WEIGHT = 8  # of the found array, at least
MOST_TERMS, MOST_HEADS = 1024, 32
ROUND = 1e-3  # a weight is 0 or 1 up to here
WORST_CONDITION = 1e10  # of the normal equations


class Product(NamedTuple):
    """A product with its factors as stacks of matrices, (stack, rows, terms) and (stack, terms, columns).

    Attributes:
        left, right: the factors.
        rest: what is added to it, of the shape (columns,), or 0.
        term: what the inner index counts, such as "key".
    """

    left: Array
    right: Array
    rest: Array
    term: str


def fit_terms(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a product by its terms, or by the heads of its factors."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name not in PRODUCTS:
        return
    if not np.isfinite(found).all() or found.shape != run.compute(name).shape:
        return
    product = PRODUCTS[node.operation.name](run, node)
    weights = _weights(product, found, tolerance)
    if weights is not None:
        words = _words(product.term, weights) + _as_parameter(run, weights)
        yield Fit(words, _changes(node, times(weights)), _fitted(weights))
    if node.operation.name != "linear":
        yield from _other_heads(run, node, found, tolerance)


def _weights(product: Product, found: Array, tolerance: float) -> Array | None:
    left, right = product.left, product.right
    terms = left.shape[-1]
    if terms > MOST_TERMS or terms < 2 or found.size < NUMBERS_PER_WEIGHT * terms:
        return None
    y = found.reshape(len(left), left.shape[1], right.shape[-1]) - product.rest
    of_left, of_right = left.swapaxes(1, 2) @ left, right @ right.swapaxes(1, 2)
    system = (of_left * of_right).sum(axis=0)
    wanted = ((left.swapaxes(1, 2) @ y) * right).sum(axis=(0, 2))
    if not np.linalg.cond(system) < WORST_CONDITION:
        return None
    weights = np.linalg.solve(system, wanted)
    for value in (0.0, 1.0):
        weights = np.where(np.abs(weights - value) < ROUND, value, weights)
    if (weights == 1).all() or np.abs((left * weights) @ right - y).max() > 2 * tolerance:
        return None
    return np.asarray(weights)


def _words(term: str, weights: Array) -> str:
    missing = np.flatnonzero(weights == 0)
    if missing.size and (weights[weights != 0] == 1).all():
        which = keys_words(missing, len(weights)).replace("key", term)
        return f"{which} {'is' if missing.size == 1 else 'are'} not read: the sum has no such terms"
    return f"in the sum, {factors_words(term, (0,), weights)}"


def _as_parameter(run: Run, weights: Array) -> str:
    """A note where the weights of the terms are a parameter, such as the gain of a norm that is folded."""
    alike = [name for name in run.graph.parameters if run.value(name).shape == weights.shape]
    same = [name for name in alike if np.abs(run.value(name) - weights).max() <= ROUND * np.abs(weights).max()]
    return f", the numbers of {same[0]}" if same and len(np.unique(np.round(weights, 4))) > 2 else ""


def _fitted(weights: Array) -> int:
    """How many numbers were fitted: one at least, so that a general family that says the same goes first."""
    return max(1, len(np.unique(np.round(weights[(weights != 0) & (weights != 1)], 4))))


def _changes(node: Node, pair: Pair, index: int = 0) -> Changes:
    assert node.operation is not None
    return change_node(node, transform_input(node.operation, index, pair))


def _other_heads(run: Run, node: Node, found: Array, tolerance: float) -> Iterator[Fit]:
    """One factor's heads are sums of heads: their mean, the first for all, shared in groups."""
    inputs = [run.value(read) for read in node.inputs]
    assert node.operation is not None
    heads = found.shape[2]
    if not 2 <= heads <= MOST_HEADS:
        return
    for index, read in enumerate(node.inputs):
        weights = np.zeros((heads, heads))
        other = inputs[1 - index]
        for head in range(heads):
            pair = [inputs[index], np.repeat(other[:, :, head : head + 1], heads, axis=2)]
            terms, _ = node.operation.forward(*(pair if index == 0 else pair[::-1]), **node.settings)
            columns = np.moveaxis(terms, 2, -1).reshape(-1, heads)
            y = found[:, :, head].reshape(-1)
            solution, _, rank, _ = np.linalg.lstsq(columns, y, rcond=1e-8)
            if rank < heads or np.abs(columns @ solution - y).max() > 2 * tolerance:
                break
            weights[head] = solution
        else:
            for value in (0.0, 1.0):
                weights = np.where(np.abs(weights - value) < ROUND, value, weights)
            if np.array_equal(weights, np.eye(heads)):
                continue
            shape = inputs[index].shape
            mixed = mixture(weights, (shape[0] * shape[1], heads, int(np.prod(shape[3:]))))
            words = f"{read}: {mixture_words(Axis('head', heads), weights)}"
            yield Fit(words, _changes(node, mixed, index), max(1, different_weights(weights)))


def _of_context(run: Run, node: Node) -> Product:
    probabilities, values = (run.value(read) for read in node.inputs)
    return Product(_stacked(probabilities), _stacked(values), np.zeros(1), "key")


def _of_scores(run: Run, node: Node) -> Product:
    queries, keys = (run.value(read) for read in node.inputs)
    return Product(_stacked(queries), _stacked(keys).swapaxes(1, 2), np.zeros(1), "channel")


def _of_linear(run: Run, node: Node) -> Product:
    x, weight, *bias = (run.value(read) for read in node.inputs)
    return Product(x.reshape(1, -1, x.shape[-1]), weight.T[None], bias[0] if bias else np.zeros(1), "channel")


def _stacked(matrices: Array) -> Array:
    return np.asarray(matrices.reshape(-1, *matrices.shape[-2:]), np.float64)


PRODUCTS: dict[str, Callable[[Run, Node], Product]] = {
    "mix": _of_context,
    "scores": _of_scores,
    "linear": _of_linear,
}
