"""Halves of the channels that gate each other, as in GLU, or that are treated differently."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.functions import gelu, sigmoid
from npswin.verify.graph import GRADIENT_PREFIX, Node, Operation, Run
from npswin.verify.graph.operations import one_input
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Pair, change_node, is_output_of, transform_input

MARGIN = 4.0  # times the tolerance
MOST_ROWS, MOST_OUTPUTS = 64, 64  # on which a gate is tried
STEP = 1e-30  # of the complex step, which gives the derivative to the last digit
Gate = Callable[[Array, Array], Array]  # of the two halves

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "GELU": gelu,
    "SiLU": lambda x: x * sigmoid(x),
    "ReLU": lambda x: x * (x.real > 0),
    "tanh": np.tanh,
}
SPLITS: dict[str, tuple[Callable[[Array], tuple[Array, Array]], Callable[[Array, Array], Array]]] = {
    "a is the first half of the channels and b the second": (
        lambda x: (x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]),
        lambda a, b: np.concatenate([a, b], axis=-1),
    ),
    "a has the even channels and b the odd ones": (
        lambda x: (x[..., ::2], x[..., 1::2]),
        lambda a, b: np.stack([a, b], axis=-1).reshape(*a.shape[:-1], -1),
    ),
}


def _gates() -> dict[str, Gate]:
    """What half of the result may be made of the halves a and b."""
    gates: dict[str, Gate] = {
        "0": lambda a, b: 0 * a,
        "a": lambda a, b: a,
        "b": lambda a, b: b,
        "a b": lambda a, b: a * b,
        "max(a, b)": lambda a, b: np.where(a.real > b.real, a, b),
        "a + b": lambda a, b: a + b,
    }
    for name, function in FUNCTIONS.items():
        gates |= _with(name, function)
    return gates


def _with(name: str, f: Callable[[Array], Array]) -> dict[str, Gate]:
    return {
        f"{name}(a)": lambda a, b: f(a),
        f"{name}(b)": lambda a, b: f(b),
        f"{name}(-a)": lambda a, b: f(-a),
        f"{name}(-b)": lambda a, b: f(-b),
        f"a {name}(b)": lambda a, b: a * f(b),
        f"{name}(a) b": lambda a, b: f(a) * b,
    }


GATES = _gates()
OF_BOTH = tuple(words for words in GATES if "a" in words.replace("max", "").replace("tanh", "") and "b" in words)


def fit_gate(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """An activation, or the input of a linear layer, in which halves of the channels are combined.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "gelu", "linear"):
        return
    x, *parameters = (run.value(read) for read in node.inputs)
    if x.shape[-1] % 2 or x.shape[:-1] != found.shape[:-1]:
        return
    rows = slice(None, None, max(1, x.size // x.shape[-1] // MOST_ROWS))
    some, wanted = (array.reshape(-1, array.shape[-1])[rows] for array in (x, found))
    parameters, wanted = (
        [one[:MOST_OUTPUTS] for one in parameters],
        wanted if not parameters else wanted[:, :MOST_OUTPUTS],
    )
    for words, (split, join) in SPLITS.items():
        if is_output_of(node, "gelu"):
            yield from _activations(node, words, some, wanted, tolerance)
            continue
        for gate, other in product(OF_BOTH, ("", "0", "a", "b")):
            pair = _gated(split, join, GATES[gate], GATES[other or gate])
            assert node.operation is not None
            y = node.operation.forward(pair[0](some)[0], *parameters, **node.settings)[0]
            if np.abs(y - wanted).max() <= MARGIN * tolerance:
                changed = transform_input(node.operation, 0, pair)
                yield Fit(f"{node.inputs[0]}: {_words(words, gate, other or gate)}", change_node(node, changed), 0)


def _activations(node: Node, words: str, x: Array, found: Array, tolerance: float) -> Iterator[Fit]:
    split, join = SPLITS[words]
    halves, wanted = split(x), split(found)
    if wanted[0].shape != halves[0].shape:
        return
    known = [
        [gate for gate, function in GATES.items() if np.abs(function(*halves) - half).max() <= MARGIN * tolerance]
        for half in wanted
    ]
    for first, second in product(*known):
        pair = _gated(split, join, GATES[first], GATES[second])
        operation = Operation("gelu", pair[0], one_input(pair[1]))
        yield Fit(_words(words, first, second), change_node(node, operation), 0)


def _words(split: str, first: str, second: str) -> str:
    what = f"both halves are {first}" if first == second else f"the halves are {first} and {second}"
    return f"{what}, where {split} (a gated half)"


def _gated(split: Any, join: Any, first: Gate, second: Gate) -> Pair:
    """Both halves as functions of both, with the derivatives by complex steps."""

    def forward(x: Array) -> tuple[Array, Array]:
        a, b = split(x)
        return join(first(a, b), second(a, b)).astype(x.dtype), x

    def backward(dy: Array, x: Array) -> Array:
        a, b = (half.astype(np.complex128) for half in split(x))
        of_first, of_second = split(dy)
        da = of_first * first(a + 1j * STEP, b).imag + of_second * second(a + 1j * STEP, b).imag
        db = of_first * first(a, b + 1j * STEP).imag + of_second * second(a, b + 1j * STEP).imag
        return (join(da, db) / STEP).astype(dy.dtype)

    return forward, backward
