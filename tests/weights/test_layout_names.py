"""Every name of a deep model in every layout: four stages, and block numbers of two digits as in Swin-S, B and L."""

import numpy as np
import pytest

from npswin.weights import to_official
from tests.weights.golden_files import LAYOUTS

DEPTHS = (2, 2, 22, 2)
BLOCK, MERGING = "layers.{stage}.blocks.{block}.", "layers.{stage}.downsample."


def _block_names(prefix, **others):
    """Official names of a block's tensors -> those of another layout; names that are not in `others` are the same."""
    names = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "attn.relative_position_bias_table")
    return {BLOCK + name: prefix + others.get(name.replace("attn.", "").replace("mlp.", ""), name) for name in names}


def _transformers(query, key, value, output, fc1, fc2, table):
    """Official names -> transformers'. The arguments are those that differ between hub and modules."""
    block = "swin.encoder.layers.{stage}.blocks.{block}."
    names = _block_names(block, norm1="layernorm_before", norm2="layernorm_after", proj=output, fc1=fc1, fc2=fc2)
    return names | {
        BLOCK + "attn.qkv": tuple(f"{block}attention.{name}" for name in (query, key, value)),
        BLOCK + "attn.relative_position_bias_table": f"{block}attention.{table}.relative_position_bias_table",
        "patch_embed.proj": "swin.embeddings.patch_embeddings.projection",
        "patch_embed.norm": "swin.embeddings.norm",
        MERGING + "norm": "swin.encoder.layers.{stage}.downsample.norm",
        MERGING + "reduction.weight": "swin.encoder.layers.{stage}.downsample.reduction.weight",
        "norm": "swin.layernorm",
        "head": "classifier",
    }


# Official name -> the layout's, each with a weight and a bias unless the official name is that of one tensor.
NAMES = {
    "timm_older": {
        **_block_names(BLOCK),
        "patch_embed.proj": "patch_embed.proj",
        "patch_embed.norm": "patch_embed.norm",
        MERGING + "norm": MERGING + "norm",
        MERGING + "reduction.weight": MERGING + "reduction.weight",
        "norm": "norm",
        "head": "head",
    },
    "timm": {
        **_block_names(BLOCK),
        "patch_embed.proj": "patch_embed.proj",
        "patch_embed.norm": "patch_embed.norm",
        MERGING + "norm": "layers.{next}.downsample.norm",
        MERGING + "reduction.weight": "layers.{next}.downsample.reduction.weight",
        "norm": "norm",
        "head": "head.fc",
    },
    "torchvision": {
        **_block_names("features.{odd}.{block}.", fc1="mlp.0", fc2="mlp.3"),
        "patch_embed.proj": "features.0.0",
        "patch_embed.norm": "features.0.2",
        MERGING + "norm": "features.{even}.norm",
        MERGING + "reduction.weight": "features.{even}.reduction.weight",
        "norm": "norm",
        "head": "head",
    },
    "transformers_hub": _transformers(
        *("self.query", "self.key", "self.value", "attention.output.dense"),
        *("intermediate.dense", "output.dense", "self"),
    ),
    "transformers_modules": _transformers(
        *("q_proj", "k_proj", "v_proj", "attention.o_proj"), *("mlp.fc1", "mlp.fc2", "relative_position_bias")
    ),
    "unfold_relative": {
        BLOCK + "norm1": "stage{next}.layers.{pair}.{half}.attention_block.fn.norm",
        BLOCK + "norm2": "stage{next}.layers.{pair}.{half}.mlp_block.fn.norm",
        BLOCK + "attn.qkv.weight": "stage{next}.layers.{pair}.{half}.attention_block.fn.fn.to_qkv.weight",
        BLOCK + "attn.proj": "stage{next}.layers.{pair}.{half}.attention_block.fn.fn.to_out",
        BLOCK + "attn.relative_position_bias_table": (
            "stage{next}.layers.{pair}.{half}.attention_block.fn.fn.pos_embedding"
        ),
        BLOCK + "mlp.fc1": "stage{next}.layers.{pair}.{half}.mlp_block.fn.fn.net.0",
        BLOCK + "mlp.fc2": "stage{next}.layers.{pair}.{half}.mlp_block.fn.fn.net.2",
        "patch_embed.proj": "stage1.patch_partition.linear",
        MERGING + "reduction.weight": "stage{after_next}.patch_partition.linear.weight",
        MERGING + "reduction.bias": "stage{after_next}.patch_partition.linear.bias",
        "norm": "mlp_head.0",
        "head": "mlp_head.1",
    },
    "openmmlab": {
        **_block_names(
            "backbone.stages.{stage}.blocks.{block}.",
            qkv="attn.w_msa.qkv",
            proj="attn.w_msa.proj",
            relative_position_bias_table="attn.w_msa.relative_position_bias_table",
            fc1="ffn.layers.0.0",
            fc2="ffn.layers.1",
        ),
        "patch_embed.proj": "backbone.patch_embed.projection",
        "patch_embed.norm": "backbone.patch_embed.norm",
        MERGING + "norm": "backbone.stages.{stage}.downsample.norm",
        MERGING + "reduction.weight": "backbone.stages.{stage}.downsample.reduction.weight",
        "norm": "backbone.norm3",
        "head": "head.fc",
    },
}


