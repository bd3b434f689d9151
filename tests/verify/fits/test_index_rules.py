"""The rules by which entries are taken from other places of an axis, and rows from the table of position biases."""

import numpy as np
import pytest

from npswin.verify.fits.index_rules import index_rules
from npswin.verify.fits.words import Axis, other_words_along, words_along
from npswin.verify.mistakes.table_rows import rule_of_rows

I = np.arange(12)  # noqa: E741
RULES = {
    "h // 3": I // 3,
    "2 (h // 2)": I // 2 * 2,
    "h % 5": I % 5,
    "4 (h // 4) + 3 - h % 4": I // 4 * 4 + 3 - I % 4,
    "h + 2, at most the last": np.minimum(I + 2, 11),
    "h - 1, at least 0": np.maximum(I - 1, 0),
    "(5 h + 1) % 12": (5 * I + 1) % 12,
    "3 (h % 4) + h // 4": I % 4 * 3 + I // 4,
}


@pytest.mark.parametrize("words", RULES)
def test_a_map_is_told_by_its_rule(words):
    assert index_rules(RULES[words], 12, "h")[0] == words


def test_a_map_without_a_rule_has_none():
    draws = (np.random.default_rng(seed).permutation(8) for seed in range(200))
    assert not any(index_rules(each, 8) for each in draws)
    assert not index_rules(I, 12)
    assert not index_rules(np.where(I == 3, -1, I), 12)


def test_a_map_of_few_entries_may_follow_from_several_rules():
    pair, four = (Axis("head", size) for size in (2, 4))
    assert words_along(four, np.arange(4) // 2) == "head h is head h // 2"
    assert "head h is head h // 2" in other_words_along(pair, np.zeros(2, int))
    assert other_words_along(pair, np.array([1, 0]))[-2:] == ["the heads are rolled by -1", "the heads are rolled by 1"]


def differences(side):
    y, x = np.divmod(np.arange(side * side), side)
    return y[:, None] - y, x[:, None] - x


TABLE = {
    "(Δy + M - 1) 2M + Δx + M - 1, Δ = query's place - key's place, or the last row where that is beyond the table": (
        lambda dy, dx, m, n: np.minimum((dy + m - 1) * 2 * m + dx + m - 1, n - 1)
    ),
    "(Δy + M - 1) (2M - 1) + Δx, Δ = query's place - key's place, or the first row where that is negative": (
        lambda dy, dx, m, n: np.maximum((dy + m - 1) * (2 * m - 1) + dx, 0)
    ),
    "Δy (2M - 1) + Δx, Δ = query's place - key's place, counted from the table's end where that is negative": (
        lambda dy, dx, m, n: (dy * (2 * m - 1) + dx) % n
    ),
    "(Δy + M) (2M - 1) + Δx + M, Δ = query's place - key's place, or 0 where that is outside": (
        lambda dy, dx, m, n: np.where((dy + m) * (2 * m - 1) + dx + m < n, (dy + m) * (2 * m - 1) + dx + m, -1)
    ),
    "(Δy + M - 1) (2M - 1) + |Δx| + M - 1, Δ without its sign in x": (
        lambda dy, dx, m, n: (dy + m - 1) * (2 * m - 1) + np.abs(dx) + m - 1
    ),
    "(Δy + M - 1) (2M - 1) + Δx + M - 1, Δ limited to ±1": (
        lambda dy, dx, m, n: (dy.clip(-1, 1) + m - 1) * (2 * m - 1) + dx.clip(-1, 1) + m - 1
    ),
}


@pytest.mark.parametrize("side", [3, 4, 7])
@pytest.mark.parametrize("words", TABLE)
def test_the_index_into_the_table_is_told_by_its_rule_for_windows_of_each_size(words, side):
    size = (2 * side - 1) ** 2
    assert rule_of_rows(TABLE[words](*differences(side), side, size), side, size) == words


def test_rows_without_a_rule_have_none():
    rng = np.random.default_rng(0)
    assert not any(rule_of_rows(rng.integers(0, 25, (9, 9)), 3, 25) for _ in range(50))
