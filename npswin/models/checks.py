"""What a model is given, checked at the door so that no error comes from the inside."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.layers.window_attention import POSITION_BIASES
from npswin.types import Array


def _positive(name: str, value: Any, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name}: got {value!r}, expected an integer of at least {minimum}")


def check_architecture(config: Mapping[str, Any]) -> None:
    """Raise a ValueError that names the first argument of `SwinTransformer` that does not fit."""
    for name in ("patch_size", "in_chans", "embed_dim", "window_size"):
        _positive(name, config[name])
    _positive("num_classes", config["num_classes"], minimum=0)
    _positive("seed", config["seed"], minimum=0)
    depths, num_heads = config["depths"], config["num_heads"]
    if not depths or len(depths) != len(num_heads):
        raise ValueError(f"num_heads: got {num_heads} with depths {depths}, expected one number for each stage")
    for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        _positive(f"depths[{stage}]", depth)
        _positive(f"num_heads[{stage}]", heads)
        dim = config["embed_dim"] * 2**stage
        if config["head_dim"] is None and dim % heads:
            raise ValueError(
                f"num_heads[{stage}]: got {heads}, expected a divisor of the width {dim} (or give head_dim)"
            )
    if config["head_dim"] is not None:
        _positive("head_dim", config["head_dim"])
    size = config["img_size"]
    if size is None:
        if config["ape"]:
            raise ValueError("img_size: got None, expected a size, since ape=True needs one vector a place")
    else:
        sides = [size] if isinstance(size, int | np.integer) else list(size)
        if len(sides) not in (1, 2):
            raise ValueError(f"img_size: got {size!r}, expected a side or (height, width)")
        for side in sides:
            _positive("img_size", side)
    if config["mlp_ratio"] <= 0 or int(config["embed_dim"] * config["mlp_ratio"]) < 1:
        raise ValueError(
            f"mlp_ratio: got {config['mlp_ratio']}, expected a positive number that leaves hidden channels"
        )
    if config["position_bias"] not in POSITION_BIASES:
        raise ValueError(f"position_bias: got {config['position_bias']!r}, expected one of {POSITION_BIASES}")
    if not float(config["mask_value"]) < 0:
        raise ValueError(f"mask_value: got {config['mask_value']}, expected a negative number or -inf")
    if config["dtype"] not in ("float32", "float64"):
        raise ValueError(f"dtype: got {config['dtype']!r}, expected 'float32' or 'float64'")


def check_images(images: Array, in_chans: int, dtype: np.dtype[Any]) -> None:
    """Raise a ValueError unless these are images (B, c, H, W) that a model of this dtype can take."""
    if not isinstance(images, np.ndarray):
        raise ValueError(f"images: got {type(images).__name__}, expected an array of shape (B, {in_chans}, H, W)")
    if images.ndim != 4 or images.shape[1] != in_chans or 0 in images.shape:
        raise ValueError(f"images: got shape {images.shape}, expected (B, {in_chans}, H, W) with nothing empty")
    if images.dtype != dtype:
        raise ValueError(f"images: got dtype {images.dtype}, expected the model's {dtype} (see npswin.data.normalize)")
    finite = np.isfinite(images)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"images: got {images[where]} at {where} (image, channel, row, column), expected finite numbers"
        )
