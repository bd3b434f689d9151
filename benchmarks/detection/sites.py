"""The places in a model where each mistake makes a difference."""

import itertools
from collections.abc import Callable, Mapping

from benchmarks.detection import images, masks, sizes
from benchmarks.detection.conditions import (
    Condition,
    bias_entries_differ,
    could_be_shifted,
    direction_matters,
    has_other_shift_sizes,
    masks_differ,
    odd,
    other_window_padding_differs,
    padded_memory_differs,
    padding_differs,
    pads,
    pads_one_axis_alone,
    roll_before_padding_differs,
    scales_mask,
    several_heads,
    several_heads_and_tokens,
    several_masks,
    several_tokens,
    several_windows_both_ways,
    shifted,
    shifted_with_heads,
    wide_heads,
    wider_than_squared,
)
from benchmarks.detection.layout import Block, Layout

Sites = Callable[[Layout], list[str]]

_READS = {"attn.qkv": "attn.windows", "attn.proj": "attn.merged_heads", "mlp.fc1": "norm2", "mlp.fc2": "mlp.act"}
_DROPPED = "{block}.attn.probabilities {block}.attn.proj {block}.mlp.act {block}.mlp.fc2"
_IN_BRANCHES = (
    "{block}.norm1 {block}.attn.q {block}.attn.k {block}.attn.v {block}.attn.scores {block}.attn.context "
    "{block}.attn.proj {block}.norm2 {block}.mlp.fc1 {block}.mlp.act {block}.mlp.fc2"
)


def shortcuts(plan: Layout) -> dict[str, str]:
    """The name of each residual sum and of its shortcut."""
    pairs = [((f"{block.name}.residual", block.reads), (block.name, f"{block.name}.residual")) for block in plan.blocks]
    return dict(itertools.chain.from_iterable(pairs))


def _norms(plan: Layout) -> dict[str, str]:
    """The name of each norm and of what it normalizes."""
    norms = {"patch_embed.norm": "patch_embed.proj"} if plan.patch_norm else {}
    for step in plan.steps:
        if isinstance(step, Block):
            norms |= {f"{step.name}.norm1": step.reads, f"{step.name}.norm2": f"{step.name}.residual"}
        else:
            norms[f"{step.name}.norm"] = f"{step.name}.concat"
    return norms | {"norm": plan.last}


def _linears(plan: Layout) -> dict[str, str]:
    """The name of each linear layer and of what it reads."""
    linears: dict[str, str] = {}
    for step in plan.steps:
        reads = _READS if isinstance(step, Block) else {"reduction": "norm"}
        linears |= {f"{step.name}.{part}": f"{step.name}.{read}" for part, read in reads.items()}
    return linears | {"head": "avgpool"}


def _biased(plan: Layout) -> list[str]:
    """The linear layers with a bias."""
    without = (".reduction",) if plan.qkv_bias else (".reduction", ".qkv")
    return [name for name in _linears(plan) if not name.endswith(without)]


def _in_blocks(names: str, condition: Condition = lambda block: True) -> Sites:
    """Tensors of those blocks that meet the condition; {block}, {rolled} and {scored} are names of theirs."""

    def sites(plan: Layout) -> list[str]:
        return [
            name.format(block=block.name, rolled=block.rolled, scored=block.scored)
            for block in plan.blocks
            if condition(block)
            for name in names.split()
        ]

    return sites


def _at_masks(mistake: str) -> Sites:
    return _in_blocks("{block}.attn.mask", masks_differ(mistake))


def _at_biases(reading: str) -> Sites:
    return _in_blocks("{block}.attn.relative_position_bias", bias_entries_differ(reading))


def _in_mergings(name: str) -> Sites:
    return lambda plan: [f"{merging.name}.{name}" for merging in plan.mergings]


def _in_odd_mergings(plan: Layout) -> list[str]:
    return [f"{merging.name}.concat" for merging in plan.mergings if odd(merging)]


def _where_patches_divide(divide: bool) -> Sites:
    """The patch embedding of images of whole patches in both directions, or of others."""
    return lambda plan: ["patch_embed.proj"] * (plan.whole_patches == divide)


def _in_batches(sites: Sites) -> Sites:
    """Where there is more than one image."""
    return lambda plan: sites(plan) if plan.batch > 1 else []


def _gradients(names: Callable[[Layout], Mapping[str, str]]) -> Sites:
    """The gradients of what these read."""
    return lambda plan: [f"grad/{read}" for read in names(plan).values()]


