"""Swin Transformer in NumPy, with every derivative written by hand."""

from npswin import data
from npswin.backends import allow_tf32, capture, get_backend, set_backend
from npswin.layers.loss import cross_entropy
from npswin.models import CONFIGS, OTHER_READING, SwinTransformer, create_model, warmup
from npswin.training import SGD, AdamW, TrainConfig, Trainer
from npswin.verify import GradcheckError, gradcheck, trace
from npswin.weights import load_weights

__version__ = "0.1.0"

__all__ = [
    "CONFIGS",
    "OTHER_READING",
    "SGD",
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
    "load_weights",
    "set_backend",
    "trace",
    "warmup",
]
