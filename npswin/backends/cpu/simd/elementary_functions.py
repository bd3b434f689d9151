"""exp and the normal distribution, in a form that the compiler can vectorize.

A call of the C library's `expf` or `erff` in a loop keeps the loop scalar: some ten nanoseconds a number, which in a
small model is as much time as all matrix products together. In float32 these are arithmetic alone, without branch or
table, so LLVM takes as many numbers at once as a vector holds. In float64, which is for verification, the C library's
functions are called. All of them take a number or a vector (`npswin.backends.cpu.simd.intrinsics`).
"""

import math
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from npswin.backends.cpu.simd.intrinsics import VectorType, if_less, lane, with_lane

# No `reassoc` here: the order of these sums is what makes them exact.
EXACT = {"fastmath": {"contract"}, "error_model": "numpy"}


@intrinsic
def _power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2ⁿ out of shifted = n + 1.5 · 2²³, whose low bits are n: where a float keeps its exponent, put n + 127."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = getattr(shifted, "lanes", None)
        kind = ir.VectorType(ir.IntType(32), lanes) if lanes else ir.IntType(32)
        bias, place = (ir.Constant(kind, [number] * lanes if lanes else number) for number in (127, 23))
        exponent = builder.add(builder.bitcast(args[0], kind), bias)
        return builder.bitcast(builder.shl(exponent, place), args[0].type)

    return shifted(shifted), codegen


def _in_float32(x: Any) -> bool:
    return getattr(x, "dtype", x) == types.float32


def _lane_by_lane(function: Any, x: Any) -> Any:
    """For float64: the function of a number, or of each lane."""

    def of_number(x: Any) -> Any:
        return function(x)

    def of_each(x: Any) -> Any:
        for place in range(lanes):
            x = with_lane(x, place, function(lane(x, place)))
        return x

    lanes = getattr(x, "lanes", 1)
    return of_each if isinstance(x, VectorType) else of_number


@numba.njit
def _exp64(x: float) -> float:
    return math.exp(x)


