"""The key's name of what a module of another project computes.

The key's tensors have the names of the official code's modules. Those of timm, torchvision and transformers are in
`npswin.weights`, as far as they have parameters; here are the others, and mmdetection's.
"""

import re
from collections.abc import Collection, Container, Iterator

from npswin.weights.layout_renames import Rule, official_name
from npswin.weights.layouts import official_names

# The official names of modules without parameters, which the names of weights do not give.
WITHOUT_PARAMETERS: tuple[Rule, ...] = (
    (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)", r"\1"),
    (
        r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.(?:mlp\.activation_fn|intermediate\.intermediate_act_fn)",
        r"\1.mlp.act",
    ),
    (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.attention\.(?:self\.)?dropout", r"\1.attn.probabilities"),
    (r"(?:swin\.)?pooler", "avgpool"),
    (r"(layers\.\d+\.blocks\.\d+\.attn)\.softmax", r"\1.probabilities"),
    (r"features\.(\d*[13579])\.(\d+)", lambda m: f"layers.{(int(m[1]) - 1) // 2}.blocks.{m[2]}"),
    (r"features\.(\d*[13579])\.(\d+)\.mlp\.1", lambda m: f"layers.{(int(m[1]) - 1) // 2}.blocks.{m[2]}.mlp.act"),
)

_BLOCK = r"(layers\.\d+\.blocks\.\d+)"
# Modules whose output is another tensor of the key: containers, and dropout, which does nothing in inference. The first
# of the names that the key has is the tensor's.
_SAME_TENSOR: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_BLOCK + r"\.attn(?:\.proj_drop)?", (r"\1.attn.proj",)),
    (_BLOCK + r"\.attn\.attn_drop", (r"\1.attn.probabilities",)),
    (_BLOCK + r"\.mlp\.drop1", (r"\1.mlp.act",)),
    (_BLOCK + r"\.mlp(?:\.drop2?)?", (r"\1.mlp.fc2",)),
    (_BLOCK + r"\.drop_path1", (r"\1.attn.cropped", r"\1.attn.unshifted", r"\1.attn.joined")),
    (_BLOCK + r"\.drop_path2?", (r"\1.mlp.fc2",)),
    (r"(layers\.\d+)(?:\.downsample)?", (r"\1.downsample.reduction",)),
    (r"(?:patch_embed|pos_drop)", ("patch_embed.norm", "patch_embed.proj")),
    (r"(?:head_drop|head\.drop)", ("avgpool",)),
)

# What ports call a tensor, beside other projects' names of modules.
_OTHER_NAMES: tuple[Rule, ...] = (
    (r"(?:logits?|classifier|fc|outputs?|predictions?|y)", "head"),
    (r"(?:images?|pixel_values|inputs?|x)", "input"),
    (r"(?:pool|pooled|global_pool|gap|pooled_output)", "avgpool"),
    (r"(?:embeddings|patch_embeddings|patches)", "patch_embed.norm"),
    (r"(?:patch_embed\.projection|patch_embed\.conv|embeddings\.patch_embeddings)", "patch_embed.proj"),
    (r"(?:layernorm|norm3|norm_final|final_norm)", "norm"),
    (r"stages\.(\d+)\.blocks\.(\d+)", r"layers.\1.blocks.\2"),
    (r"stages\.(\d+)\.downsample\.(norm|reduction)", r"layers.\1.downsample.\2"),
    (r"(?:layers|stages)\.(\d+)\.blocks\.(\d+)\.(norm1|norm2)", r"layers.\1.blocks.\2.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.attn\.w_msa\.(qkv|proj)", r"layers.\1.blocks.\2.attn.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.attn\.w_msa\.(?:softmax|attn_drop)", r"layers.\1.blocks.\2.attn.probabilities"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.0\.0", r"layers.\1.blocks.\2.mlp.fc1"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.0\.1", r"layers.\1.blocks.\2.mlp.act"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.ffn(?:\.layers\.1)?", r"layers.\1.blocks.\2.mlp.fc2"),
    (r"(.*blocks\.\d+\.attn)\.(?:softmax|attn|weights|attn_weights|attention_probs)", r"\1.probabilities"),
    (r"(.*blocks\.\d+\.attn)\.(?:attn_scores|attention_scores|logits|qk)", r"\1.scores"),
    (r"(.*blocks\.\d+\.mlp)\.(?:gelu|activation|activation_fn|act_fn)", r"\1.act"),
    (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.(?:output|mlp)", r"\1.mlp.fc2"),
    (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.attention(?:\.output)?", r"\1.attn.proj"),
)
_LAYOUTS = ("transformers", "torchvision", "timm")


def same_tensor(name: str, names: Collection[str]) -> str:
    """The key's name of the tensor that a container or a dropout returns, or "".

    Args:
        name: of a module, or the gradient of its output.
        names: the key's.
    """
    prefix = "grad/" if name.startswith("grad/") else ""
    for pattern, targets in _SAME_TENSOR:
        match = re.fullmatch(pattern, name.removeprefix(prefix))
        expanded = [prefix + match.expand(target) for target in targets] if match else []
        if found := next((one for one in expanded if one in names), ""):
            return found
    stage = re.fullmatch(r"layers\.\d+", name.removeprefix(prefix))  # the last one, without a merging
    blocks = [one for one in names if stage and re.fullmatch(rf"{re.escape(name)}\.blocks\.\d+", one)]
    return max(blocks, key=lambda one: int(one.rpartition(".")[2]), default="")


class KnownNames(Container[str]):
    """The names that a tensor of a dump may have: the key's, and those of modules that return one of its tensors."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._names or bool(same_tensor(name, self._names)))


def names_in_the_key(path: str) -> Iterator[str]:
    """The names that the key may have for what a module or tensor of another project is called."""
    yield path
    yield official_name(path, WITHOUT_PARAMETERS)
    yield official_name(path, _OTHER_NAMES)
    for layout in _LAYOUTS:
        yield official_names([path], layout)[0]
        yield official_names([f"{path}.weight"], layout)[0].removesuffix(".weight")
