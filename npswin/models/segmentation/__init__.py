"""Semantic segmentation: a class for each pixel."""

from npswin.models.segmentation.upernet import UPerNet

__all__ = ["UPerNet"]
