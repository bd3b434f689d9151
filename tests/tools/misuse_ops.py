"""Right calls of the ops of `npswin.ops`: those that the tests of backends draw.

A right value for an argument is an array of the same shape, of floats or of integers as the drawn one, or a value of
the drawn one's class.
"""

import inspect
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npswin import ops
from tests.backends.op_cases import OPS, Case, Seed
from tests.tools.misuse_examples import Example
from tests.tools.misuse_surface import OPS as PACKAGE
from tests.tools.misuse_values import FLAG, GENERATOR, NOTHING, Kind, array, integer, number, optional

DRAWN = 5  # the last of so many cases is taken: the first ones are the simplest


def op_examples() -> dict[str, Example]:
    """An example for each op of a case, by name; of a pair, one for each function."""
    examples = {}
    for op in OPS:
        case = _draw(op)
        if op in ops.__all__:
            examples[f"{PACKAGE}.{op}"] = _example(getattr(ops, op), case)
            continue
        forward = getattr(ops, f"{op}_forward")
        examples[f"{PACKAGE}.{op}_forward"] = _example(forward, case)
        if f"{op}_backward" in ops.__all__:
            examples[f"{PACKAGE}.{op}_backward"] = _backward_example(op, forward, case)
    return examples


def _draw(op: str) -> Case:
    cases: list[Case] = []

    @settings(max_examples=DRAWN, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def draw(data: Any) -> None:
        cases.append(OPS[op](data.draw, False))

    draw()
    return cases[-1]


def _arguments(function: Any, case: Case) -> dict[str, Any]:
    args = [np.random.default_rng(one.value) if isinstance(one, Seed) else _copied(one) for one in case.args]
    kwargs = {name: _copied(value) for name, value in case.kwargs.items()}
    bound = inspect.signature(function).bind(*args, **kwargs).arguments
    return {**{name: value for name, value in bound.items() if name not in ("args", "drop_masks")}, **kwargs}


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _example(function: Any, case: Case) -> Example:
    kinds = {name: _kind(value) for name, value in _arguments(function, case).items()}
    for parameter in inspect.signature(function).parameters.values():
        kinds.setdefault(parameter.name, _kind(parameter.default))
    return Example(lambda: _arguments(function, case), kinds)


def _backward_example(op: str, forward: Any, case: Case) -> Example:
    derivative = next(iter(inspect.signature(getattr(ops, f"{op}_backward")).parameters))

    def arguments() -> dict[str, Any]:
        y, cache = forward(**_arguments(forward, case))
        return {derivative: np.cos(y), "cache": cache}

    return Example(arguments, {derivative: _kind(arguments()[derivative]), "cache": NOTHING})


def _kind(value: Any) -> Kind:
    if isinstance(value, np.ndarray) and value.ndim:
        return array(value.dtype.kind, lambda other: other.shape == value.shape)
    if isinstance(value, bool):
        return FLAG
    if isinstance(value, int):
        return integer(0)
    if isinstance(value, float | np.floating) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return number()
    if isinstance(value, np.random.Generator):
        return GENERATOR
    return optional(Kind(lambda other: type(other) is type(value) and not isinstance(value, list | tuple | str | type)))
