"""Parameters that were loaded wrongly: the port computes rightly, with other numbers under the parameter's name.

A weight that is transposed when it is used gets its gradient through the transpose. A weight that is transposed when it
is loaded has the gradient of the transposed one. Each of Swin's operations is linear in its parameters, so that the
derivative by a parameter does not depend on the parameter: it is the right operation's.
"""

from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes import Changes


def as_loaded(changes: Changes, right: Graph) -> Changes | None:
    """Changes of operations as changes of what was loaded; None if they do not concern parameters.

    Args:
        changes: nodes that use other parameters, or use them in another way.
        right: the key's graph.
    """
    parameters = set(right.parameters)
    loaded = {
        name: _as_loaded(node, right.nodes[name], parameters)
        for name, node in changes.items()
        if name in right.nodes
        and parameters & set(right.nodes[name].inputs)
        and _same_activations(node, right.nodes[name], parameters)
    }
    return {**changes, **loaded} if loaded else None


def _same_activations(planted: Node, right: Node, parameters: set[str]) -> bool:
    return [read for read in planted.inputs if read not in parameters] == [
        read for read in right.inputs if read not in parameters
    ]


def _as_loaded(planted: Node, right: Node, parameters: set[str]) -> Node:
    """The node `planted` in which the parameters under the right node's names are those that it computes with."""
    one, other = planted.operation, right.operation
    assert one is not None
    assert other is not None
    inputs = (*right.inputs, *(read for read in planted.inputs if read not in right.inputs))
    planted_index = [inputs.index(read) for read in planted.inputs]

    def forward(*values: Array, **_: Any) -> tuple[Array, Any]:
        y, cache = one.forward(*(values[index] for index in planted_index), **planted.settings)
        return y, (cache, other.forward(*values[: len(right.inputs)], **right.settings)[1])

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        derivatives: list[Array | None] = [None] * len(inputs)
        for read, derivative in zip(planted.inputs, one.backward(dy, caches[0]), strict=True):
            if read not in parameters:
                derivatives[inputs.index(read)] = derivative
        for read, derivative in zip(right.inputs, other.backward(dy, caches[1]), strict=True):
            if read in parameters:
                derivatives[inputs.index(read)] = derivative
        return tuple(derivatives)

    def terms(y: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
        own = other.terms(y, *shapes[: len(right.inputs)])
        return *own, *[1] * (len(inputs) - len(right.inputs))

    operation = replace(other, forward=forward, backward=backward, terms=terms)
    return replace(right, operation=operation, inputs=inputs)
