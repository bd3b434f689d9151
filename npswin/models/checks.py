"""Checks of what a model is given, so that an error names the argument and not an internal array."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.checks import (
    check_array,
    check_choice,
    check_dtype,
    check_flag,
    check_integer,
    check_number,
    check_size,
    dtype_name,
    first_non_finite,
    shown,
)
from npswin.devices import is_array, on_gpu
from npswin.layers.layer import DTYPES, accepts_dtype, check_device
from npswin.layers.mlp import hidden_width
from npswin.layers.window_attention import POSITION_BIASES, width_of_head
from npswin.types import Array

_SIZES = {"patch_size": 1, "in_chans": 1, "embed_dim": 1, "window_size": 1, "num_classes": 0}  # minimum
_FLAGS = ("qkv_bias", "ape", "patch_norm", "merge_norm", "merge_bias", "norm_after_pool")
_RATES = ("drop_rate", "attn_drop_rate", "drop_path_rate")


def checked_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `SwinTransformer` as JSON can hold them: NumPy's numbers and tuples made Python's.

    Raises:
        ValueError: the first argument that does not fit, named.
    """
    config = dict(arguments)
    for name, minimum in _SIZES.items():
        config[name] = check_size(name, config[name], minimum)
    config["seed"] = check_integer("seed", config["seed"], 0)
    for name in _FLAGS:
        config[name] = check_flag(name, config[name])
    for name in _RATES:
        config[name] = check_number(name, config[name], at_least=0, below=1)
    check_choice("position_bias", config["position_bias"], POSITION_BIASES)
    config.update(_checked_stages(config))
    config["img_size"] = _checked_image_size(config["img_size"], config["ape"])
    hidden_width(config["embed_dim"], config["mlp_ratio"])
    config["mlp_ratio"] = check_number("mlp_ratio", config["mlp_ratio"])
    config["mask_value"] = _checked_mask_value(config["mask_value"])
    config["dtype"] = check_dtype("dtype", config["dtype"], DTYPES).name
    return config


def check_images(images: Array, in_chans: int, param: Array, name: str = "images") -> None:
    """Raise a ValueError unless these are images (B, c, H, W) that a model with such parameters can take.

    Images on a GPU are not searched for NaN, which would synchronize with the GPU.
    """
    check_image_shape(images, in_chans, name)
    check_device(name, images, param)
    if not accepts_dtype(images, param):
        way = "(see npswin.data.normalize)"
        raise ValueError(f"{name}: got dtype {dtype_name(images.dtype)}, expected the model's {param.dtype} {way}")
    if not on_gpu(images):
        check_finite(images, name)


def check_image_shape(images: Array, in_chans: int, name: str) -> None:
    """Raise a ValueError unless this is an array (B, c, H, W)."""
    check_array(name, images, f"an array of shape (B, {in_chans}, H, W)")
    if images.ndim != 4 or images.shape[1] != in_chans or 0 in images.shape:
        hint = ""
        if images.ndim == 4 and images.shape[-1] == in_chans:
            hint = f"; these are channels last: {name}.transpose(0, 3, 1, 2)"
        elif images.ndim == 3 and in_chans in images.shape:
            hint = "; one image is a batch of one: " + (
                f"{name}[None]" if images.shape[0] == in_chans else f"{name}.transpose(2, 0, 1)[None]"
            )
        raise ValueError(f"{name}: got shape {images.shape}, expected (B, {in_chans}, H, W) with nothing empty{hint}")


def check_finite(images: Array, name: str) -> None:
    """Raise a ValueError if there is a NaN or an infinity in images (B, c, H, W)."""
    where = first_non_finite(images)
    if where is not None:
        place = "(image, channel, row, column)"
        raise ValueError(f"{name}: got {images[where]} at {where} {place}, expected finite numbers")


def check_cache_complete(caches: list[Any], layers: list[Any]) -> None:
    """Raise a ValueError unless the cache has one entry per layer: a backward pass uses it up."""
    if len(caches) != len(layers):
        raise ValueError("cache: used up by an earlier backward pass; each needs a forward pass of its own")


def _checked_stages(config: Mapping[str, Any]) -> dict[str, Any]:
    stages = {name: _listed(config[name]) for name in ("depths", "num_heads")}
    for name, listed in stages.items():
        if not isinstance(listed, list) or not listed:
            raise ValueError(f"{name}: got {shown(config[name])}, expected one number for each stage")
        stages[name] = [check_size(f"{name}[{stage}]", number) for stage, number in enumerate(listed)]
    depths, num_heads = stages["depths"], stages["num_heads"]
    if len(depths) != len(num_heads):
        got = f"{shown(num_heads)} with depths {shown(depths)}"
        raise ValueError(f"num_heads: got {got}, expected one number for each stage")
    head_dim = config["head_dim"]
    for stage, heads in enumerate(num_heads):
        width = width_of_head(config["embed_dim"] * 2**stage, heads, head_dim, f"num_heads[{stage}]")
        head_dim = None if head_dim is None else width  # an integer of Python's
    return {**stages, "head_dim": head_dim}


def _checked_image_size(size: Any, needs_positions: bool) -> int | list[int] | None:
    if size is None:
        if needs_positions:
            raise ValueError("img_size: got None, expected a size, since ape=True needs one vector a place")
        return None
    sides = _listed(size)
    if not isinstance(sides, list):
        return check_size("img_size", size)
    if len(sides) != 2:
        raise ValueError(f"img_size: got {shown(size)}, expected a side or (height, width)")
    return [check_size("img_size", side) for side in sides]


def _listed(value: Any) -> Any:
    """A list for a tuple or an array with one axis; another value as it is."""
    is_vector = is_array(value) and value.ndim == 1
    return list(value) if isinstance(value, list | tuple) or is_vector else value


def _checked_mask_value(value: Any) -> float | str:
    is_text = isinstance(value, str) and value == "-inf"  # as a configuration in JSON has it
    number = check_number("mask_value", -np.inf if is_text else value, below=0, finite=False)
    return number if np.isfinite(number) else "-inf"
