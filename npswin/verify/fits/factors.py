"""Fitted numbers: no more digits than are known, and what number it may be."""

import math
from fractions import Fraction

LARGEST_TERM = 64  # of a fraction, or of a fraction's root, that a factor may be
FRACTION_ERROR = 2e-6  # relative
SHORT = len("0.25")  # a decimal number of up to so many characters needs no fraction


def decimal(value: float, error: float = 0.0) -> str:
    """The shortest decimal number within the error, with up to six digits."""
    for digits in range(1, 6):
        text = f"{value:.{digits}g}"
        if abs(float(text) - value) <= error:
            return f"{float(text):g}"
    return f"{value:.6g}"


def simple_factor(factor: float, error: float = 0.0) -> tuple[float, str]:
    """The simplest factor within an error, and its words: a short decimal, a fraction or its root, "0.57735 = 1/√3"."""
    error = max(error, FRACTION_ERROR * abs(factor))
    text = decimal(factor, error)
    if not math.isfinite(factor) or len(text.lstrip("-")) <= SHORT or not 1e-3 < abs(factor) < 1e3:
        return (float(text) if abs(float(text) - factor) <= error else factor), text
    sign = -1.0 if factor < 0 else 1.0
    for power, root in ((1, ""), (2, "√")):
        fraction = Fraction(abs(factor) ** power).limit_denominator(LARGEST_TERM)
        value = float(fraction) ** (1 / power)
        if 0 < fraction.numerator <= LARGEST_TERM and abs(value - abs(factor)) <= error:
            return sign * value, f"{text} = {'-' if factor < 0 else ''}{_fraction_words(fraction, root)}"
    return factor, text


def factor_words(factor: float, error: float = 0.0) -> str:
    """The words of `simple_factor`."""
    return simple_factor(factor, error)[1]


def _fraction_words(fraction: Fraction, root: str) -> str:
    terms = [_term(number, root) for number in (fraction.numerator, fraction.denominator)]
    return terms[0] if terms[1] == "1" else "/".join(terms)


def _term(number: int, root: str) -> str:
    side = math.isqrt(number)
    return f"{root}{number}" if root and side * side != number else f"{side if root else number}"
