"""Dense models: a backbone whose names begin with `backbone.`, and other parts beside it."""

import re
from collections.abc import Iterable

from npswin.files import listed
from npswin.weights.layout_heads import head_names
from npswin.weights.layout_search import Candidate, without_wrappers
from npswin.weights.model_names import BACKBONE

# The models that names show, by what only they have, the most special first.
_KINDS = (
    (r"decode_head\.psp_modules\..+", "a UPerNet"),
    (r"roi_head\.mask_head\.\d+\.conv_logits\..+", "a Cascade Mask R-CNN"),
    (r"roi_head\.mask_head\..+", "a Mask R-CNN"),
    (r"roi_head\.bbox_head\.\d+\.fc_cls\..+", "a Cascade R-CNN"),
    (r"roi_head\.bbox_head\..+", "a Faster R-CNN"),
)


def root_of(prefix: str) -> str:
    """What the names of a whole dense model begin with, where its backbone's begin with this prefix."""
    parts = prefix.split(".")
    return prefix if "backbone" not in parts else "".join(f"{part}." for part in parts[: parts.index("backbone")])


def parts_beside(found: Candidate) -> dict[str, str]:
    """The official name of each key that is below the root of a backbone's model, and not the backbone's."""
    root = root_of(found.prefix)
    names = {key: without_wrappers(key) for key in found.others}
    names = {key: name.removeprefix(root) for key, name in names.items() if name.startswith(root)}
    official = head_names(names.values())
    return {key: official[name] for key, name in names.items()}


def another_kind(theirs: Iterable[str], own: Iterable[str]) -> str | None:
    """What model weights are of, and what the model is, in a clause; None where both are of the same kind.

    Args:
        theirs: official names of the parts in the weights beside the backbone.
        own: names of the model's parameters.
    """
    kinds = _kind(theirs), _kind(own)
    return None if kinds[0] == kinds[1] else f"these weights are of {kinds[0]}, the model is {kinds[1]}"


def _kind(names: Iterable[str]) -> str:
    names = list(names)
    for pattern, kind in _KINDS:
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    parts = dict.fromkeys(name.split(".")[0] for name in names if not name.startswith(BACKBONE))
    return f"a model with the parts {listed(parts)}" if parts else "a backbone or a classifier"
