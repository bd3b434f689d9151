"""The learning rates of a run by its recipe, against the formulas and the numbers of the official dense recipes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.training import TrainConfig, warmup_cosine
from npswin.training.schedules import Schedule


def rates(steps_per_epoch, **recipe):
    schedule = Schedule(TrainConfig(**recipe), steps_per_epoch)
    return [schedule.rate(step) for step in range(schedule.total_steps)]


def test_the_cosine_is_warmup_cosine():
    found = rates(5, epochs=4, lr=0.5, min_lr=0.1, warmup_epochs=0.6)
    assert found == [warmup_cosine(step, 20, 0.5, 3, 0.1) for step in range(20)]
    assert rates(5, epochs=4, lr=0.5, min_lr=0.1, warmup_steps=3) == found


def test_the_line_of_a_whole_run():
    """Two steps of warm-up, whose factors are 1/3 and 2/3 of a rate that falls from the first step on."""
    line = [0.1 + 0.4 * (1 - step / 8) for step in range(8)]
    found = rates(4, epochs=2, schedule="poly", lr=0.5, min_lr=0.1, warmup_steps=2)
    assert found == pytest.approx([line[0] / 3, line[1] * 2 / 3, *line[2:]], rel=1e-14)


def test_the_line_of_the_official_recipe():
    """UPerNet's: 6e-5, 160,000 steps, 1,500 of them warm-up; the middle has half the rate."""
    schedule = Schedule(TrainConfig(epochs=100, schedule="poly", lr=6e-5, warmup_steps=1500), 1600)
    assert schedule.rate(80_000) == pytest.approx(3e-5, rel=1e-14)
    assert schedule.rate(159_999) == pytest.approx(6e-5 / 160_000, rel=1e-9)
    for step in (0, 100, 750, 1499):
        official = (1e-6 + (1 - 1e-6) * step / 1500) * 6e-5 * (1 - step / 160_000)
        assert abs(schedule.rate(step) - official) < 6e-5 / 1500


@pytest.mark.parametrize(("epochs", "decay_epochs"), [(12, (8, 11)), (36, (27, 33))])
def test_the_steps_of_the_official_recipes(epochs, decay_epochs):
    found = rates(7, epochs=epochs, schedule="steps", decay_epochs=decay_epochs, lr=1e-4)
    first, second = (7 * epoch for epoch in decay_epochs)
    wanted = [1e-4] * first + [1e-5] * (second - first) + [1e-6] * (7 * epochs - second)
    assert found == pytest.approx(wanted, rel=1e-14)


@given(st.sampled_from(["cosine", "poly"]), st.integers(1, 9), st.integers(1, 9), st.data())
def test_rates_rise_in_the_warm_up_and_fall_after_it(schedule, epochs, steps_per_epoch, data):
    total = epochs * steps_per_epoch
    warmup = data.draw(st.integers(0, total - 1))
    found = rates(steps_per_epoch, epochs=epochs, schedule=schedule, lr=0.5, min_lr=0.01, warmup_steps=warmup)
    assert all(0 < rate <= 0.5 for rate in found)
    after = found[warmup:]
    assert after == sorted(after, reverse=True)
    assert found[0] == pytest.approx(0.5 / (warmup + 1), rel=1e-14)


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(ValueError, match=r"^warmup_steps: got 10, expected fewer than the 10 steps of the run"):
        Schedule(TrainConfig(epochs=2, warmup_steps=10), 5)