SITES: dict[str, Sites] = {
    "bgr": lambda plan: ["input"] * (plan.image_channels > 1),
    "image-layout": lambda plan: ["input"] * (plan.image_channels > 1),
    "image-upside-down": lambda plan: ["input"],
    "normalization": lambda plan: ["input"],
    **{mistake: lambda plan: ["input"] * (plan.image_channels == 3) for mistake in images.PREPARATIONS},
    "patch-channels-last": lambda plan: ["patch_embed.proj"] * (plan.image_channels > 1 and plan.patch > 1),
    "patch-rows-columns": lambda plan: ["patch_embed.proj"] * (plan.patch > 1),
    "patch-kernel-flipped": lambda plan: ["patch_embed.proj"] * (plan.patch > 1),
    **dict.fromkeys(("patch-crop", *sizes.PATCHES), _where_patches_divide(False)),
    "patch-pad-more": _where_patches_divide(True),
    "patch-bias-missing": lambda plan: ["patch_embed.proj"],
    "norm-eps": lambda plan: list(_norms(plan)),
    "norm-unbiased": lambda plan: list(_norms(plan)),
    "norm-over-tokens": lambda plan: list(_norms(plan)),
    "norm-eps-outside": lambda plan: list(_norms(plan)),
    "norm-of-squares": lambda plan: list(_norms(plan)),
    "norm-gain-missing": lambda plan: list(_norms(plan)),
    "other-parameters": _in_blocks("{block}.norm1 {block}.norm2"),
    "norm-bias-missing": lambda plan: list(_norms(plan)),
    "pad-after-shift": _in_blocks("{block}.attn.padded", roll_before_padding_differs),
    "pad-before-norm": _in_blocks("{block}.attn.padded", pads),
    "pad-other-side": _in_blocks("{block}.attn.padded", pads),
    "pad-amount": _in_blocks("{block}.attn.padded", padding_differs("pad-amount")),
    "pad-missing": _in_blocks("{block}.attn.padded", padding_differs("pad-missing")),
    "pad-value": _in_blocks("{block}.attn.padded", pads),
    **{mistake: _in_blocks("{block}.attn.padded", other_window_padding_differs(mistake)) for mistake in sizes.WINDOWS},
    "pad-rows-alone": _in_blocks("{block}.attn.padded", pads_one_axis_alone),
    "crop-elsewhere": _in_blocks("{block}.attn.cropped", pads),
    "crop-memory": _in_blocks("{block}.attn.cropped", padded_memory_differs),
    "roll-direction": _in_blocks("{block}.attn.shifted", direction_matters),
    "roll-missing": _in_blocks("{block}.attn.shifted", shifted),
    "roll-one-axis": _in_blocks("{block}.attn.shifted", shifted),
    "roll-back-missing": _in_blocks("{block}.attn.unshifted", shifted),
    "roll-back-direction": _in_blocks("{block}.attn.unshifted", direction_matters),
    "roll-back-size": _in_blocks("{block}.attn.unshifted", has_other_shift_sizes),
    "shift-size": _in_blocks("{block}.attn.shifted", has_other_shift_sizes),
    "shift-where-none": _in_blocks("{block}.attn.windows", could_be_shifted),
    "windows-columns-first": _in_blocks("{block}.attn.windows", several_tokens),
    "cut-columns-first": _in_blocks("{block}.attn.windows", several_tokens),
    "windows-turned": _in_blocks("{block}.attn.windows", several_windows_both_ways),
    "join-columns-first": _in_blocks("{block}.attn.joined", several_tokens),
    "qkv-order": _in_blocks("{block}.attn.q {block}.attn.k"),
    "qkv-per-head": _in_blocks("{block}.attn.q", several_heads),
    "scale-missing": _in_blocks("{block}.attn.q_scaled", wide_heads),
    "scale-twice": _in_blocks("{block}.attn.q_scaled", wide_heads),
    "scale-by-width": _in_blocks("{block}.attn.q_scaled", wider_than_squared),
    "keys-scaled": _in_blocks("{block}.attn.k", wide_heads),
    "scores-transposed": _in_blocks("{block}.attn.scores", several_tokens),
    "bias-xy": _at_biases("bias-xy"),
    "bias-sign": _at_biases("bias-sign"),
    "bias-table-transposed": _at_biases("bias-table-transposed"),
    "bias-heads-positions": _at_biases("bias-heads-positions"),
    "bias-missing": _in_blocks("{block}.attn.biased_scores"),
    "bias-before-scale": _in_blocks("{block}.attn.biased_scores", wide_heads),
    "mask-missing": _in_blocks("{block}.attn.masked_scores", shifted),
    "mask-transposed": _at_masks("mask-transposed"),
    "mask-unpadded": _at_masks("mask-unpadded"),
    "mask-bands": _at_masks("mask-bands"),
    **{mistake: _at_masks(mistake) for mistake in masks.MASKS},
    "mask-multiplied": _in_blocks("{block}.attn.masked_scores", shifted),
    "mask-subtracted": _in_blocks("{block}.attn.masked_scores", shifted),
    "mask-after-softmax": _in_blocks("{block}.attn.probabilities", shifted),
    "mask-first-image": _in_batches(_in_blocks("{block}.attn.masked_scores", shifted)),
    "mask-first-head": _in_blocks("{block}.attn.masked_scores", shifted_with_heads),
    "mask-not-for-heads": _in_blocks("{block}.attn.masked_scores", shifted_with_heads),
    "mask-other-window": _in_batches(_in_blocks("{block}.attn.masked_scores", several_masks)),
    "mask-value": _in_blocks("{block}.attn.mask", shifted),
    "mask-before-scale": _in_blocks("{block}.attn.masked_scores", scales_mask),
    "mask-on-unshifted": _in_blocks("{block}.attn.probabilities", could_be_shifted),
    "softmax-over-queries": _in_blocks("{block}.attn.probabilities", several_tokens),
    "probabilities-transposed": _in_blocks("{block}.attn.context", several_tokens),
    "heads-not-merged": _in_blocks("{block}.attn.merged_heads", several_heads_and_tokens),
    "weight-transposed": lambda plan: list(_linears(plan)),
    "linear-bias-missing": _biased,
    "blocks-input": _in_blocks("{block}"),
    "residual-missing": lambda plan: list(shortcuts(plan)),
    "branch-missing": lambda plan: list(shortcuts(plan)),
    "residual-after-norm": lambda plan: list(shortcuts(plan)),
    "drop-path": lambda plan: list(shortcuts(plan)),
    "gelu-tanh": _in_blocks("{block}.mlp.act"),
    "gelu-sigmoid": _in_blocks("{block}.mlp.act"),
    "gelu-erf": _in_blocks("{block}.mlp.act"),
    "gelu-relu": _in_blocks("{block}.mlp.act"),
    "gelu-silu": _in_blocks("{block}.mlp.act"),
    **dict.fromkeys(("merge-crop", *sizes.MERGING), _in_odd_mergings),
    "merge-order": _in_mergings("concat"),
    "norm-after-reduction": _in_mergings("norm"),
    "merge-bias": _in_mergings("reduction"),
    "pool-before-norm": lambda plan: ["norm"] * (plan.final != (1, 1)),
    "pool-first": lambda plan: ["avgpool"] * (plan.final != (1, 1)),
    "pool-sum": lambda plan: ["avgpool"] * (plan.final != (1, 1)),
    "loss-sum": _in_batches(lambda plan: ["loss"]),
    "never-written": _in_blocks(_IN_BRANCHES),
    "dropout": _in_blocks(_DROPPED),
    "factor": _in_blocks(f"{_IN_BRANCHES} {{block}}"),
    "shortcut-gradient": _gradients(shortcuts),
    "softmax-sum": _in_blocks("grad/{scored}"),
    "norm-direct": _gradients(_norms),
    "norm-mean": _gradients(_norms),
    "norm-variance": _gradients(_norms),
    "gelu-density": _in_blocks("grad/{block}.mlp.fc1"),
    "bias-overwritten": _in_blocks("grad/{block}.attn.relative_position_bias_table", several_tokens),
    "bias-windows": _in_batches(_in_blocks("grad/{block}.attn.relative_position_bias")),
    "averaged-twice": _in_batches(lambda plan: ["grad/head"]),
    "shift-not-undone": _in_blocks("grad/{rolled}", shifted),
    "weight-gradient-transposed": lambda plan: [f"grad/{name}.weight" for name in _linears(plan)],
    "padding-gradient": _in_blocks("grad/{block}.norm1", padded_memory_differs),
    "scale-gradient": _in_blocks("grad/{block}.attn.q", wide_heads),
    "linear-gradient": _gradients(_linears),
    "bias-gradient-averaged": _in_batches(lambda plan: [f"grad/{name}.bias" for name in _biased(plan)]),
    "product-gradient": _in_blocks("grad/{block}.attn.k grad/{block}.attn.v", several_tokens),
    "pool-gradient": lambda plan: ["grad/norm"] * (plan.final != (1, 1)),
}
