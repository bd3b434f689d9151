"""Swin Transformer and its named configurations."""

from npswin.models.configs import CONFIGS, OTHER_READING, create_model
from npswin.models.swin import SwinTransformer

__all__ = ["CONFIGS", "OTHER_READING", "SwinTransformer", "create_model"]
