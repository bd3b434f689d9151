"""Official names of a model's parameters, and the parts of a model that they show."""

import re
from collections.abc import Iterable

BACKBONE = "backbone."  # before the names of a dense model's backbone
PATCH_WEIGHT = "patch_embed.proj.weight"
_STAGE_NORM = re.compile(r"(?:backbone\.)?norm\d+\.(?:weight|bias)")
_TAIL = re.compile(r"(?:norm|head)\.(?:weight|bias)")


def backbone_prefix(names: Iterable[str]) -> str:
    """What the names of a model's backbone begin with: "backbone." in a dense model, "" in one that has no heads."""
    return BACKBONE if BACKBONE + PATCH_WEIGHT in names else ""


def is_stage_norm(name: str) -> bool:
    """Whether this is a parameter of the norm of a stage's output, which dense models have."""
    return bool(_STAGE_NORM.fullmatch(name))


def is_tail(name: str) -> bool:
    """Whether this is a parameter of what a classifier has behind its last stage."""
    return bool(_TAIL.fullmatch(name))


def part_of(name: str) -> str:
    """The part of a model that a parameter belongs to: "decode_head", "norm0" or "backbone.norm0"."""
    return name.rpartition(".")[0] if is_stage_norm(name) else name.split(".")[0]
