"""An operation with rounded inputs or a rounded result."""

from dataclasses import dataclass, replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Operation
from npswin.verify.port.operation_steps import Rounding


@dataclass(frozen=True)
class RoundedOperation:
    """An operation in few bits.

    Attributes:
        precision: such as "float16", "tf32", "int8" or "float8 (e4m3)".
        description: what is rounded, such as "its inputs and its result are rounded to float16".
        operation: the operation, forward and backward.
        on_grid: whether the result is rounded to the grid that was read from the port's.
    """

    precision: str
    description: str
    operation: Operation
    on_grid: bool = False


def with_rounded_inputs(operation: Operation, rounding: Rounding, which: tuple[int, ...] | None = None) -> Operation:
    """The operation on rounded inputs; without `which`, all of them, and the incoming gradient as well."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        use = (
            rounding(x) if x.dtype.kind == "f" and (which is None or i in which) else x for i, x in enumerate(inputs)
        )
        return operation.forward(*use, **settings)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return operation.backward(rounding(dy) if which is None else dy, cache)

    return replace(operation, forward=forward, backward=backward)


def with_rounded_result(operation: Operation, rounding: Rounding) -> Operation:
    """The operation with its result rounded, and each derivative that it gives."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        return rounding(y), cache

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return tuple(None if one is None else rounding(one) for one in operation.backward(dy, cache))

    return replace(operation, forward=forward, backward=backward)