@numba.njit
def _cdf64(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


@numba.njit
def _slope64(x: float) -> float:
    return _cdf64(x) + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def exp(x: float) -> float:
    """eˣ for x ≤ 88; in float32 with a relative error of some 1e-7, and 0 below −87 (e⁻⁸⁷ = 1.6e-38)."""
    return math.exp(x)


@overload(exp, jit_options=EXACT)
def _exp(x: Any) -> Any:
    """eˣ = 2ⁿ eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2; eʳ by its Taylor series up to r⁷.

    Adding 1.5 · 2²³ rounds to a whole number. ln 2 is subtracted in two parts, the first short enough that n times it
    is exact.
    """
    if not _in_float32(x):
        return _lane_by_lane(_exp64, x)

    def exp32(x: Any) -> Any:
        f = types.float32
        bounded = if_less(x, f(-87.0), f(-87.0), x)
        shifted = bounded * f(1 / math.log(2)) + f(12582912.0)
        n = shifted - f(12582912.0)
        r = bounded - n * f(0.693359375)
        r = r + n * f(0.693359375 - math.log(2))
        series = r * f(1 / 5040) + f(1 / 720)
        series = series * r + f(1 / 120)
        series = series * r + f(1 / 24)
        series = series * r + f(1 / 6)
        series = series * r + f(0.5)
        series = series * r + f(1.0)
        series = series * r + f(1.0)
        value = series * _power_of_two(shifted)
        return if_less(x, f(-87.0), f(0.0), value)

    return exp32


def log_one_plus(x: float) -> float:
    """log(1 + x) for 0 ≤ x ≤ 1; in float32 with a relative error of some 1e-7."""
    return math.log1p(x)


@numba.njit
def _log_one_plus64(x: float) -> float:
    return math.log1p(x)


@overload(log_one_plus, jit_options=EXACT)
def _log_one_plus(x: Any) -> Any:
    """log(1 + x) = 2 artanh(z) with z = x / (2 + x) ≤ 1/3, whose series is z + z³/3 + z⁵/5 + …, here up to z¹⁵."""
    if not _in_float32(x):
        return _lane_by_lane(_log_one_plus64, x)

    def log32(x: Any) -> Any:
        f = types.float32
        z = x / (x + f(2.0))
        square = z * z
        series = square * f(1 / 15) + f(1 / 13)
        series = series * square + f(1 / 11)
        series = series * square + f(1 / 9)
        series = series * square + f(1 / 7)
        series = series * square + f(1 / 5)
        series = series * square + f(1 / 3)
        return f(2.0) * (z + z * square * series)

    return log32


def normal_cdf(x: float) -> float:
    """Φ(x), the share of a standard normal variable that lies below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


@overload(normal_cdf, jit_options=EXACT)
def _normal_cdf(x: Any) -> Any:
    """Φ(x) = ½ + x R(x²), R a quotient of two polynomials of degree 5.

    Their coefficients minimize the largest |x| |R(x²) − (Φ(x) − ½)/x| over |x| ≤ 5.8 (1.5e-8, by reweighted least
    squares); all are positive, so nothing cancels. Beyond 5.8, Φ is 0 or 1 to the last bit of a float32.
    """
    if not _in_float32(x):
        return _lane_by_lane(_cdf64, x)

    def cdf32(x: Any) -> Any:
        f = types.float32
        bounded = if_less(x, f(-5.8), f(-5.8), if_less(f(5.8), x, f(5.8), x))
        u = bounded * bounded
        top = u * f(2.1066126161736784e-08) + f(6.394643869006233e-06)
        top = top * u + f(0.0001847774687974748)
        top = top * u + f(0.004773855256401749)
        top = top * u + f(0.03548723426856345)
        top = top * u + f(0.3989421994496126)
        bottom = u * f(1.1513265184632736e-06) + f(7.839657209175067e-05)
        bottom = bottom * u + f(0.0019754032712593103)
        bottom = bottom * u + f(0.029571924917349043)
        bottom = bottom * u + f(0.25561860845157897)
        bottom = bottom * u + f(1.0)
        cdf = bounded * top / bottom + f(0.5)
        return if_less(x, f(-5.8), f(0.0), if_less(f(5.8), x, f(1.0), cdf))

    return cdf32


def normal_cdf_and_gelu_derivative(x: float) -> tuple[float, float]:
    """Φ(x) and the derivative of x Φ(x), which is Φ(x) + x φ(x)."""
    cdf = normal_cdf(x)
    return cdf, cdf + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@overload(normal_cdf_and_gelu_derivative, jit_options=EXACT)
def _gelu_slope(x: Any) -> Any:
    """½ + x R(x²) and ½ + x S(x²), quotients with one divisor.

    Fitted together as in `normal_cdf`, with a largest error of 3e-8 over |x| ≤ 5.8. That is half the arithmetic of Φ
    and an exponential.
    """
    if not _in_float32(x):
        cdf64, slope64 = (numba.njit(_lane_by_lane(function, x)) for function in (_cdf64, _slope64))

        def both64(x: Any) -> Any:
            return cdf64(x), slope64(x)

        return both64

    def slope32(x: Any) -> Any:
        f = types.float32
        bounded = if_less(x, f(-5.8), f(-5.8), if_less(f(5.8), x, f(5.8), x))
        u = bounded * bounded
        top = u * f(2.3949318246629085e-09) + f(3.6473914068484035e-07)
        top = top * u + f(1.5659538589342982e-05)
        top = top * u + f(0.00034004558848570805)
        top = top * u + f(0.006024345322303802)
        top = top * u + f(0.04589050361337992)
        top = top * u + f(0.3989422561338169)
        slope_top = u * f(-2.1869374610591084e-11) + f(6.562582023598057e-09)
        slope_top = slope_top * u + f(1.8784824650595716e-08)
        slope_top = slope_top * u + f(3.194884780900673e-05)
        slope_top = slope_top * u + f(-0.0001320109298966259)
        slope_top = slope_top * u + f(0.01448184332438693)
        slope_top = slope_top * u + f(-0.041199401246592195)
        slope_top = slope_top * u + f(0.7978844190810994)
        bottom = u * f(1.3734609612656457e-10) + f(7.500660764725249e-08)
        bottom = bottom * u + f(5.274249270113775e-06)
        bottom = bottom * u + f(0.0001555527276095749)
        bottom = bottom * u + f(0.002960870847931348)
        bottom = bottom * u + f(0.037051179011352214)
        bottom = bottom * u + f(0.28169637191951374)
        bottom = bottom * u + f(1.0)
        part = bounded / bottom
        cdf, slope = part * top + f(0.5), part * slope_top + f(0.5)
        return (
            if_less(x, f(-5.8), f(0.0), if_less(f(5.8), x, f(1.0), cdf)),
            if_less(x, f(-5.8), f(0.0), if_less(f(5.8), x, f(1.0), slope)),
        )

    return slope32