def _format_values(name):
    """The values for the braces of a name, for each stage and block."""
    stages = len(DEPTHS) if "{block}" in name else len(DEPTHS) - 1 if "{stage}" in name else 1
    for stage in range(stages):
        for block in range(DEPTHS[stage] if "{block}" in name else 1):
            counts = {"odd": 2 * stage + 1, "even": 2 * stage + 2, "next": stage + 1, "after_next": stage + 2}
            yield {"stage": stage, "block": block, "pair": block // 2, "half": block % 2, **counts}


def _shape(name):
    """A small shape, valid where the conversion of patch merging or of tables checks it."""
    if name.endswith("pos_embedding"):
        return (3, 3)
    if ".stages." in name and ".downsample." in name:
        return (2, 8) if name.endswith("reduction.weight") else (8,)
    return (2, 12) if name.endswith("patch_partition.linear.weight") else (2,)


def _deep(names):
    """A state dict in a layout, where each tensor has its own constant, and official name -> its tensors' constants."""
    state, numbers = {}, {}
    for official, theirs in names.items():
        whole = official.endswith((".weight", ".bias", "_table"))
        for values in _format_values(official):
            for suffix in ("",) if whole else (".weight", ".bias"):
                numbers[official.format(**values) + suffix] = []
                for one in theirs if isinstance(theirs, tuple) else (theirs,):
                    name = one.format(**values) + suffix
                    assert name not in state
                    numbers[official.format(**values) + suffix].append(len(state))
                    state[name] = np.full(_shape(name), len(state))
    return state, numbers


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_deep_model(name):
    state, numbers = _deep(NAMES[name])
    layout, official = to_official(state)
    assert layout == LAYOUTS[name]
    assert official.keys() == numbers.keys()
    for key, tensor in official.items():
        parts = np.split(tensor, len(numbers[key]))
        assert [np.unique(part).tolist() for part in parts] == [[number] for number in numbers[key]], key


def test_blocks_of_the_largest_numbers_by_name():
    """A few pairs written out in full."""
    for theirs, ours in (
        ("swin.encoder.layers.2.blocks.17.output.dense.bias", "layers.2.blocks.17.mlp.fc2.bias"),
        ("features.5.17.mlp.3.bias", "layers.2.blocks.17.mlp.fc2.bias"),
        ("features.6.norm.bias", "layers.2.downsample.norm.bias"),
        ("stage3.layers.8.1.mlp_block.fn.fn.net.2.bias", "layers.2.blocks.17.mlp.fc2.bias"),
        ("stage4.patch_partition.linear.bias", "layers.2.downsample.reduction.bias"),
    ):
        assert list(to_official({theirs: np.ones(2)})[1]) == [ours]
