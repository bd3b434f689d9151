"""Checks of what a model is given, so that an error names the argument and not an internal array."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.devices import device_of, is_array, on_gpu
from npswin.layers.layer import accepts_dtype, check_device
from npswin.layers.window_attention import POSITION_BIASES
from npswin.types import Array

_INTEGERS = {"patch_size": 1, "in_chans": 1, "embed_dim": 1, "window_size": 1, "num_classes": 0, "seed": 0}  # minimum
_FLAGS = ("qkv_bias", "ape", "patch_norm", "merge_norm", "merge_bias", "norm_after_pool")
_RATES = ("drop_rate", "attn_drop_rate", "drop_path_rate")


def checked_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `SwinTransformer` as JSON can hold them: NumPy's numbers and tuples made Python's.

    Raises:
        ValueError: the first argument that does not fit, named.
    """
    config = {name: _plain(value) for name, value in arguments.items()}
    for name, minimum in _INTEGERS.items():
        _check_integer(name, config[name], minimum)
    for name in _FLAGS:
        if not isinstance(config[name], bool):
            raise ValueError(f"{name}: got {config[name]!r}, expected True or False")
    for name in _RATES:
        if not _is_number(config[name]) or not 0 <= config[name] < 1:
            raise ValueError(f"{name}: got {config[name]!r}, expected a number in [0, 1)")
    _check_stages(config)
    _check_image_size(config)
    ratio = config["mlp_ratio"]
    if not _is_number(ratio) or not math.isfinite(ratio) or int(config["embed_dim"] * ratio) < 1:
        raise ValueError(f"mlp_ratio: got {ratio!r}, expected a positive number that leaves hidden channels")
    if config["position_bias"] not in POSITION_BIASES:
        raise ValueError(f"position_bias: got {config['position_bias']!r}, expected one of {POSITION_BIASES}")
    config["mask_value"] = _mask_value(config["mask_value"])
    config["dtype"] = _dtype_name(config["dtype"])
    return config


def check_images(images: Array, in_chans: int, param: Array) -> None:
    """Raise a ValueError unless these are images (B, c, H, W) that a model with such parameters can take.

    Images on a GPU are not searched for NaN, which would synchronize with the GPU.
    """
    if not is_array(images):
        raise ValueError(f"images: got {type(images).__name__}, expected an array of shape (B, {in_chans}, H, W)")
    if images.ndim != 4 or images.shape[1] != in_chans or 0 in images.shape:
        raise ValueError(f"images: got shape {images.shape}, expected (B, {in_chans}, H, W) with nothing empty")
    check_device("images", images, param)
    if not accepts_dtype(images, param):
        way = "(see npswin.data.normalize)"
        raise ValueError(f"images: got dtype {images.dtype}, expected the model's {param.dtype} {way}")
    if on_gpu(images):
        return
    finite = np.isfinite(images)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = "(image, channel, row, column)"
        raise ValueError(f"images: got {images[where]} at {where} {place}, expected finite numbers")


def check_derivative(name: str, derivative: Array, like: Array) -> None:
    """Raise a ValueError unless this can be the derivative of a loss by `like`."""
    alike = is_array(derivative) and derivative.shape == like.shape and derivative.dtype == like.dtype
    if not alike or on_gpu(derivative) != on_gpu(like):
        got = f"{getattr(derivative, 'dtype', type(derivative).__name__)} of shape {np.shape(derivative)}"
        where = f" on {device_of(like)!r}" if is_array(derivative) else ""
        raise ValueError(f"{name}: got {got}, expected {like.dtype} of shape {like.shape}{where}")


def check_cache_complete(caches: list[Any], layers: list[Any]) -> None:
    """Raise a ValueError unless the cache has one entry per layer: a backward pass uses it up."""
    if len(caches) != len(layers):
        raise ValueError("cache: used up by an earlier backward pass; each needs a forward pass of its own")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_integer(name: str, value: Any, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name}: got {value!r}, expected an integer of at least {minimum}")


def _check_stages(config: Mapping[str, Any]) -> None:
    depths, num_heads, head_dim = config["depths"], config["num_heads"], config["head_dim"]
    for name in ("depths", "num_heads"):
        if not isinstance(config[name], list) or not config[name]:
            raise ValueError(f"{name}: got {config[name]!r}, expected one number for each stage")
    if len(depths) != len(num_heads):
        raise ValueError(f"num_heads: got {num_heads} with depths {depths}, expected one number for each stage")
    if head_dim is not None:
        _check_integer("head_dim", head_dim)
    for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        _check_integer(f"depths[{stage}]", depth)
        _check_integer(f"num_heads[{stage}]", heads)
        width = config["embed_dim"] * 2**stage
        if head_dim is None and width % heads:
            raise ValueError(
                f"num_heads[{stage}]: got {heads}, expected a divisor of the width {width} (or give head_dim)"
            )


def _check_image_size(config: Mapping[str, Any]) -> None:
    size = config["img_size"]
    if size is None:
        if config["ape"]:
            raise ValueError("img_size: got None, expected a size, since ape=True needs one vector a place")
        return
    if isinstance(size, list) and len(size) != 2:
        raise ValueError(f"img_size: got {size}, expected a side or (height, width)")
    for side in size if isinstance(size, list) else [size]:
        _check_integer("img_size", side)


def _mask_value(value: Any) -> float | str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number < 0:
        raise ValueError(f"mask_value: got {value!r}, expected a negative number or -inf")
    return number if math.isfinite(number) else "-inf"


def _dtype_name(dtype: Any) -> str:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if dtype is None or name not in ("float32", "float64"):
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float64'")
    return name
