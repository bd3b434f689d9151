"""The key layouts of other projects, and their conversion to the official one.

A conversion only renames tensors and moves their elements, so it is valid for gradients as well.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from npswin.checks import check_array, check_instance, check_size, check_text, shown
from npswin.files import listed
from npswin.types import Array
from npswin.weights import layout_renames, layout_transformers, layout_unfold

TRAINING_PREFIX = "training/"  # of the tensors in a training checkpoint that are not weights
WRAPPER_PREFIXES = ("model.", "module.")
BUFFERS = ("relative_position_index", "attn_mask")  # constants that some projects save with their weights
LONGEST_NAME = 1000  # characters; a model's names have fewer than a hundred
LAYOUTS = ("official", "timm", "transformers", "torchvision", "swin-transformer-pytorch")


def detect_layout(keys: Iterable[str]) -> str:
    """The layout to which these keys belong.

    "official" is the official code's layout, which npswin and timm before 0.9 use as well; "timm" is timm's later one,
    where patch merging is at the start of a stage and the head is head.fc.

    Args:
        keys: the names of a model's tensors, or of a part of them.

    Returns:
        One of LAYOUTS.

    Raises:
        ValueError: no layout has such keys.
    """
    if isinstance(keys, str | np.ndarray) or not isinstance(keys, Iterable):
        raise ValueError(f"keys: got {shown(keys)}, expected the names of tensors")
    keys = {_check_name("keys", key, "the names of tensors") for key in keys}
    names = _names_without_wrapper(keys).values()

    def any_starts_with(*prefixes: str) -> bool:
        return any(name.startswith(prefixes) for name in names)

    if any_starts_with("stage1.", "stage2.", "stage3.", "stage4.", "mlp_head."):
        return "swin-transformer-pytorch"
    if any_starts_with("features."):
        return "torchvision"
    if any_starts_with("swin.", "embeddings.", "encoder.layers."):
        return "transformers"
    if any_starts_with("layers.", "patch_embed.", "head.", "norm.", "absolute_pos_embed"):
        stages = {int(name.split(".")[1]) for name in names if layout_renames.STAGE_PREFIX.match(name)}
        merging_is_first = (
            stages
            and any_starts_with(f"layers.{max(stages)}.downsample.")
            and not any_starts_with("layers.0.downsample.")
        )
        return "timm" if merging_is_first or any_starts_with("head.fc.") else "official"
    found = listed(sorted(keys), at_most=3) or "no keys at all"
    raise ValueError(f"unknown key layout: found {found}; expected that of {', '.join(LAYOUTS)}")


def to_official(
    tensors: Mapping[str, Array], like: Mapping[str, Array] | None = None, in_chans: int = 3
) -> tuple[str, dict[str, Array]]:
    """The same tensors under the official names and in the official array layouts.

    Names that are not in the layout stay unchanged. Constants that can be computed (index tables, masks) and the state
    of a training run are left out.

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
    layout = detect_layout(tensors if like is None else like)
    weights = _weights("tensors", tensors)
    like_weights = weights if like is None else _weights("like", like)
    if layout == "swin-transformer-pytorch":
        window_size = layout_unfold.find_window_size(like_weights)
        return layout, layout_unfold.convert(weights, window_size, in_chans)
    if layout == "transformers":
        return layout, layout_transformers.convert(weights)
    return layout, layout_renames.convert(weights, layout)


def official_names(names: Iterable[str], layout: str) -> list[str]:
    """The official name of each parameter of a layout, in order; unchanged where the layout has no such name."""
    rules = layout_transformers.RULES if layout == "transformers" else layout_renames.RULES.get(layout, [])
    return [layout_renames.official_name(name, rules) for name in names]


def _check_name(argument: str, name: object, expected: str) -> str:
    if len(text := check_text(argument, name, expected)) > LONGEST_NAME:
        got = f"got the name {shown(text)} of {len(text)} characters"
        raise ValueError(f"{argument}: {got}, expected at most {LONGEST_NAME}")
    return text


def _names_without_wrapper(keys: Iterable[str]) -> dict[str, str]:
    """Each weight's key -> the key without wrapper prefixes, which are removed only where all keys have them."""
    names = {key: key for key in keys if not key.startswith(TRAINING_PREFIX)}
    while prefix := next((p for p in WRAPPER_PREFIXES if names and all(n.startswith(p) for n in names.values())), None):
        names = {key: name.removeprefix(prefix) for key, name in names.items()}
    return names


def weight_names(keys: Iterable[str]) -> dict[str, str]:
    """Each key that is a weight's -> the key without wrapper prefixes; constants and training state are left out."""
    names = _names_without_wrapper(keys)
    return {key: name for key, name in names.items() if name.rpartition(".")[2] not in BUFFERS}


def _weights(argument: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The weights among the tensors of an argument; each is looked up once, which may read a file."""
    names = weight_names(tensors).items()
    return {name: check_array(f"{argument}[{shown(key)}]", tensors[key]) for key, name in names}
