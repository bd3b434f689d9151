"""Swin Transformer in NumPy, with every derivative written by hand."""

from typing import TYPE_CHECKING

from npswin import data
from npswin.backends import allow_tf32, capture, get_backend, set_backend
from npswin.deprecation import renamed_attributes
from npswin.layers.loss import cross_entropy
from npswin.models import CONFIGS, SWIN_TRANSFORMER_PYTORCH, SwinTransformer, create_model, list_models, warmup
from npswin.training import SGD, AdamW, TrainConfig, Trainer
from npswin.verify import GradcheckError, gradcheck, trace
from npswin.weights import load_weights

__version__ = "0.2.0"

__all__ = [
    "CONFIGS",
    "SGD",
    "SWIN_TRANSFORMER_PYTORCH",
    "AdamW",
    "GradcheckError",
    "SwinTransformer",
    "TrainConfig",
    "Trainer",
    "allow_tf32",
    "capture",
    "create_model",
    "cross_entropy",
    "data",
    "get_backend",
    "gradcheck",
    "list_models",
    "load_weights",
    "set_backend",
    "trace",
    "warmup",
]

if not TYPE_CHECKING:  # a type checker would accept any attribute of a module that has __getattr__
    __getattr__ = renamed_attributes(__name__, {"OTHER_READING": "SWIN_TRANSFORMER_PYTORCH"})
