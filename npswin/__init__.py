"""Swin Transformer in NumPy, with every derivative written by hand.

Public names are imported when they are first used: `import npswin` itself takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npswin import data
    from npswin.backends import allow_bfloat16, allow_tf32, capture, get_backend, set_backend
    from npswin.layers.loss import cross_entropy
    from npswin.models import (
        CONFIGS,
        SWIN_TRANSFORMER_PYTORCH,
        CascadeMaskRCNN,
        MaskRCNN,
        SwinTransformer,
        UPerNet,
        create_model,
        list_models,
    )
    from npswin.models.attention_maps import attention_maps
    from npswin.models.grad_cam import grad_cam
    from npswin.models.warmup import warmup
    from npswin.training import SGD, AdamW, TrainConfig, Trainer, load_run, predict
    from npswin.verify import GradcheckError, trace
    from npswin.verify.gradcheck import gradcheck
    from npswin.weights import load_weights

__version__ = "0.2.0"

__all__ = [
    "CONFIGS",
    "SGD",
    "SWIN_TRANSFORMER_PYTORCH",
    "AdamW",
    "CascadeMaskRCNN",
    "GradcheckError",
    "MaskRCNN",
    "SwinTransformer",
    "TrainConfig",
    "Trainer",
    "UPerNet",
    "allow_bfloat16",
    "allow_tf32",
    "attention_maps",
    "capture",
    "create_model",
    "cross_entropy",
    "data",
    "get_backend",
    "grad_cam",
    "gradcheck",
    "list_models",
    "load_run",
    "load_weights",
    "predict",
    "set_backend",
    "trace",
    "warmup",
]

_PACKAGES = ("backends", "data", "layers", "models", "ops", "training", "verify", "weights")
_SOURCES = {  # module -> its names that are public here, too
    "backends": ("allow_bfloat16", "allow_tf32", "capture", "get_backend", "set_backend"),
    "layers.loss": ("cross_entropy",),
    "models": (
        "CONFIGS",
        "CascadeMaskRCNN",
        "MaskRCNN",
        "SWIN_TRANSFORMER_PYTORCH",
        "SwinTransformer",
        "UPerNet",
        "create_model",
        "list_models",
    ),
    "models.attention_maps": ("attention_maps",),
    "models.grad_cam": ("grad_cam",),
    "models.warmup": ("warmup",),
    "training": ("SGD", "AdamW", "TrainConfig", "Trainer", "load_run", "predict"),
    "verify": ("GradcheckError", "trace"),
    "verify.gradcheck": ("gradcheck",),
    "weights": ("load_weights",),
}
_SOURCE_OF = {name: module for module, names in _SOURCES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would accept any attribute of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return import_module(f"npswin.{name}")
        if name in _SOURCE_OF:
            value = globals()[name] = getattr(import_module(f"npswin.{_SOURCE_OF[name]}"), name)
            return value
        if name == "OTHER_READING":
            from npswin.deprecation import warn_renamed

            warn_renamed("npswin.OTHER_READING", "npswin.SWIN_TRANSFORMER_PYTORCH")
            return __getattr__("SWIN_TRANSFORMER_PYTORCH")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
