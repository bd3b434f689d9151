"""The layout of mmdetection, mmsegmentation and mmpretrain: other names, and unfold's order of patch merging."""

import re
from collections.abc import Mapping

from npswin.types import Array
from npswin.weights.layout_renames import Rule, rename
from npswin.weights.merging_order import official_merging_vector, official_merging_weight

_BODY = r"(?:backbone\.)?"
_BLOCK = _BODY + r"stages\.(\d+)\.blocks\.(\d+)\."
_OFFICIAL_BLOCK = r"layers.\1.blocks.\2."
_STAGE_NORM = re.compile(_BODY + r"norm(\d+)\.(?:weight|bias)")

RULES: list[Rule] = [
    (_BODY + r"patch_embed\.projection\.(.+)", r"patch_embed.proj.\1"),
    (_BODY + r"patch_embed\.norm\.(.+)", r"patch_embed.norm.\1"),
    (_BODY + r"absolute_pos_embed", "absolute_pos_embed"),
    (_BLOCK + r"(norm[12])\.(.+)", _OFFICIAL_BLOCK + r"\3.\4"),
    (_BLOCK + r"attn\.w_msa\.(.+)", _OFFICIAL_BLOCK + r"attn.\3"),
    (_BLOCK + r"ffn\.layers\.0\.0\.(.+)", _OFFICIAL_BLOCK + r"mlp.fc1.\3"),
    (_BLOCK + r"ffn\.layers\.1\.(.+)", _OFFICIAL_BLOCK + r"mlp.fc2.\3"),
    (_BODY + r"stages\.(\d+)\.downsample\.(.+)", r"layers.\1.downsample.\2"),
    (_BODY + r"norm\.(.+)", r"norm.\1"),
    (r"head\.fc\.(.+)", r"head.\1"),
]


def convert(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Official names, and patch merging in the official order.

    A classifier has one of the norms of stages, norm3 of four stages, which officially is norm. A backbone for dense
    tasks has one for each stage's output, norm0 to norm3; officially a classifier has no such norms, and they keep
    their names.

    Raises:
        ValueError: a tensor of patch merging has a wrong shape, or two tensors would get the same name.
    """
    official = rename(tensors, [*_last_norm(tensors), *RULES])
    for name, tensor in official.items():
        if re.fullmatch(r"layers\.\d+\.downsample\.reduction\.weight", name):
            official[name] = official_merging_weight(name, tensor)
        elif re.fullmatch(r"layers\.\d+\.downsample\.norm\.(?:weight|bias)", name):
            official[name] = official_merging_vector(name, tensor)
    return official


def _last_norm(names: Mapping[str, Array]) -> list[Rule]:
    """The rule for the final norm, where only one of the stages' norms is there and it is the last stage's."""
    norms = {match[1] for name in names if (match := _STAGE_NORM.fullmatch(name))}
    stages = [int(match[1]) for name in names if (match := re.match(_BLOCK, name))]
    if len(norms) == 1 and stages and int(last := norms.pop()) == max(stages):
        return [(_BODY + rf"norm{last}\.(.+)", r"norm.\1")]
    return []
