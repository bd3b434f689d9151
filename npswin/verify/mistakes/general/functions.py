"""A function of each number after any operation, or a normalization of each row."""

from collections.abc import Callable

from npswin.types import Array
from npswin.verify.fits.explanation import mapped, times
from npswin.verify.fits.functions import FUNCTIONS
from npswin.verify.fits.rows import after_row, centred, log_softmax, softmax, standardized, unit_rows
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.graph.operations import one_input
from npswin.verify.mistakes.mistake import (
    Mistake,
    Pair,
    Variants,
    change_node,
    is_output_of,
    transform_input,
    transform_output,
)

FACTORS = {"-1": -1.0, "2": 2.0, "1/2": 0.5, "0": 0.0, "√2": 2**0.5, "1/√2": 0.5**0.5}


def _along_images(function: Callable[[Array], Array]) -> Pair:
    """A function of each row, applied to the images of each channel, (B, C)."""
    forward, backward = after_row(function)

    def transposed(x: Array) -> tuple[Array, object]:
        y, cache = forward(x.T)
        return y.T, cache

    return transposed, lambda dy, cache: backward(dy.T, cache).T


ROWS = {
    "each row is divided by its length": unit_rows,
    "a softmax is applied": softmax,
    "a log-softmax is applied": log_softmax,
    "each row is normalized to mean 0 and deviation 1": standardized,
    "the mean of each row is subtracted": centred,
}


def _after(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is None or not node.inputs or name == "loss":
        return
    where = f"after {name.rpartition('.')[2]}"
    for words, function in FUNCTIONS.items():
        yield f"{where}: {words}", _then(node, mapped(function))
    for words, factor in FACTORS.items():
        yield f"{where}: it is multiplied by {words}", _then(node, times(factor))
    for words, row_function in ROWS.items():
        yield f"{where}: {words}", _then(node, after_row(row_function))


def _before(graph: Graph, name: str) -> Variants:
    """A function of one input, before the operation."""
    node = graph.nodes[name]
    if node.operation is None or name == "loss" or is_output_of(node, "residual"):
        return
    alone = is_output_of(node, "gelu", "softmax")  # functions of each number are found from the result
    for index, read in enumerate(node.inputs):
        if graph.nodes[read].axes == "parameter":
            continue
        for words, function in FUNCTIONS.items() if not alone else ():
            yield f"{read}: {words}", change_node(node, transform_input(node.operation, index, mapped(function)))
        for words, row_function in ROWS.items():
            yield f"{read}: {words}", change_node(node, transform_input(node.operation, index, after_row(row_function)))
            if graph.nodes[read].axes == "B, C":
                pair = _along_images(row_function)
                changed = change_node(node, transform_input(node.operation, index, pair))
                yield f"{read}: of each channel over the images, {words}", changed
            if is_output_of(node, "gelu"):
                forward, backward = after_row(row_function)
                instead = Operation("gelu", forward, one_input(backward))
                yield f"{read}: {words}, in place of GELU", change_node(node, instead)
    if is_output_of(node, "linear"):
        both = transform_input(transform_input(node.operation, 0, after_row(unit_rows)), 1, after_row(unit_rows))
        yield "the rows of input and weight are divided by their lengths", change_node(node, both)


def _then(node: Node, pair: Pair) -> dict[str, Node]:
    assert node.operation is not None
    return change_node(node, transform_output(node.operation, pair))


FUNCTIONS_AFTER = (
    Mistake("function-before", "a function is applied to an input", "each input as it is", _before),
    Mistake(
        "function-after", "a further function is applied", "no function between this operation and the next", _after
    ),
)
