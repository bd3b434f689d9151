"""The layout of transformers' Swin: separate weights for queries, keys and values, and other names."""

from collections.abc import Mapping

import numpy as np

from npswin.types import Array
from npswin.weights.layout_renames import Rule, rename

_BLOCK = r"(?:swin\.)?encoder\.layers\.(\d+)\.blocks\.(\d+)\."
_OFFICIAL_BLOCK = r"layers.\1.blocks.\2."

# The names in the hub's files, and where they differ, those of the modules in transformers 5.
RULES: list[Rule] = [
    (r"(?:swin\.)?embeddings\.patch_embeddings\.projection\.(.+)", r"patch_embed.proj.\1"),
    (r"(?:swin\.)?embeddings\.norm\.(.+)", r"patch_embed.norm.\1"),
    (r"(?:swin\.)?embeddings\.position_embeddings", "absolute_pos_embed"),
    (_BLOCK + r"layernorm_before\.(.+)", _OFFICIAL_BLOCK + r"norm1.\3"),
    (_BLOCK + r"layernorm_after\.(.+)", _OFFICIAL_BLOCK + r"norm2.\3"),
    (_BLOCK + r"attention\.(?:self\.query|q_proj)\.(.+)", _OFFICIAL_BLOCK + r"attn.q.\3"),
    (_BLOCK + r"attention\.(?:self\.key|k_proj)\.(.+)", _OFFICIAL_BLOCK + r"attn.k.\3"),
    (_BLOCK + r"attention\.(?:self\.value|v_proj)\.(.+)", _OFFICIAL_BLOCK + r"attn.v.\3"),
    (_BLOCK + r"attention\.(?:output\.dense|o_proj)\.(.+)", _OFFICIAL_BLOCK + r"attn.proj.\3"),
    (
        _BLOCK + r"attention\.(?:self|relative_position_bias)\.relative_position_bias_table",
        _OFFICIAL_BLOCK + r"attn.relative_position_bias_table",
    ),
    (_BLOCK + r"(?:intermediate\.dense|mlp\.fc1)\.(.+)", _OFFICIAL_BLOCK + r"mlp.fc1.\3"),
    (_BLOCK + r"(?:output\.dense|mlp\.fc2)\.(.+)", _OFFICIAL_BLOCK + r"mlp.fc2.\3"),
    (r"(?:swin\.)?encoder\.layers\.(\d+)\.downsample\.(.+)", r"layers.\1.downsample.\2"),
    (r"(?:swin\.)?layernorm\.(.+)", r"norm.\1"),
    (r"hidden_states_norms\.stage([1-9]\d*)\.(.+)", lambda m: f"norm{int(m[1]) - 1}.{m[2]}"),
    (r"classifier\.(.+)", r"head.\1"),
]


def convert(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Official names, with the matrices of q, k and v, each (hd, C), concatenated to one of (3hd, C).

    Raises:
        ValueError: their shapes cannot be concatenated, or two tensors would get the same name.
    """
    official = rename(tensors, RULES)
    for q in [name for name in official if ".attn.q." in name]:
        parts = [q.replace(".attn.q.", f".attn.{letter}.") for letter in "qkv"]
        if all(part in official for part in parts):
            try:
                official[q.replace(".attn.q.", ".attn.qkv.")] = np.concatenate([official[part] for part in parts])
            except ValueError as error:
                shapes = ", ".join(str(official[part].shape) for part in parts)
                raise ValueError(f"{', '.join(parts)}: shapes {shapes} cannot be concatenated") from error
            for part in parts:
                del official[part]
    return official
