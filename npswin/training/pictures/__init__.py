"""Pictures of a run: its curves, predictions on test images, attention within windows."""

from npswin.training.pictures.attention import draw_attention
from npswin.training.pictures.curves import draw_curves
from npswin.training.pictures.predictions import draw_predictions

__all__ = ["draw_attention", "draw_curves", "draw_predictions"]
