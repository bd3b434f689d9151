"""What tests of several examples need."""

import pytest

import npswin


@pytest.fixture
def started(monkeypatch):
    """The trainers that were made, none of which trains."""
    trainers = []

    def fit(trainer, *_):
        trainers.append(trainer)
        raise ValueError("far enough")

    monkeypatch.setattr(npswin.training.Trainer, "fit", fit)
    return trainers
