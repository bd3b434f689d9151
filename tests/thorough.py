"""What the default run leaves to --thorough: some cases of parametrized tests, and some examples of drawn ones."""

import pytest

enabled = False  # set by tests/conftest.py before a test module is imported


def examples(count: int, default: int | None = None) -> int:
    """The `max_examples` of a test: `count` with --thorough, else `default`, or a quarter but at least 5."""
    if enabled:
        return count
    return min(count, max(count // 4, 5)) if default is None else default


def some(cases, default):
    """The cases of a parametrized test: those of `default` run always, the others with --thorough.

    Args:
        cases: one value for each case.
        default: a set of cases, or a function of a case that returns whether it runs always.
    """
    runs = default if callable(default) else default.__contains__
    return [case if runs(case) else pytest.param(*_values(case), marks=pytest.mark.thorough) for case in cases]


def _values(case):
    return case if isinstance(case, tuple) else (case,)
