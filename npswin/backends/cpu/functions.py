"""exp and the normal distribution, in a form that the compiler can vectorize.

A call of the C library's `expf` or `erff` in a loop keeps the loop scalar: some ten nanoseconds a number, which in a
small model is as much time as all matrix products together. In float32 these are arithmetic alone, without branch or
table, so LLVM takes as many numbers at once as a vector holds. In float64, which is for verification, the C library's
functions are called.
"""

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

# No `reassoc` here: the order of these sums is what makes them exact.
EXACT = {"fastmath": {"contract"}, "error_model": "numpy"}


@intrinsic
def _power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2ⁿ out of shifted = n + 1.5 · 2²³, whose low bits are n: where a float keeps its exponent, put n + 127."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        exponent = builder.add(builder.bitcast(args[0], integer), ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), codegen


def exp(x: float) -> float:
    """eˣ for x ≤ 88; in float32 with a relative error of some 1e-7, and 0 below −87 (e⁻⁸⁷ = 1.6e-38)."""
    return math.exp(x)


@overload(exp, jit_options=EXACT)
def _exp(x: Any) -> Any:
    """eˣ = 2ⁿ eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2; eʳ by its Taylor series up to r⁷.

    Adding 1.5 · 2²³ rounds to a whole number. ln 2 is subtracted in two parts, the first short enough that n times it
    is exact.
    """
    if x != types.float32:

        def exp64(x: Any) -> Any:
            return math.exp(x)

        return exp64

    def exp32(x: Any) -> Any:
        f = types.float32
        bounded = f(-87.0) if x < f(-87.0) else x
        shifted = bounded * f(1 / math.log(2)) + f(12582912.0)
        n = shifted - f(12582912.0)
        r = bounded - n * f(0.693359375)
        r += n * f(0.693359375 - math.log(2))
        series = f(1 / 5040)
        series = series * r + f(1 / 720)
        series = series * r + f(1 / 120)
        series = series * r + f(1 / 24)
        series = series * r + f(1 / 6)
        series = series * r + f(0.5)
        series = series * r + f(1.0)
        series = series * r + f(1.0)
        value = series * _power_of_two(shifted)
        return f(0.0) if x < f(-87.0) else value

    return exp32


def normal_cdf(x: float) -> float:
    """Φ(x), the share of a standard normal variable that lies below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


@overload(normal_cdf, jit_options=EXACT)
def _normal_cdf(x: Any) -> Any:
    """Φ(x) = ½ + x R(x²), R a quotient of two polynomials of degree 5.

    Their coefficients minimize the largest |x| |R(x²) − (Φ(x) − ½)/x| over |x| ≤ 5.2 (3e-9, by reweighted least
    squares); all are positive, so nothing cancels. Beyond 5.2, Φ is 0 or 1 to the last bit of a float32.
    """
    if x != types.float32:

        def cdf64(x: Any) -> Any:
            return 0.5 * math.erfc(-x / math.sqrt(2))

        return cdf64

    def cdf32(x: Any) -> Any:
        f = types.float32
        bounded = f(-5.2) if x < f(-5.2) else f(5.2) if x > f(5.2) else x
        u = bounded * bounded
        top = f(2.4755409897975875e-08)
        top = top * u + f(6.4062973267378265e-06)
        top = top * u + f(0.00015658749321993855)
        top = top * u + f(0.004607024143071842)
        top = top * u + f(0.03251747556525286)
        top = top * u + f(0.39894226368421953)
        bottom = f(1.2594513678762798e-06)
        bottom = bottom * u + f(7.04090670518845e-05)
        bottom = bottom * u + f(0.001815670432145186)
        bottom = bottom * u + f(0.027911278708562727)
        bottom = bottom * u + f(0.24817559391834712)
        bottom = bottom * u + f(1.0)
        return f(0.5) + bounded * top / bottom

    return cdf32


def gelu_slope(x: float) -> tuple[float, float]:
    """Φ(x) and the derivative of x Φ(x), which is Φ(x) + x φ(x)."""
    cdf = normal_cdf(x)
    return cdf, cdf + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@overload(gelu_slope, jit_options=EXACT)
def _gelu_slope(x: Any) -> Any:
    """½ + x R(x²) and ½ + x S(x²), quotients with one divisor.

    Fitted together as in `normal_cdf`, with a largest error of 2e-8 over |x| ≤ 5.25. That is half the arithmetic of Φ
    and an exponential.
    """
    if x != types.float32:

        def slope64(x: Any) -> Any:
            cdf = 0.5 * math.erfc(-x / math.sqrt(2))
            return cdf, cdf + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

        return slope64

    def slope32(x: Any) -> Any:
        f = types.float32
        bounded = f(-5.25) if x < f(-5.25) else f(5.25) if x > f(5.25) else x
        u = bounded * bounded
        cdf = f(3.215671886288417e-10)
        cdf = cdf * u + f(1.264263394694885e-07)
        cdf = cdf * u + f(9.585631216821742e-06)
        cdf = cdf * u + f(0.00023543679855921913)
        cdf = cdf * u + f(0.00519396957438702)
        cdf = cdf * u + f(0.03893831423473641)
        cdf = cdf * u + f(0.39894205238839003)
        slope = f(-4.559857095001321e-11)
        slope = slope * u + f(7.921553113897468e-09)
        slope = slope * u + f(-4.3055085732910707e-07)
        slope = slope * u + f(3.2969773557965454e-05)
        slope = slope * u + f(-0.00037492202798515334)
        slope = slope * u + f(0.015140942905572663)
        slope = slope * u + f(-0.0551056775998247)
        slope = slope * u + f(0.7978845887865025)
        bottom = f(1.7843015681763625e-08)
        bottom = bottom * u + f(2.5581570506519356e-06)
        bottom = bottom * u + f(0.00010390522001375402)
        bottom = bottom * u + f(0.0023023334206613375)
        bottom = bottom * u + f(0.032066884884367555)
        bottom = bottom * u + f(0.2642683603601273)
        bottom = bottom * u + f(1.0)
        part = bounded / bottom
        return f(0.5) + part * cdf, f(0.5) + part * slope

    return slope32
