"""Layouts that differ from the official one in names alone: timm's and torchvision's."""

import re
from collections.abc import Callable, Iterable, Mapping

from npswin.types import Array

# A pattern that a whole key must match, and its official name as a template or a function of the match.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]

IN_A_STAGE = re.compile(r"layers\.\d+\.")

_TIMM: list[Rule] = [
    (r"layers\.(\d+)\.downsample\.(.+)", lambda m: f"layers.{int(m[1]) - 1}.downsample.{m[2]}"),
    (r"head\.fc\.(.+)", r"head.\1"),
]


def _stage(match: re.Match[str]) -> str:
    """torchvision counts in one list: 0 patch embedding, 1 first stage, 2 its merging, 3 second stage, ..."""
    return f"layers.{(int(match[1]) - 1) // 2}"


_TORCHVISION: list[Rule] = [
    (r"features\.0\.0\.(.+)", r"patch_embed.proj.\1"),
    (r"features\.0\.2\.(.+)", r"patch_embed.norm.\1"),
    (r"features\.(\d*[13579])\.(\d+)\.mlp\.0\.(.+)", lambda m: f"{_stage(m)}.blocks.{m[2]}.mlp.fc1.{m[3]}"),
    (r"features\.(\d*[13579])\.(\d+)\.mlp\.3\.(.+)", lambda m: f"{_stage(m)}.blocks.{m[2]}.mlp.fc2.{m[3]}"),
    (r"features\.(\d*[13579])\.(\d+)\.((?:norm|attn).+)", lambda m: f"{_stage(m)}.blocks.{m[2]}.{m[3]}"),
    (r"features\.(\d*[02468])\.((?:norm|reduction)\..+)", lambda m: f"{_stage(m)}.downsample.{m[2]}"),
]

RULES: dict[str, list[Rule]] = {"official": [], "timm": _TIMM, "torchvision": _TORCHVISION}


def renamed(key: str, rules: Iterable[Rule]) -> str:
    """The name that the first matching rule gives, or the key itself where none matches."""
    for pattern, official in rules:
        if match := re.fullmatch(pattern, key):
            return match.expand(official) if isinstance(official, str) else official(match)
    return key


def rename(tensors: Mapping[str, Array], rules: Iterable[Rule]) -> dict[str, Array]:
    """The tensors, each under the name that the first matching rule gives it, or its own where none matches.

    Raises:
        ValueError: two tensors would get the same name.
    """
    found: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for key, tensor in tensors.items():
        name = renamed(key, rules)
        if name in found:
            raise ValueError(f"both {origin[name]} and {key} are {name}")
        found[name], origin[name] = tensor, key
    return found


def convert(tensors: Mapping[str, Array], layout: str) -> dict[str, Array]:
    """Official names for the tensors of a layout that keeps the official array layouts."""
    return rename(tensors, RULES[layout])
