"""What detectors compute with boxes beside their layers: anchors, their true boxes, samples, and targets of masks.

In NumPy, for one image at a time, without derivatives: what comes out are targets of losses.
"""

from npswin.detection.anchors import grid_anchors, inside_anchors, valid_anchors
from npswin.detection.assignment import BACKGROUND, IGNORED, assign_boxes
from npswin.detection.mask_targets import mask_targets
from npswin.detection.sampling import add_true_boxes, sample_boxes

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "add_true_boxes",
    "assign_boxes",
    "grid_anchors",
    "inside_anchors",
    "mask_targets",
    "sample_boxes",
    "valid_anchors",
]
