"""The key layouts of other projects, and their conversion to the official one.

A conversion only renames tensors and moves their elements, so it is valid for gradients as well.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from npswin.checks import check_array, check_instance, check_size, check_text, shown
from npswin.files import listed
from npswin.types import Array
from npswin.weights import layout_openmmlab, layout_renames, layout_transformers, layout_unfold
from npswin.weights.layout_search import LAYOUTS, RULES, Candidate, find_candidates, without_wrappers

LONGEST_NAME = 1000  # characters; a model's names have fewer than a hundred


def detect_layout(keys: Iterable[str]) -> str:
    """The layout to which these keys belong: the one in which most of them are names of parameters.

    "official" is the official code's layout, which npswin and timm before 0.9 use as well; "timm" is timm's later one,
    where patch merging is at the start of a stage and the head is head.fc; "openmmlab" is that of mmdetection,
    mmsegmentation and mmpretrain. Whatever all keys of the model begin with does not matter, such as "module." or
    "backbone.", nor do keys of other parts.

    Args:
        keys: the names of a model's tensors, or of a part of them.

    Returns:
        One of "official", "timm", "torchvision", "transformers", "swin-transformer-pytorch" and "openmmlab".

    Raises:
        ValueError: no layout has such keys.
    """
    return find_layout(keys).layout


def find_layout(keys: Iterable[str]) -> Candidate:
    """The layout of these keys and the prefix before them; see `detect_layout`."""
    return find_layouts(keys)[0]


def find_layouts(keys: Iterable[str]) -> list[Candidate]:
    """The layouts and prefixes that keys may have, the likeliest first; see `detect_layout`."""
    if isinstance(keys, str | np.ndarray) or not isinstance(keys, Iterable):
        raise ValueError(f"keys: got {shown(keys)}, expected the names of tensors")
    keys = dict.fromkeys(_check_name("keys", key, "the names of tensors") for key in keys)
    if candidates := find_candidates(keys):
        return candidates
    found = listed(sorted(keys), at_most=3) or "no keys at all"
    raise ValueError(f"unknown key layout: found {found}; expected that of {', '.join(LAYOUTS)}")


def to_official(
    tensors: Mapping[str, Array], like: Mapping[str, Array] | None = None, in_chans: int = 3
) -> tuple[str, dict[str, Array]]:
    """The same tensors under the official names and in the official array layouts.

    What the model's names begin with, such as "module.", is removed. Names that are not in the layout, and those of
    other parts, stay unchanged. Constants that can be computed (index tables, masks) and the state of a training run
    are left out.

    Args:
        tensors: a state dict of any of the layouts, or gradients under such names.
        like: a complete state dict of the same model, where `tensors` are its gradients. Only for
            swin-transformer-pytorch: its masks give the window size, on which the kind of its bias tables depends.
        in_chans: c, the images' channels. Only for swin-transformer-pytorch: its patch embedding is a matrix (C, c·p²),
            from which c follows only if it is 1 or 3.

    Returns:
        The layout's name, and the tensors by official name.

    Raises:
        ValueError: the layout is unknown, a tensor has a wrong shape for it, or another argument does not fit.
    """
    for argument, given in {"tensors": tensors, "like": {} if like is None else like}.items():
        for name in check_instance(argument, given, Mapping, "arrays by name"):
            _check_name(argument, name, "arrays by name")
    in_chans = check_size("in_chans", in_chans)
    complete = tensors if like is None else like
    found = find_layout(complete)
    own = found if like is None else found.of(tensors)
    masks = {key: complete[key].shape for key in complete if key.rpartition(".")[2] in layout_unfold.MASKS}
    window_size = layout_unfold.find_window_size(masks)
    official = convert(tensors, own, in_chans, window_size)
    return found.layout, official | {key: check_array(f"tensors[{shown(key)}]", tensors[key]) for key in own.others}


def convert(tensors: Mapping[str, Array], found: Candidate, in_chans: int, window_size: int | None) -> dict[str, Array]:
    """The tensors of a candidate's keys by official name, in the official array layouts.

    Each is looked up once, which may read a file.

    Args:
        tensors: by key.
        found: the layout, and which keys are the model's.
        in_chans, window_size: for swin-transformer-pytorch.
    """
    weights: dict[str, Array] = {}
    keys: dict[str, str] = {}
    for key, name in found.names.items():
        if name in weights:
            raise ValueError(f"both {shown(keys[name])} and {shown(key)} are {shown(name)}")
        weights[name], keys[name] = check_array(f"tensors[{shown(key)}]", tensors[key]), key
    if found.layout == "swin-transformer-pytorch":
        return layout_unfold.convert(weights, window_size, in_chans)
    if found.layout == "transformers":
        return layout_transformers.convert(weights)
    if found.layout == "openmmlab":
        return layout_openmmlab.convert(weights)
    return layout_renames.convert(weights, found.layout)


def official_names(names: Iterable[str], layout: str, prefix: str = "") -> list[str]:
    """The official name of each parameter of a layout, in order; unchanged where the layout has no such name."""
    rules = RULES[layout]
    return [layout_renames.official_name(without_wrappers(name).removeprefix(prefix), rules) for name in names]


def _check_name(argument: str, name: object, expected: str) -> str:
    if len(text := check_text(argument, name, expected)) > LONGEST_NAME:
        got = f"got the name {shown(text)} of {len(text)} characters"
        raise ValueError(f"{argument}: {got}, expected at most {LONGEST_NAME}")
    return text
