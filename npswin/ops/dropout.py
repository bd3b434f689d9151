"""Dropout and stochastic depth as a multiplication by a mask that is drawn beforehand.

The drawing stands apart from the operation so that the operation is a pure function of arrays: the same mask
gives the same output, in a gradient check as in training.
"""

import math
from typing import Any

import numpy as np

from npswin.checks import check_generator, check_size, shown
from npswin.devices import HALF_DTYPES
from npswin.ops.arguments import Value, number
from npswin.ops.description import op
from npswin.types import Array

_MOST_AXES, _MOST_NUMBERS = 32, 2**59  # of an array of NumPy's
_DTYPES = (*HALF_DTYPES, "float32", "float64", "complex64", "complex128")


def _check_shape(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise ValueError(f"{name}: got {shown(value)}, expected a tuple of integers")
    shape = tuple(check_size(f"{name}[{axis}]", size, at_least=0) for axis, size in enumerate(value))
    if len(shape) > _MOST_AXES or math.prod(filter(None, shape)) > _MOST_NUMBERS:
        raise ValueError(f"{name}: got {shown(value)}, expected at most {_MOST_AXES} axes and {_MOST_NUMBERS} numbers")
    return shape


def _check_dtype(name: str, value: Any) -> Any:
    try:
        dtype = np.dtype(value) if isinstance(value, str | type | np.dtype) else None  # not a number, which has one
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in _DTYPES or not dtype.isnative:
        raise ValueError(f"{name}: got {shown(value)}, expected one of {', '.join(_DTYPES)}")
    return value


@op(rng=Value(check_generator), shape=Value(_check_shape), rate=number(at_least=0, below=1), dtype=Value(_check_dtype))
def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """Zeros with probability `rate`, else 1/(1 − rate), so that the mean stays 1.

    Args:
        rng: the source of randomness.
        shape: of the mask; (B,) for stochastic depth, where a whole image's branch is kept or dropped
            (Huang et al. 2016), the activation's shape for dropout (Srivastava et al. 2014).
        rate: probability of a zero, in [0, 1).
        dtype: of the mask.

    Returns:
        The mask, of the given shape.
    """
    keep = 1 - rate
    return (rng.random(shape) < keep).astype(dtype) / np.dtype(dtype).type(keep)


@op(x="... C", mask="... C")
def dropout_forward(x: Array, mask: Array | None) -> tuple[Array, Any]:
    """y = x · mask; with mask None, y = x.

    Args:
        x: (..., C).
        mask: the shape of x, from `draw_mask`, or None.

    Returns:
        y of x's shape and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_dropout
    """
    return (x if mask is None else x * mask), mask


def dropout_backward(dy: Array, cache: Any) -> Array:
    """dx = dy · mask."""
    mask = cache
    return dy if mask is None else dy * mask
