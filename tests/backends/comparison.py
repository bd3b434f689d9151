"""An op of a backend compared with its definition in `npswin.ops`."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from npswin import ops
from npswin.backends import missing_ops
from tests.backends.op_cases import OPS, UPDATES, Case, Seed

TINY = 1e-20  # exp(-100) may be 0
LAYOUTS = ("contiguous", "every other", "transposed", "read-only")


def op_of(function_name):
    """The op that a function of `npswin.ops` belongs to: "linear" for "linear_forward"."""
    return function_name.removesuffix("_forward").removesuffix("_backward")


def implemented_ops(backend):
    """The ops that a backend implements, sorted, a pair counting as one; only those that `OPS` has arguments for."""
    missing = {op_of(name) for name in missing_ops(backend)}
    return sorted({op_of(name) for name in ops.__all__} & set(OPS) - missing)


def is_pair(op):
    """Whether an op has a forward and a backward function."""
    return f"{op}_forward" in ops.__all__


def laid_out(array, layout):
    """A copy with the same numbers in another order in memory."""
    if layout == "every other":
        return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array.copy()
    copy = np.array(array, order="F" if layout == "transposed" else "C")
    copy.flags.writeable = layout != "read-only"
    return copy


def arguments(value, dtype, layout="contiguous"):
    """An argument in the dtype: arrays are copied, those of integers in theirs; anything else stays as it is."""
    if isinstance(value, np.ndarray):
        return laid_out(value.astype(value.dtype if value.dtype.kind in "iu" else dtype), layout)
    if isinstance(value, list):
        return [arguments(item, dtype, layout) for item in value]
    if isinstance(value, dict):
        return {name: arguments(item, dtype, layout) for name, item in value.items()}
    if isinstance(value, Seed):
        return np.random.default_rng(value.value)
    return dtype if value is np.float64 else value


def rounded(value, dtype):
    """An argument in float64 that the dtype represents exactly."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "iu" else value.astype(dtype).astype(np.float64)
    if isinstance(value, list):
        return [rounded(item, dtype) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item, dtype) for name, item in value.items()}
    return value


def as_list(results):
    """What an op returns, as a list of arrays and Nones."""
    return list(results) if isinstance(results, tuple) else [results]


def as_bytes(results):
    """Results in a form that compares them bit for bit."""
    return [None if result is None else np.asarray(result).tobytes() for result in results]


def call_op(module, op, args, kwargs, dy=None):
    """Run an op forward and backward.

    Args:
        module: a backend or `npswin.ops`.
        op: its name.
        args, kwargs: of the forward function.
        dy: the gradient of y: an array, or a function of y that returns one.

    Returns:
        y and all gradients; of an update, the arrays that it changed; of an op without a derivative, its results.
    """
    if op in UPDATES:
        getattr(module, op)(*args, **kwargs)
        given = [item for arg in args for item in (arg if isinstance(arg, list) else [arg])]
        return [item for item in given if hasattr(item, "shape")]
    if not is_pair(op):
        return as_list(getattr(module, op)(*args, **kwargs))
    y, cache = getattr(module, f"{op}_forward")(*args, **kwargs)
    return [y, *as_list(getattr(module, f"{op}_backward")(dy(y) if callable(dy) else dy, cache))]


@dataclass
class Expected:
    """The definition's results for a case.

    Attributes:
        results: in float64, for arguments that were rounded to the dtype.
        dy: the gradient of y, in float64, or None.
        errors: the error to be expected of each result of a good implementation in the dtype.
    """

    results: list
    dy: np.ndarray | None
    errors: list


def expected(op, cases, dtype):
    """The first case's results, and the errors to be expected.

    The error of a result is a rounding of its largest number, times √length, as a sum of `length` numbers has it; plus
    the definition's own error when it is computed in the dtype, which is larger where large terms cancel. Small arrays
    may be close to 0 by chance, so the largest number is the largest of all the cases, which have one shape.
    """
    found = [_exact(op, case, dtype) for case in cases]
    errors = []
    for place in range(len(found[0].results)):
        scale = max(TINY, *(one.scale(place) for one in found))
        own = max(one.own_errors[place] for one in found)
        errors.append(own + _unit(dtype) * np.sqrt(cases[0].length) * scale)
    return Expected(found[0].results, found[0].dy, errors)


@dataclass
class _Exact:
    """A case's results in float64, dy, and the definition's own errors in the dtype."""

    case: Case
    results: list
    dy: np.ndarray | None
    own_errors: list

    def scale(self, place):
        """The largest number of a result, or of the terms that cancelled in it."""
        cancelled = self.case.cancelled * np.abs(self.dy).max(initial=0) if place == 1 and self.case.cancelled else 0.0
        result = self.results[place]
        return max(self.case.least_scale, cancelled, 0.0 if result is None else np.abs(result).max(initial=0))


def _exact(op, case, dtype):
    """Its own errors are measured in float32 and scaled: there is nothing finer to compare float64 with."""
    dy = None

    def draw_dy(y):
        nonlocal dy
        dy = rounded(np.asarray(case.rng.standard_normal(np.shape(y))), dtype)
        return dy

    def exact(precision, dy):
        return call_op(ops, op, *(arguments(rounded(value, precision), np.float64) for value in given), dy)

    given = [case.args, case.kwargs]
    with np.errstate(all="ignore"):
        results = exact(dtype, draw_dy)
        dy32 = None if dy is None else rounded(dy, np.float32)
        exact32 = results if dtype == np.float32 else exact(np.float32, dy32)
        near = call_op(ops, op, *(arguments(value, np.float32) for value in given), arguments(dy32, np.float32))
    unit = _unit(dtype) / _unit(np.float32)
    own_errors = [unit * _largest_error(*pair) for pair in zip(near, exact32, strict=True)]
    return _Exact(case, results, dy, own_errors)


def _unit(dtype):
    """From 1 to the next number."""
    return float(ml_dtypes.finfo(dtype).eps)


def _largest_error(result, exact):
    if exact is None:
        return 0.0
    if np.asarray(exact).dtype.kind in "biu":
        return float(not np.array_equal(result, exact))
    return float(np.abs(result - exact).max(initial=0))


def relative_errors(results, wanted, dtype):
    """The largest error of each result over the error to be expected; asserts shapes and dtypes."""
    assert len(results) == len(wanted.results)
    found = []
    for place, (result, exact) in enumerate(zip(results, wanted.results, strict=True)):
        assert (result is None) == (exact is None), f"result {place}: got {result}, expected {exact}"
        if exact is not None:
            assert np.shape(result) == np.shape(exact), f"result {place}"
            kept = np.asarray(exact).dtype
            kept = kept if kept.kind in "biu" else dtype
            assert np.ndim(exact) == 0 or result.dtype == kept, f"result {place}"
            error = _largest_error(result, exact) / wanted.errors[place]
            found.append(np.inf if np.isnan(error) else error)  # the largest of some numbers and NaN may be any of them
    return found
