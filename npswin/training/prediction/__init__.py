"""Prediction on a user's own images with the model of a run: what is read, what is found, and the files of results."""

from npswin.training.prediction.predict import Prediction, predict
from npswin.training.prediction.run import Run, load_run

__all__ = ["Prediction", "Run", "load_run", "predict"]
