"""Fitted numbers that are numbers of few digits, as people choose them."""

DIGITS = 3
NEAR = 2e-4  # relative distance within which a fitted number is such a one


def chosen(number: float) -> float:
    """The number of few digits that a fitted number is; else the fitted number."""
    rounded = float(f"{number:.{DIGITS}g}")
    return rounded if abs(number - rounded) <= NEAR * abs(number) else number
