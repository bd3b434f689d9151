"""Fixtures of this room."""

from collections.abc import Iterator

import pytest

from npswin.training import trainer


@pytest.fixture
def no_curves() -> Iterator[None]:
    """Runs without a picture, which takes longer to draw than tiny runs take to train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "draw_curves", lambda *_: None)
        yield
