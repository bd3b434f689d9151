"""Other ways to one vector for each image."""

from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, at_outputs_of, change_node

STEP = 1e-6
POOLS: dict[str, Callable[[Array], Array]] = {
    "the largest": lambda x: x.max((1, 2)),
    "the smallest": lambda x: x.min((1, 2)),
    "the median": lambda x: np.median(x, (1, 2)),
    "mean and largest, their mean": lambda x: (x.mean((1, 2)) + x.max((1, 2))) / 2,
    "mean and largest, their sum": lambda x: x.mean((1, 2)) + x.max((1, 2)),
    "the mean of the first row": lambda x: x[:, 0].mean(1),
    "the mean of the first column": lambda x: x[:, :, 0].mean(1),
    "the mean of the last row": lambda x: x[:, -1].mean(1),
    "the last token": lambda x: x[:, -1, -1],
    "the token in the middle": lambda x: x[:, x.shape[1] // 2, x.shape[2] // 2],
    "the mean without the last row": lambda x: x[:, :-1].mean((1, 2)),
    "the mean without the last column": lambda x: x[:, :, :-1].mean((1, 2)),
    "the mean without the first token": lambda x: x.reshape(len(x), -1, x.shape[-1])[:, 1:].mean(1),
    "the mean, also over the batch": lambda x: np.broadcast_to(x.mean((0, 1, 2)), (len(x), x.shape[-1])),
    "the root mean square": lambda x: np.sqrt((x * x).mean((1, 2))),
    "the cube root of the mean cube (GeM, p = 3)": lambda x: np.cbrt((np.maximum(x, 1e-6) ** 3).mean((1, 2))),
    "the largest of the rows' means": lambda x: x.mean(2).max(1),
    "the largest of the columns' means": lambda x: x.mean(1).max(1),
    "the mean of the rows' largest": lambda x: x.max(2).mean(1),
    "the mean of the columns' largest": lambda x: x.max(1).mean(1),
    "the middle between smallest and largest": lambda x: (x.max((1, 2)) + x.min((1, 2))) / 2,
    "the deviation": lambda x: x.std((1, 2)),
    "the deviation, over one less": lambda x: x.reshape(len(x), -1, x.shape[-1]).std(1, ddof=1),
    "the logarithm of the sum of exponentials": lambda x: np.log(np.exp(x).sum((1, 2))),
    "the logarithm of the mean of exponentials": lambda x: np.log(np.exp(x).mean((1, 2))),
    "a mean with a softmax over the tokens as weights": lambda x: (x * np.exp(x)).sum((1, 2)) / np.exp(x).sum((1, 2)),
    "the root of the sum of squares": lambda x: np.sqrt((x * x).sum((1, 2))),
    "the sum over one less": lambda x: x.sum((1, 2)) / max(1, x.shape[1] * x.shape[2] - 1),
}


def _other(_: Graph, node: Node) -> Variants:
    for words, function in POOLS.items():
        yield words, change_node(node, _pool(function))


def _pool(function: Callable[[Array], Array]) -> Operation:
    """A function of each channel's map; its derivative is a difference quotient for each token."""

    def forward(x: Array) -> tuple[Array, Any]:
        return function(x).astype(x.dtype), x

    def backward(dy: Array, x: Any) -> tuple[Array]:
        dx = np.zeros(x.shape)
        wide = x.astype(np.float64)
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                more, less = wide.copy(), wide.copy()
                more[:, row, column] += STEP
                less[:, row, column] -= STEP
                dx[:, row, column] = dy * (function(more) - function(less)) / (2 * STEP)
        return (dx.astype(dy.dtype),)

    return Operation("mean_pool", forward, backward)


POOL = (Mistake("pool-other", "the pool is another one", "the mean over the map", at_outputs_of("mean_pool", _other)),)
