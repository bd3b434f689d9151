"""The learning rate's course."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.training import warmup_cosine


def test_values():
    course = [warmup_cosine(step, 12, 1.0, 3, 0.1) for step in range(13)]
    assert course[:4] == [0.25, 0.5, 0.75, 1.0]
    assert course[6] == pytest.approx(0.1 + 0.9 * 0.75)  # a third of the way: (1 + cos 60°) / 2
    assert course[9] == pytest.approx(0.1 + 0.9 * 0.25)
    assert course[12] == 0.1
    assert warmup_cosine(99, 12, 1.0, 3, 0.1) == 0.1
    assert warmup_cosine(0, 5, 0.3) == 0.3


@given(st.integers(1, 50), st.data())
def test_rises_then_falls_within_its_bounds(total, data):
    warmup = data.draw(st.integers(0, total - 1))
    course = [warmup_cosine(step, total, 0.5, warmup, 0.01) for step in range(total)]
    assert max(course) == course[warmup] == 0.5
    assert course[: warmup + 1] == sorted(course[: warmup + 1])
    assert course[warmup:] == sorted(course[warmup:], reverse=True)
    assert all(0 < value <= 0.5 for value in course)


def test_errors():
    with pytest.raises(ValueError, match=r"^step: got -1"):
        warmup_cosine(-1, 10, 0.1)
    with pytest.raises(ValueError, match=r"^warmup_steps: got 10, expected 0 to 9"):
        warmup_cosine(0, 10, 0.1, 10)
