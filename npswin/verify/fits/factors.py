"""Fitted numbers in words: no more digits than are known, and what number it may be."""

import math
from fractions import Fraction

LARGEST_TERM = 64  # of a fraction, or of a fraction's root, that a factor may be
FRACTION_ERROR = 2e-6  # relative


def decimal(value: float, error: float = 0.0) -> str:
    """The shortest decimal number within the error, with up to six digits."""
    for digits in range(1, 6):
        text = f"{value:.{digits}g}"
        if abs(float(text) - value) <= error:
            return f"{float(text):g}"
    return f"{value:.6g}"


def factor_words(factor: float, error: float = 0.0) -> str:
    """A factor, with the fraction, or root of a fraction, that it may be: "0.57735 = 1/√3"."""
    error = max(error, FRACTION_ERROR * abs(factor))
    text = decimal(factor, error)
    if not math.isfinite(factor) or not 1e-3 < abs(factor) < 1e3 or len(text.lstrip("-")) <= len("0.25"):
        return text
    sign = "-" if factor < 0 else ""
    for power, root in ((1, ""), (2, "√")):
        value = abs(factor) ** power
        fraction = Fraction(value).limit_denominator(LARGEST_TERM)
        if 0 < fraction.numerator <= LARGEST_TERM and abs(float(fraction) ** (1 / power) - abs(factor)) <= error:
            return f"{text} = {sign}{_fraction_words(fraction, root)}"
    return text


def _fraction_words(fraction: Fraction, root: str) -> str:
    terms = [_term(number, root) for number in (fraction.numerator, fraction.denominator)]
    return terms[0] if terms[1] == "1" else "/".join(terms)


def _term(number: int, root: str) -> str:
    side = math.isqrt(number)
    return f"{root}{number}" if root and side * side != number else f"{side if root else number}"
