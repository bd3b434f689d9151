"""Swin Transformer and its named configurations."""

from npswin.models.configs import CONFIGS, OTHER_READING, create_model
from npswin.models.flops import Flops
from npswin.models.swin import SwinTransformer
from npswin.models.warmup import warmup

__all__ = ["CONFIGS", "OTHER_READING", "Flops", "SwinTransformer", "create_model", "warmup"]
