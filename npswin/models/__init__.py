"""Swin Transformer, the dense models on it, and the named configurations."""

from typing import TYPE_CHECKING

from npswin.deprecation import renamed_attributes
from npswin.models.attention_maps import attention_maps
from npswin.models.configs import CONFIGS, SWIN_TRANSFORMER_PYTORCH, create_model, list_models
from npswin.models.detection import CascadeMaskRCNN, MaskRCNN
from npswin.models.flops import Flops
from npswin.models.grad_cam import grad_cam
from npswin.models.segmentation import UPerNet
from npswin.models.swin import SwinTransformer
from npswin.models.warmup import warmup

__all__ = [
    "CONFIGS",
    "SWIN_TRANSFORMER_PYTORCH",
    "CascadeMaskRCNN",
    "Flops",
    "MaskRCNN",
    "SwinTransformer",
    "UPerNet",
    "attention_maps",
    "create_model",
    "grad_cam",
    "list_models",
    "warmup",
]

if not TYPE_CHECKING:  # a type checker would accept any attribute of a module that has __getattr__
    __getattr__ = renamed_attributes(__name__, {"OTHER_READING": "SWIN_TRANSFORMER_PYTORCH"})
