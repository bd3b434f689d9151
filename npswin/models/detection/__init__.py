"""Object detection and instance segmentation: boxes, classes and masks of objects."""

from npswin.models.detection.cascade_mask_rcnn import CascadeMaskRCNN
from npswin.models.detection.detections import DetectorOutput
from npswin.models.detection.mask_rcnn import MaskRCNN

__all__ = ["CascadeMaskRCNN", "DetectorOutput", "MaskRCNN"]
