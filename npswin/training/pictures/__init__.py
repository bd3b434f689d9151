"""Pictures: curves of a run, predictions on images, label maps, found objects, attention within windows."""

from npswin.training.pictures.attention import draw_attention
from npswin.training.pictures.class_scores import draw_class_scores
from npswin.training.pictures.curves import draw_curves
from npswin.training.pictures.detections import draw_detections
from npswin.training.pictures.predictions import draw_predictions
from npswin.training.pictures.segmentation import draw_segmentation

__all__ = [
    "draw_attention",
    "draw_class_scores",
    "draw_curves",
    "draw_detections",
    "draw_predictions",
    "draw_segmentation",
]
