"""Where in a model each mistake makes a difference."""

import itertools
from collections.abc import Callable

import torch

from benchmarks.detection import bias, windows
from benchmarks.detection.layout import Block, Layout, Merging

Sites = Callable[[Layout], list[str]]


def other_shifts(block: Block) -> list[int]:
    return [shift for shift in range(1, block.side) if shift != block.shift]


def other_orders(merging: Merging) -> list[tuple[int, ...]]:
    """Permutations of the four neighbours that do more than to exchange those that are nothing but padding."""
    height, width = merging.height, merging.width
    filled = [True, height > 1, width > 1, height > 1 and width > 1]
    right = [number if filled[number] else -1 for number in range(4)]
    return [order for order in itertools.permutations(range(4)) if [right[number] for number in order] != right]


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


def _linears(plan: Layout) -> list[str]:
    parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    names = [
        [f"{step.name}.{part}" for part in (parts if isinstance(step, Block) else ("reduction",))]
        for step in plan.steps
    ]
    return [*itertools.chain.from_iterable(names), "head"]


def _wrong_reading(reading: str) -> Callable[[Block], bool]:
    def differs(block: Block) -> bool:
        size = block.side, block.heads
        return not torch.equal(bias.entries(*size), bias.entries(*size, reading))

    return differs


def _wrong_mask(block: Block, mistake: str) -> bool:
    shift = block.shift
    wrong = windows.WRONG_MASKS[mistake]
    return bool(shift) and not torch.equal(windows.right_mask(block, shift), wrong(block, shift))


def _turns(block: Block) -> bool:
    """Whether a roll to one side is not the same as to the other."""
    return bool(block.shift) and any(2 * block.shift % length for length in block.padded)


def _rolls_otherwise_unpadded(block: Block) -> bool:
    """Whether the map is padded, and a roll before that moves it."""
    return block.pads and bool(block.shift) and any(block.shift % length for length in (block.height, block.width))


def _in_blocks(name: str, condition: Callable[[Block], bool] = lambda block: True) -> Sites:
    """A tensor of those blocks that meet the condition; {block}, {rolled} and {scored} are names of theirs."""

    def sites(plan: Layout) -> list[str]:
        return [
            name.format(block=block.name, rolled=block.rolled, scored=block.scored)
            for block in plan.blocks
            if condition(block)
        ]

    return sites


def _masks_differ(mistake: str) -> Sites:
    return _in_blocks("{block}.attn.mask", lambda block: _wrong_mask(block, mistake))


def _biases_differ(reading: str) -> Sites:
    return _in_blocks("{block}.attn.relative_position_bias", _wrong_reading(reading))


def _in_mergings(name: str) -> Sites:
    return lambda plan: [f"{merging.name}.{name}" for merging in plan.mergings]


def _gradients(names: Callable[[Layout], dict[str, str]]) -> Sites:
    """The gradients of what these read."""
    return lambda plan: [f"grad/{read}" for read in names(plan).values()]


def _shifted(block: Block) -> bool:
    return block.shift > 0


def _could_be_shifted(block: Block) -> bool:
    return not block.shift and block.side > 1


def _several_heads(block: Block) -> bool:
    return block.heads > 1


def _wider_than_squared(block: Block) -> bool:
    """Whether a scale by all channels is neither the right one nor that of a head twice."""
    return block.channels not in (block.head_dim, block.head_dim**2)


def _wide_heads(block: Block) -> bool:
    return block.head_dim > 1


SITES: dict[str, Sites] = {
    "bgr": lambda plan: ["input"] * (plan.colours > 1),
    "normalization": lambda plan: ["input"],
    "patch-channels-last": lambda plan: ["patch_embed.proj"] * (plan.colours > 1 and plan.patch > 1),
    "patch-rows-columns": lambda plan: ["patch_embed.proj"] * (plan.patch > 1),
    "norm-eps": lambda plan: list(_norms(plan)),
    "norm-unbiased": lambda plan: list(_norms(plan)),
    "norm-over-tokens": lambda plan: list(_norms(plan)),
    "pad-after-shift": _in_blocks("{block}.attn.padded", _rolls_otherwise_unpadded),
    "pad-before-norm": _in_blocks("{block}.attn.padded", lambda block: block.pads),
    "roll-direction": _in_blocks("{block}.attn.shifted", _turns),
    "roll-back-missing": _in_blocks("{block}.attn.unshifted", _shifted),
    "roll-back-direction": _in_blocks("{block}.attn.unshifted", _turns),
    "shift-size": _in_blocks("{block}.attn.shifted", lambda block: _shifted(block) and other_shifts(block) != []),
    "shift-where-none": _in_blocks("{block}.attn.windows", _could_be_shifted),
    "qkv-per-head": _in_blocks("{block}.attn.q", _several_heads),
    "scale-missing": _in_blocks("{block}.attn.q_scaled", _wide_heads),
    "scale-twice": _in_blocks("{block}.attn.q_scaled", _wide_heads),
    "scale-by-width": _in_blocks("{block}.attn.q_scaled", _wider_than_squared),
    "bias-xy": _biases_differ("bias-xy"),
    "bias-sign": _biases_differ("bias-sign"),
    "bias-table-transposed": _biases_differ("bias-table-transposed"),
    "bias-heads-positions": _biases_differ("bias-heads-positions"),
    "bias-missing": _in_blocks("{block}.attn.biased_scores"),
    "mask-missing": _in_blocks("{block}.attn.masked_scores", _shifted),
    "mask-transposed": _masks_differ("mask-transposed"),
    "mask-unpadded": _masks_differ("mask-unpadded"),
    "mask-bands": _masks_differ("mask-bands"),
    "mask-before-scale": _in_blocks("{block}.attn.masked_scores", lambda block: _shifted(block) and _wide_heads(block)),
    "mask-on-unshifted": _in_blocks("{block}.attn.probabilities", _could_be_shifted),
    "softmax-over-queries": _in_blocks("{block}.attn.probabilities", lambda block: block.side > 1),
    "heads-not-merged": _in_blocks("{block}.attn.merged_heads", lambda block: _several_heads(block) and block.side > 1),
    "weight-transposed": _linears,
    "residual-after-norm": lambda plan: list(shortcuts(plan)),
    "drop-path": lambda plan: list(shortcuts(plan)),
    "gelu-tanh": _in_blocks("{block}.mlp.act"),
    "gelu-sigmoid": _in_blocks("{block}.mlp.act"),
    "merge-order": _in_mergings("concat"),
    "norm-after-reduction": _in_mergings("norm"),
    "merge-bias": _in_mergings("reduction"),
    "pool-before-norm": lambda plan: ["norm"] * (plan.final != (1, 1)),
    "shortcut-gradient": _gradients(shortcuts),
    "softmax-sum": _in_blocks("grad/{scored}"),
    "norm-direct": _gradients(_norms),
    "norm-mean": _gradients(_norms),
    "norm-variance": _gradients(_norms),
    "gelu-density": _in_blocks("grad/{block}.mlp.fc1"),
    "bias-overwritten": _in_blocks("grad/{block}.attn.relative_position_bias_table", lambda block: block.side > 1),
    "averaged-twice": lambda plan: ["grad/head"],
    "shift-not-undone": _in_blocks("grad/{rolled}", _shifted),
    "weight-gradient-transposed": lambda plan: [f"grad/{name}.weight" for name in _linears(plan)],
    "padding-gradient": _in_blocks(
        "grad/{block}.norm1", lambda block: block.padded[1] > block.width and block.height > 1
    ),
}
