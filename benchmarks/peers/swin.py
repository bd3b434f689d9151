"""transformers' configuration of a Swin Transformer."""

from collections.abc import Mapping
from typing import Any


def swin_config(arguments: Mapping[str, Any], attention: str, **more: Any) -> Any:
    """The `SwinConfig` of the arguments of an `npswin.SwinTransformer`.

    Args:
        arguments: as its `config` has them; what transformers' model has no argument for must be the default.
        attention: transformers' name of an implementation.
        **more: arguments of the `SwinConfig`.
    """
    from transformers import SwinConfig

    return SwinConfig(
        num_channels=arguments.get("in_chans", 3),
        patch_size=arguments["patch_size"],
        embed_dim=arguments["embed_dim"],
        depths=list(arguments["depths"]),
        num_heads=list(arguments["num_heads"]),
        window_size=arguments["window_size"],
        mlp_ratio=arguments.get("mlp_ratio", 4.0),
        qkv_bias=arguments.get("qkv_bias", True),
        drop_path_rate=arguments.get("drop_path_rate", 0.0),
        attn_implementation=attention,
        **more,
    )


def dense_swin_config(arguments: Mapping[str, Any], attention: str) -> Any:
    """The same for the backbone of a dense model, which puts out the map of each stage."""
    stages = [f"stage{stage}" for stage in range(1, len(arguments["depths"]) + 1)]
    return swin_config(arguments, attention, out_features=stages)
