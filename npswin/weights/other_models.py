"""Weights of other models, told by a name or a shape that only they have."""

import re
from collections.abc import Iterable, Mapping

from npswin.files import shortened
from npswin.types import Array
from npswin.weights.report import Shape

_TAKE = "npswin has Swin V1, so take a file of V1"

# Models that have blocks named as Swin's: a name that only they have, what they are, and what helps.
_RELATIVES: list[tuple[str, str, str]] = [
    (
        r"(?:^|\.)(?:attn|attention)\.(?:.+\.)?(?:logit_scale|cpb_mlp\..+|continuous_position_bias_mlp\..+"
        r"|meta_mlp\..+|relative_coords_table)$",
        "Swin V2",
        f"its attention has other parameters; {_TAKE}",
    ),
    (r"(?:^|\.)layers\.\d+\.blocks\.\d+\.attn\.[qv]_bias$", "Swin V2", f"its attention has other parameters; {_TAKE}"),
    (r"(?:^|\.)(?:_?moe_layer|experts)\..+", "Swin-MoE", f"its MLPs are mixtures of experts; {_TAKE} without experts"),
    (r"(?:^|\.)layers\.\d+\.residual_group\..+", "SwinIR or Swin2SR", f"a model that restores images; {_TAKE}"),
    (r"(?:^|\.)layers\.\d+\.blocks\.\d+\.modulation\..+", "FocalNet", f"it has no attention; {_TAKE}"),
    (r"(?:^|\.)layers\.\d+\.blocks\.\d+\.(?:op|self_attention)\..*A_logs?", "VMamba", f"it has no windows; {_TAKE}"),
    (r"(?:^|\.)layers\d\.\d+\.blocks\.\d+\.", "SwinUNETR", f"a model of volumes; {_TAKE}"),
]
_VIDEO = "Video Swin, whose patches and windows have a third axis", "npswin has the Swin of images"

# Other models: names of which each has to be there.
_UNRELATED: list[tuple[tuple[str, ...], str]] = [
    ((r"(?:^|\.)layer1\.0\.conv1\.weight",), "a ResNet"),
    ((r"(?:^|\.)(?:resnet\.)?encoder\.stages\.\d+\.layers\.\d+\.layer\.0\.convolution\.weight",), "a ResNet"),
    ((r"(?:^|\.)blocks\.0\.attn\.q_bias", r"(?:^|\.)cls_token"), "BEiT, a Vision Transformer"),
    ((r"(?:^|\.)(?:cls_token|class_token|class_embedding|pos_embed)",), "a Vision Transformer (ViT, DeiT or DINO)"),
    ((r"(?:^|\.)blocks\.0\.attn\.qkv\.weight",), "a Vision Transformer (ViT, DeiT or DINO)"),
    ((r"(?:^|\.)(?:dwconv|conv_dw|dwconv\.conv|block\.0)\.weight", r"(?:^|\.)(?:gamma|layer_scale.*)"), "ConvNeXt"),
    ((r"(?:^|\.)(?:word_embeddings|embed_tokens|wte)\.weight",), "a language model"),
    ((r"(?:^|\.)lora_[AB]\..+",), "LoRA adapters, which are differences to the weights of a whole model"),
    ((r"(?:^|\.)running_mean",), "a convolutional network"),
]


def relative_of_swin(names: Iterable[str], shapes: Mapping[str, Shape]) -> str | None:
    """What a model is that has parts named as Swin's and others, in a clause; None for Swin V1.

    Args:
        names: the keys that may be Swin's.
        shapes: by key.
    """
    for key in names:
        for pattern, model, help_ in _RELATIVES:
            if re.search(pattern, key):
                return f"this is {model} (it has {shortened(key)}): {help_}"
        if key.endswith("patch_embed.proj.weight") and len(shapes[key]) == 5:
            return f"this is {_VIDEO[0]} ({shortened(key)} has shape {shapes[key]}): {_VIDEO[1]}"
    return None


def unrelated_model(names: Iterable[str]) -> str | None:
    """What a model is that has no block of Swin's, in a clause; None if that is unknown."""
    names = list(names)
    for patterns, model in _UNRELATED:
        found = [next((key for key in names if re.search(pattern, key)), None) for pattern in patterns]
        if all(found):
            return f"this is {model} (it has {shortened(str(found[0]))}), expected Swin Transformer's weights"
    return None


def architecture(params: Mapping[str, Array]) -> dict[str, object]:
    """Arguments of the model that official names and shapes show: embed_dim, patch_size, depths and num_heads."""
    params = {name.removeprefix("backbone."): param for name, param in params.items()}
    found: dict[str, object] = {}
    patch = params.get("patch_embed.proj.weight")
    if patch is not None and patch.ndim == 4:
        found |= {"embed_dim": patch.shape[0], "patch_size": patch.shape[2]}
    depths: dict[int, int] = {}
    heads: dict[int, int] = {}
    for name, param in params.items():
        if match := re.fullmatch(r"layers\.(\d{1,4})\.blocks\.(\d{1,4})\.(.+)", name):
            stage = int(match[1])
            depths[stage] = max(depths.get(stage, 0), int(match[2]) + 1)
            if match[3] == "attn.relative_position_bias_table" and param.ndim == 2:
                heads[stage] = param.shape[1]
    found |= {"depths": tuple(depths[stage] for stage in sorted(depths))}
    return found | {"num_heads": tuple(heads[stage] for stage in sorted(heads))}


def another_size(found: Mapping[str, Array], params: Mapping[str, Array]) -> str | None:
    """In which arguments the weights' model differs from this one, in a clause; None where they show no difference."""
    theirs, own = architecture(found), architecture(params)
    if not theirs["depths"]:  # a head alone, or other parts without blocks
        return None
    names = [name for name in own if name in theirs and theirs[name] != own[name]]
    if not names:
        return None
    differing = [", ".join(f"{name} {arguments[name]}" for name in names) for arguments in (theirs, own)]
    return f"these weights are of a Swin Transformer with {differing[0]}; the model has {differing[1]}"
