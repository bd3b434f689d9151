"""Pictures of a run: its curves, what the model predicts, where its windows look."""

from npswin.training.pictures.attention import draw_attention
from npswin.training.pictures.curves import draw_curves
from npswin.training.pictures.predictions import draw_predictions

__all__ = ["draw_attention", "draw_curves", "draw_predictions"]
