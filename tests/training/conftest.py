"""Fixtures of the tests of training."""

from collections.abc import Iterator

import pytest

from npswin.training import trainer


@pytest.fixture
def no_curves() -> Iterator[None]:
    """Runs without curves.png, which takes longer than the training of a tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "draw_curves", lambda *_: None)
        yield
