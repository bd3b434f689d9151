"""The named configurations: the official ones (appendix A1 and the released configuration files) and small ones.

Those of dense models are in the packages of their tasks.
"""

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from npswin.checks import check_choice, check_text, shown
from npswin.deprecation import renamed_attributes
from npswin.files import listed
from npswin.models.detection import CascadeMaskRCNN, MaskRCNN
from npswin.models.detection.configs import CASCADE_MASK_RCNN_CONFIGS, MASK_RCNN_CONFIGS
from npswin.models.segmentation import UPerNet
from npswin.models.segmentation.configs import UPERNET_CONFIGS
from npswin.models.swin import SwinTransformer

_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}


def _official(size: str, window_size: int, img_size: int, drop_path_rate: float, num_classes: int) -> dict[str, Any]:
    return {
        **_SIZES[size],
        "img_size": img_size,
        "patch_size": 4,
        "window_size": window_size,
        "drop_path_rate": drop_path_rate,
        "num_classes": num_classes,
    }


def _small_images(embed_dim: int, depths: tuple[int, ...], num_heads: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return {
        "embed_dim": embed_dim,
        "depths": depths,
        "num_heads": num_heads,
        "img_size": 32,
        "patch_size": 2,
        "window_size": 4,
        "num_classes": 10,
        **more,
    }


IMAGENET_1K, IMAGENET_22K = 1000, 21841

CONFIGS: dict[str, dict[str, Any]] = {
    "swin_tiny_patch4_window7_224": _official("tiny", 7, 224, 0.2, IMAGENET_1K),
    "swin_small_patch4_window7_224": _official("small", 7, 224, 0.3, IMAGENET_1K),
    "swin_base_patch4_window7_224": _official("base", 7, 224, 0.5, IMAGENET_1K),
    "swin_base_patch4_window12_384": _official("base", 12, 384, 0.5, IMAGENET_1K),
    "swin_large_patch4_window7_224": _official("large", 7, 224, 0.2, IMAGENET_1K),
    "swin_large_patch4_window12_384": _official("large", 12, 384, 0.2, IMAGENET_1K),
    "swin_tiny_patch4_window7_224_22k": _official("tiny", 7, 224, 0.1, IMAGENET_22K),
    "swin_small_patch4_window7_224_22k": _official("small", 7, 224, 0.2, IMAGENET_22K),
    "swin_base_patch4_window7_224_22k": _official("base", 7, 224, 0.2, IMAGENET_22K),
    "swin_base_patch4_window12_384_22k": _official("base", 12, 384, 0.2, IMAGENET_22K),
    "swin_large_patch4_window7_224_22k": _official("large", 7, 224, 0.2, IMAGENET_22K),
    "swin_large_patch4_window12_384_22k": _official("large", 12, 384, 0.2, IMAGENET_22K),
    "swin_nano_patch2_window4_32": _small_images(24, (2, 2), (2, 4), drop_path_rate=0.0),
    "swin_mini_patch2_window4_32": _small_images(48, (2, 2, 2), (3, 6, 12), drop_path_rate=0.1),
    "swin_tiny_patch2_window4_32": _small_images(96, (2, 6, 2), (3, 6, 12), drop_path_rate=0.2),
}

# Arguments that reproduce the package swin-transformer-pytorch, which differs from the official model in all of these:
# create_model("swin_tiny_patch4_window7_224", **SWIN_TRANSFORMER_PYTORCH); position_bias="full" is its second variant.
SWIN_TRANSFORMER_PYTORCH: dict[str, Any] = {
    "img_size": None,
    "position_bias": "shared",
    "qkv_bias": False,
    "head_dim": 32,
    "mask_value": float("-inf"),
    "patch_norm": False,
    "merge_norm": False,
    "merge_bias": True,
    "norm_after_pool": True,
    "drop_path_rate": 0.0,
}


if not TYPE_CHECKING:  # a type checker would accept any attribute of a module that has __getattr__
    __getattr__ = renamed_attributes(__name__, {"OTHER_READING": "SWIN_TRANSFORMER_PYTORCH"})


# Each name's class and arguments.
_MODELS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    **{name: (SwinTransformer, config) for name, config in CONFIGS.items()},
    **{name: (UPerNet, config) for name, config in UPERNET_CONFIGS.items()},
    **{name: (MaskRCNN, config) for name, config in MASK_RCNN_CONFIGS.items()},
    **{name: (CascadeMaskRCNN, config) for name, config in CASCADE_MASK_RCNN_CONFIGS.items()},
}

# The classes of dense models by the name in their `config`.
_ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "upernet": UPerNet,
    "mask_rcnn": MaskRCNN,
    "cascade_mask_rcnn": CascadeMaskRCNN,
}


def list_models(pattern: str = "*") -> list[str]:
    """The names of the configurations.

        npswin.list_models("*tiny*")

    Args:
        pattern: which names: `*` stands for any characters, `?` for one, `[...]` for one of those in the brackets;
            upper and lower case differ.

    Returns:
        The names that match, in alphabetical order; an empty list if none does.
    """
    check_text("pattern", pattern)
    return sorted(name for name in _MODELS if fnmatch.fnmatchcase(name, pattern))


def _similar(name: str) -> list[str]:
    """Names that begin as a name does, or are nearly it."""
    beginning = [one for one in _MODELS if one.startswith(name.replace("-", "_") + "_")]
    return beginning or difflib.get_close_matches(name, _MODELS)


def create_model(name: str, **overrides: Any) -> Any:
    """A model by its configuration's name.

    Args:
        name: one of `npswin.list_models()`, such as "swin_tiny_patch4_window7_224" or "upernet_swin_tiny".
        **overrides: arguments of the model's class that shall differ, such as num_classes, dtype, seed. Of a dense
            model, `backbone` has the arguments of its `SwinTransformer` that shall differ.

    Returns:
        A `SwinTransformer`, `UPerNet`, `MaskRCNN` or `CascadeMaskRCNN`, with fresh weights.

    Raises:
        ValueError: no configuration has this name; or an argument that does not fit.
    """
    if not isinstance(name, str) or name not in _MODELS:
        close = _similar(name[:80]) if isinstance(name, str) else []
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"name: got {shown(name)}, expected one of {', '.join(_MODELS)}{hint}")
    kind, config = _MODELS[name]
    if "backbone" in config and isinstance(overrides.get("backbone"), dict):
        overrides = {**overrides, "backbone": {**config["backbone"], **overrides["backbone"]}}
    return kind(**{**config, **overrides})


def model_of_config(config: Mapping[str, Any]) -> Any:
    """A model by its own `config`, as weight files and the folders of runs have it.

    Args:
        config: the arguments of a model's class by name; of a dense model, "architecture" says which one.

    Returns:
        The model, with fresh weights.

    Raises:
        ValueError: no model has this architecture; or an argument that the model does not have, or that does not fit.
    """
    arguments = dict(config)
    kind: Callable[..., Any] = SwinTransformer
    if "architecture" in arguments:
        name = arguments.pop("architecture")
        kind = _ARCHITECTURES[check_choice("architecture", name, tuple(_ARCHITECTURES))]
    parameters = inspect.signature(kind).parameters
    if unknown := [name for name in arguments if name not in parameters]:
        raise ValueError(f"{listed(map(shown, unknown))}: expected arguments of {kind.__name__}")
    if kind is not SwinTransformer and "num_classes" not in arguments:
        raise ValueError("num_classes: is missing")
    return kind(**arguments)
