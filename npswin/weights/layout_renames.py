"""Renaming by rules, and the layouts that differ from the official one only in names: timm's and torchvision's."""

import re
from collections.abc import Callable, Iterable, Mapping

from npswin.types import Array

# A pattern for a whole key, and its official name as a template or a function of the match.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_TIMM: list[Rule] = [
    (r"layers[._](\d+)\.downsample\.(.+)", lambda m: f"layers.{int(m[1]) - 1}.downsample.{m[2]}"),
    (r"layers_(\d+)\.(.+)", r"layers.\1.\2"),  # of feature extractors, whose stages are not in a list
    (r"head\.fc\.(.+)", r"head.\1"),
]


_LIST = r"(?:features|body)\."  # "body" below a feature pyramid


def _torchvision_stage(match: re.Match[str]) -> str:
    """The official prefix of a stage. torchvision has one list: 0 patch embedding, 1 first stage, 2 its merging, ..."""
    return f"layers.{(int(match[1]) - 1) // 2}"


_TORCHVISION: list[Rule] = [
    (_LIST + r"0\.0\.(.+)", r"patch_embed.proj.\1"),
    (_LIST + r"0\.2\.(.+)", r"patch_embed.norm.\1"),
    (_LIST + r"(\d*[13579])\.(\d+)\.mlp\.0\.(.+)", lambda m: f"{_torchvision_stage(m)}.blocks.{m[2]}.mlp.fc1.{m[3]}"),
    (_LIST + r"(\d*[13579])\.(\d+)\.mlp\.3\.(.+)", lambda m: f"{_torchvision_stage(m)}.blocks.{m[2]}.mlp.fc2.{m[3]}"),
    (_LIST + r"(\d*[13579])\.(\d+)\.((?:norm|attn).+)", lambda m: f"{_torchvision_stage(m)}.blocks.{m[2]}.{m[3]}"),
    (_LIST + r"(\d*[02468])\.((?:norm|reduction)\..+)", lambda m: f"{_torchvision_stage(m)}.downsample.{m[2]}"),
]

RULES: dict[str, list[Rule]] = {"official": [], "timm": _TIMM, "torchvision": _TORCHVISION}


def official_name(key: str, rules: Iterable[Rule]) -> str:
    """The name by the first matching rule, or the key itself where none matches."""
    for pattern, official in rules:
        if match := re.fullmatch(pattern, key):
            return match.expand(official) if isinstance(official, str) else official(match)
    return key


def rename(tensors: Mapping[str, Array], rules: Iterable[Rule]) -> dict[str, Array]:
    """The same tensors, each under its `official_name`.

    Raises:
        ValueError: two tensors would get the same name.
    """
    official: dict[str, Array] = {}
    original_keys: dict[str, str] = {}
    for key, tensor in tensors.items():
        name = official_name(key, rules)
        if name in official:
            raise ValueError(f"both {original_keys[name]} and {key} are {name}")
        official[name], original_keys[name] = tensor, key
    return official


def convert(tensors: Mapping[str, Array], layout: str) -> dict[str, Array]:
    """Official names for the tensors of a layout of RULES."""
    return rename(tensors, RULES[layout])
