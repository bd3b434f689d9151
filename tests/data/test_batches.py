import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.batches import batch_rng, epoch_batches, steps_per_epoch

SIZES = st.integers(1, 200)
SEEDS = st.integers(0, 2**40)


@given(SIZES, SIZES, SEEDS, st.integers(0, 1000))
def test_batches_are_full_and_have_no_image_twice(dataset_size, batch_size, seed, epoch):
    batches = list(epoch_batches(dataset_size, batch_size, seed, epoch))
    assert len(batches) == steps_per_epoch(dataset_size, batch_size)
    assert all(len(batch) == min(batch_size, dataset_size) for batch in batches)
    seen = np.concatenate(batches)
    assert len(np.unique(seen)) == len(seen)
    assert seen.min() >= 0
    assert seen.max() < dataset_size
    assert dataset_size - len(seen) < batch_size


def test_same_seed_and_epoch_same_batches():
    first, again = (np.array(list(epoch_batches(50, 7, 3, 2))) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("seed", "epoch"), [(3, 1), (4, 2)])
def test_other_seed_or_epoch_other_batches(seed, epoch):
    assert not np.array_equal(
        np.array(list(epoch_batches(50, 7, 3, 2))), np.array(list(epoch_batches(50, 7, seed, epoch)))
    )


def test_every_image_is_seen_over_the_epochs():
    seen = {int(i) for epoch in range(30) for batch in epoch_batches(10, 4, 0, epoch) for i in batch}
    assert seen == set(range(10))


def test_step_generators_repeat_and_differ():
    steps = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    draws = [batch_rng(*step).random() for step in steps]
    assert draws == [batch_rng(*step).random() for step in steps]
    assert len(set(draws)) == len(draws)


def test_a_seed_of_more_than_32_bits_is_not_mistaken_for_seed_and_epoch():
    """NumPy splits a seed into integers of 32 bits."""
    wide, narrow = (np.array(list(epoch_batches(50, 7, *seeds))) for seeds in [(2**32, 0), (0, 1)])
    assert not np.array_equal(wide, narrow)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 4, 0, 0), "dataset_size"), ((4, 0, 0, 0), "batch_size"), ((4, 4, -1, 0), "seed"), ((4, 4, 0, -1), "epoch")],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        epoch_batches(*arguments)


def test_negative_step_is_named():
    with pytest.raises(ValueError, match="step"):
        batch_rng(0, 0, -1)
