"""The key layouts of other projects, each turned into the official one.

Every conversion only renames tensors and moves their elements, so it turns gradients as well as it turns weights.
"""

from collections.abc import Iterable, Mapping

from npswin.types import Array
from npswin.weights import layout_renames, layout_transformers, layout_unfold

OWN_STATE = "training/"  # what a checkpoint of a run holds beside the weights
WRAPPERS = ("model.", "module.")
BUFFERS = ("relative_position_index", "attn_mask")  # constants that some projects save beside their weights
LAYOUTS = ("official", "timm", "transformers", "torchvision", "swin-transformer-pytorch")


def detect_layout(keys: Iterable[str]) -> str:
    """Which project's names these are.

    "official" is the official code's layout, which npswin and timm before 0.9 use as well; "timm" is the later one,
    where patch merging stands at the start of a stage and the head is called head.fc.

    Args:
        keys: the names of a model's tensors, or of a part of them.

    Returns:
        One of LAYOUTS.

    Raises:
        ValueError: they are none of these.
    """
    keys = set(keys)
    names = _inner_names(keys).values()

    def have(*starts: str) -> bool:
        return any(name.startswith(starts) for name in names)

    if have("stage1.", "stage2.", "stage3.", "stage4.", "mlp_head."):
        return "swin-transformer-pytorch"
    if have("features."):
        return "torchvision"
    if have("swin.", "embeddings.", "encoder.layers."):
        return "transformers"
    if have("layers.", "patch_embed.", "head.", "norm.", "absolute_pos_embed"):
        stages = {int(name.split(".")[1]) for name in names if layout_renames.IN_A_STAGE.match(name)}
        merging_first = stages and have(f"layers.{max(stages)}.downsample.") and not have("layers.0.downsample.")
        return "timm" if merging_first or have("head.fc.") else "official"
    found = ", ".join(sorted(keys)[:3]) or "no keys at all"
    raise ValueError(f"unknown key layout: found {found}; expected that of {', '.join(LAYOUTS)}")


def to_official(
    tensors: Mapping[str, Array], like: Mapping[str, Array] | None = None, in_chans: int = 3
) -> tuple[str, dict[str, Array]]:
    """The same tensors under the official names and in the official array layouts.

    Names that the layout does not know are kept as they are. Constants that can be computed (index tables, masks) and
    the state of a training run are left out.

    Args:
        tensors: a state dict of any of the layouts, or gradients under such names.
        like: a complete state dict of the same model, where `tensors` are its gradients. Only swin-transformer-pytorch
            needs it: the masks in it tell the window's side, on which the meaning of its bias tables depends.
        in_chans: c, the images' channels. Only swin-transformer-pytorch needs it: its patch embedding is a matrix
            (C, c·p²), which tells c only if it is 1 or 3.

    Returns:
        The layout's name, and the tensors by official name.

    Raises:
        ValueError: the layout is unknown, or a tensor's shape does not suit it.
    """
    layout = detect_layout(tensors if like is None else like)
    inner = _weights(tensors)
    if layout == "swin-transformer-pytorch":
        window_size = layout_unfold.window_side(inner if like is None else _weights(like))
        return layout, layout_unfold.convert(inner, window_size, in_chans)
    if layout == "transformers":
        return layout, layout_transformers.convert(inner)
    return layout, layout_renames.convert(inner, layout)


def official_names(names: Iterable[str], layout: str) -> list[str]:
    """The official name of each parameter of a layout in order; the name itself where the layout does not know it."""
    rules = layout_transformers.RULES if layout == "transformers" else layout_renames.RULES.get(layout, [])
    return [layout_renames.renamed(name, rules) for name in names]


def _inner_names(keys: Iterable[str]) -> dict[str, str]:
    """Each weight's key, and the same without what a wrapper put before every key."""
    names = {key: key for key in keys if not key.startswith(OWN_STATE)}
    while wrapper := next((w for w in WRAPPERS if names and all(n.startswith(w) for n in names.values())), None):
        names = {key: name.removeprefix(wrapper) for key, name in names.items()}
    return names


def _weights(tensors: Mapping[str, Array]) -> dict[str, Array]:
    names = _inner_names(tensors)
    return {name: tensors[key] for key, name in names.items() if name.rpartition(".")[2] not in BUFFERS}
