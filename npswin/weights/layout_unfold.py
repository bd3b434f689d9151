"""The layout of swin-transformer-pytorch: unfold's order of a patch's elements, and bias tables with reversed axes."""

import math
import re
from collections.abc import Mapping

from npswin.types import Array
from npswin.weights.layout_renames import Rule, rename
from npswin.weights.merging_order import official_merging_weight

_BLOCK = r"stage(\d+)\.layers\.(\d+)\.([01])\."
MASKS = ("upper_lower_mask", "left_right_mask")
_TABLE = "attn.pos_embedding"


def _block_rule(pattern: str, official: str) -> Rule:
    """A rule for a tensor of a block. Blocks are numbered in pairs here, officially one by one."""
    return (
        _BLOCK + pattern + r"(.*)",
        lambda m: f"layers.{int(m[1]) - 1}.blocks.{2 * int(m[2]) + int(m[3])}.{official}{m[4]}",
    )


RULES: list[Rule] = [
    (r"stage1\.patch_partition\.linear\.(.+)", r"patch_embed.proj.\1"),
    (r"stage(\d+)\.patch_partition\.linear\.(.+)", lambda m: f"layers.{int(m[1]) - 2}.downsample.reduction.{m[2]}"),
    _block_rule(r"attention_block\.fn\.norm\.", "norm1."),
    _block_rule(r"attention_block\.fn\.fn\.to_qkv\.", "attn.qkv."),
    _block_rule(r"attention_block\.fn\.fn\.to_out\.", "attn.proj."),
    _block_rule(r"attention_block\.fn\.fn\.pos_embedding", _TABLE),
    _block_rule(r"mlp_block\.fn\.norm\.", "norm2."),
    _block_rule(r"mlp_block\.fn\.fn\.net\.0\.", "mlp.fc1."),
    _block_rule(r"mlp_block\.fn\.fn\.net\.2\.", "mlp.fc2."),
    (r"mlp_head\.0\.(.+)", r"norm.\1"),
    (r"mlp_head\.1\.(.+)", r"head.\1"),
]


def find_window_size(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """M, from the masks (M², M²) that are saved with the weights of shifted blocks; None where there is none.

    Args:
        shapes: of tensors by key.

    Raises:
        ValueError: a mask has another shape.
    """
    for key, shape in shapes.items():
        if key.rpartition(".")[2] in MASKS:
            side = math.isqrt(shape[0]) if len(shape) == 2 else 0
            if not side or shape != (side**2, side**2):
                raise ValueError(f"{key}: got shape {shape}, expected (M², M²)")
            return side
    return None


def convert(tensors: Mapping[str, Array], window_size: int | None, in_chans: int) -> dict[str, Array]:
    """Official names and array layouts.

    Args:
        tensors: by this layout's names; the result has no masks.
        window_size: M, or None where it is unknown.
        in_chans: c, the images' channels.

    Raises:
        ValueError: a tensor has a wrong shape, or without M the kind of a table is ambiguous.
    """
    official = rename({key: t for key, t in tensors.items() if key.rpartition(".")[2] not in MASKS}, RULES)
    for name, tensor in list(official.items()):
        if name == "patch_embed.proj.weight":
            official[name] = _patch_weight(tensor, in_chans)
        elif re.fullmatch(r"layers\.\d+\.downsample\.reduction\.weight", name):
            official[name] = official_merging_weight(name, tensor)
        elif name.endswith(_TABLE):
            kind, table = _bias_table(name, official.pop(name), window_size)
            official[name.replace("pos_embedding", kind)] = table
    return official


def _patch_weight(weight: Array, in_chans: int) -> Array:
    """(C, c·p²) to the convolution's (C, c, p, p). Unfold's order is channel, row, column."""
    for channels in (in_chans, 3, 1):  # the given one first; 3p² is never a square, so 3 and 1 are unambiguous
        side = math.isqrt(weight.shape[1] // channels) if weight.ndim == 2 else 0
        if side and channels * side * side == weight.shape[1]:
            return weight.reshape(len(weight), channels, side, side)
    raise ValueError(f"stage1.patch_partition.linear.weight: got {weight.shape}, expected (C, {in_chans}·p²)")


def _bias_table(name: str, table: Array, window_size: int | None) -> tuple[str, Array]:
    """The official name of a bias table, and the table in the official layout.

    A relative table has side 2M − 1, a full one M². A side that is an odd square, such as 49, can be either, so M is
    needed. A relative table is indexed by key − query here, officially by query − key, so both axes are reversed.
    """
    side = len(table) if table.ndim == 2 and table.shape[0] == table.shape[1] else 0
    relative, full = side % 2 == 1, side > 0 and math.isqrt(side) ** 2 == side
    if window_size is not None:
        relative, full = side == 2 * window_size - 1, side == window_size**2
    if relative and full and side > 1:
        raise ValueError(
            f"{name}: {side}×{side} is the relative table of M = {(side + 1) // 2} or the full one of "
            f"M = {math.isqrt(side)}, and there is no mask to decide; expected a complete state dict as `like`"
        )
    if relative:
        return "relative_position_bias_table", table[::-1, ::-1].reshape(side * side, 1)
    if full:
        return "position_bias_table", table
    raise ValueError(
        f"{name}: got {table.shape}, expected a side of 2M − 1 or M²"
        + ("" if window_size is None else f" with windows of M = {window_size}")
    )
