"""Which of the tensors in a file are the model's: below which prefix, in which layout, or none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.checks import shown
from npswin.files import listed
from npswin.types import Array
from npswin.weights import layout_unfold
from npswin.weights.dense import parts_beside, root_of
from npswin.weights.layout_heads import convert_heads
from npswin.weights.layout_search import Candidate, weight_names
from npswin.weights.layouts import convert, find_layouts
from npswin.weights.model_names import BACKBONE, PATCH_WEIGHT, backbone_prefix, is_stage_norm, is_tail
from npswin.weights.other_models import relative_of_swin, unrelated_model
from npswin.weights.report import Shape, WeightMismatchError


@dataclass(frozen=True)
class Chosen:
    """What weights have for a model.

    Attributes:
        layout: of the backbone's names.
        prefix: of the model's names in the weights.
        official: tensors by official name.
        parts: official names of the parts beside a dense model's backbone.
        foreign: keys of other parts.
        copies: other prefixes with a copy of the model.
    """

    layout: str
    prefix: str
    official: dict[str, Array]
    parts: list[str]
    foreign: list[str]
    copies: tuple[str, ...]


def choose_tensors(
    own: Mapping[str, Array],
    tensors: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    origin: str,
    given_prefix: str | None,
    part: str,
) -> Chosen:
    """The tensors that are the model's, or its backbone's.

    Args:
        own: the model's, by official name.
        tensors: the weights in any layout, each of which is looked up once at most.
        shapes: theirs.
        origin: of the weights, for messages.
        given_prefix, part: options of `load_weights`.

    Raises:
        WeightMismatchError, ValueError: as `load_weights`.
    """
    prefix, tensors, shapes = below_prefix(given_prefix, tensors, shapes)
    body = backbone_prefix(own)
    if part == "backbone" and not body:
        raise ValueError(f"part: got {part!r}, expected 'all' for a model without parameters below {BACKBONE}")
    backbone = {name.removeprefix(body): param for name, param in own.items() if name.startswith(body)}
    found = choose_candidate(backbone, shapes, origin)
    official = convert(tensors, found, image_channels(backbone), layout_unfold.find_window_size(shapes))
    is_dense = any(map(is_stage_norm, backbone))
    tail = [name for name in official if is_dense and is_tail(name)]
    official = {body + name: tensor for name, tensor in official.items() if name not in tail}
    prefixes, beside, heads = (found.prefix, *found.copies), dict[str, str](), dict[str, str]()
    if body and part == "all":
        prefixes, beside = tuple(dict.fromkeys(map(root_of, prefixes))), parts_beside(found)
        parts = {name.split(".")[0] for name in own}
        heads = {key: name for key, name in beside.items() if name.split(".")[0] in parts}
        official |= convert_heads(tensors, heads)
    foreign = [prefix + key for key in found.others if key not in heads] + tail
    first, *copies = (prefix + one for one in prefixes)
    return Chosen(found.layout, first, official, list(beside.values()), foreign, tuple(copies))


def below_prefix(
    prefix: str | None, tensors: Mapping[str, Array], shapes: Mapping[str, Shape]
) -> tuple[str, Mapping[str, Array], Mapping[str, Shape]]:
    """The tensors whose names begin with the given prefix, without it."""
    if not prefix:
        return "", tensors, shapes
    given, prefix = prefix, prefix if prefix.endswith(".") else f"{prefix}."
    keys = {key.removeprefix(prefix): key for key in shapes if key.startswith(prefix)}
    if not keys:
        starts = dict.fromkeys(key.split(".")[0] + "." for key in shapes if "." in key)
        raise ValueError(f"prefix: got {shown(given)}, with which no name begins; they begin with {listed(starts)}")
    return prefix, _Renamed(tensors, keys), {name: shapes[key] for name, key in keys.items()}


class _Renamed(Mapping[str, Array]):
    """Tensors under other names, looked up on access."""

    def __init__(self, tensors: Mapping[str, Array], keys: Mapping[str, str]) -> None:
        self.tensors, self.keys_of = tensors, keys

    def __getitem__(self, name: str) -> Array:
        return self.tensors[self.keys_of[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_of)

    def __len__(self) -> int:
        return len(self.keys_of)


def image_channels(params: Mapping[str, Array]) -> int:
    """How many channels the model's images have."""
    patch_weight = params.get(PATCH_WEIGHT)
    return 3 if patch_weight is None else patch_weight.shape[1]


def choose_candidate(params: Mapping[str, Array], shapes: Mapping[str, Shape], origin: str) -> Candidate:
    """The layout and prefix in which most tensors fit the model, by name and shape."""
    try:
        candidates = find_layouts(shapes)
    except ValueError:
        _refuse_other_model([], shapes, origin)
        raise
    _refuse_other_model(candidates, shapes, origin)
    if len(candidates) == 1:
        return candidates[0]
    empty = {key: np.broadcast_to(np.zeros((), bool), shape) for key, shape in shapes.items()}
    return max(candidates, key=lambda one: _fitting(params, empty, shapes, one))


def other_model(candidates: Sequence[Candidate], shapes: Mapping[str, Shape]) -> str | None:
    """What weights are that are not those of Swin V1, in a clause; None for Swin V1's, and where it is unknown.

    Args:
        candidates: the layouts that the names may have, the likeliest first. Other parts, such as a detector's, do not
            matter where one of them has blocks of Swin.
        shapes: of the tensors by key.
    """
    if candidates and (model := relative_of_swin(candidates[0].names, shapes)):
        return model
    if candidates and candidates[0].has_blocks:
        return None
    names = weight_names(shapes)
    return relative_of_swin(names, shapes) or unrelated_model(names)


def _refuse_other_model(candidates: Sequence[Candidate], shapes: Mapping[str, Shape], origin: str) -> None:
    if model := other_model(candidates, shapes):
        raise WeightMismatchError(f"{origin}: {model}; nothing was loaded")


def _fitting(
    params: Mapping[str, Array], empty: Mapping[str, Array], shapes: Mapping[str, Shape], found: Candidate
) -> int:
    """How many of the model's parameters have a tensor of their name and shape."""
    try:
        official = convert(empty, found, image_channels(params), layout_unfold.find_window_size(shapes))
    except ValueError:
        return -1
    return sum(name in official and official[name].shape == param.shape for name, param in params.items())
