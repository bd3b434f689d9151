"""Weights of `npswin golden --stress`: float32 computes the model well, half precision and 8-bit integers do not.

What goes wrong within an operation in half precision, whose largest number is 65504, whose smallest is 6e-8, and which
has eleven binary digits:

- a norm's variance is infinite, since a token has numbers above 256 (patch embedding, merging, blocks behind a large
  branch);
- hidden units of the MLP are infinite, though its output is not;
- scores are infinite, and their softmax is NaN;
- scores are large and nearly equal, so that their differences are rounded away before the softmax;
- hidden units are flushed to zero, though the layer behind them makes them visible.

Numbers with long tails do the same to 8-bit integers with one scale for a tensor, or for a row of a weight: the MLP's
input has a channel far above the others and one far below, and its first layer has the weights that make up for it.
"""

import numpy as np

from npswin.models import SwinTransformer
from npswin.types import Array
from npswin.verify.key.golden import randomize_weights

LARGE = 300.0  # of a map's numbers: its square is above the largest number of half precision
HIDDEN = 1e5  # of hidden units that overflow
TINY = 1e-8  # of hidden units that are flushed to zero: below half of the smallest number of half precision
VISIBLE = 2e-4  # of the MLP's output behind them, so that its weights fit into half precision
OVERFLOW = 7e4  # added to all scores: above the largest number of half precision
SHARE = 0.02  # of the attention behind them in the map, since even float32 keeps but three digits of its softmax
TIES = 2e3  # added to all scores: half precision rounds them to even numbers
TAIL = 20.0  # the largest channel of the MLP's input, compared with the others, and these compared with the smallest


def stress_weights(model: SwinTransformer, seed: int) -> None:
    """Give a model random weights with which half precision overflows, underflows and loses near-ties.

    The kinds take turns: blocks 0, 4, 8, … of the model have tiny hidden units, 1, 5, … overflow in the MLP, 2, 6, …
    in the scores, 3, 7, … have near-ties. The weights are exact in float32.

    Args:
        model: its parameters are set.
        seed: of the random numbers, as in `randomize_weights`.
    """
    randomize_weights(model, seed)
    params = model.params
    for name in ("patch_embed.proj.weight", "patch_embed.proj.bias"):
        params[name] *= LARGE
    blocks = [name for name, _ in model.trunk if ".blocks." in name]
    for number, block in enumerate(blocks):
        part = {name.removeprefix(f"{block}."): param for name, param in params.items() if name.startswith(f"{block}.")}
        heads = model.config["num_heads"][int(block.split(".")[1])]
        _long_tails(part)
        (_tiny_hidden_units, _large_hidden_units, _large_scores, _near_ties)[number % 4](part, heads)
    for param in params.values():
        param[...] = param.astype(np.float32)


def _long_tails(part: dict[str, Array]) -> None:
    for name in ("norm2.weight", "norm2.bias"):
        part[name][:1] *= TAIL
        part[name][1:2] /= TAIL
    part["mlp.fc1.weight"][:, :1] /= TAIL
    part["mlp.fc1.weight"][:, 1:2] *= TAIL


def _tiny_hidden_units(part: dict[str, Array], heads: int) -> None:
    _scale(part, "mlp.fc1", TINY)
    part["mlp.fc2.weight"] *= VISIBLE / TINY
    part["mlp.fc2.bias"] *= VISIBLE


def _large_hidden_units(part: dict[str, Array], heads: int) -> None:
    """The factor is shared by the norm and the layer, so that half precision holds the weights themselves."""
    _scale(part, "norm2", LARGE)
    part["mlp.fc1.weight"] *= HIDDEN / LARGE
    part["mlp.fc1.bias"] *= HIDDEN / TAIL
    part["mlp.fc2.weight"] *= LARGE / HIDDEN


def _large_scores(part: dict[str, Array], heads: int) -> None:
    _add_to_scores(part, heads, OVERFLOW)
    _scale(part, "attn.proj", SHARE)


def _near_ties(part: dict[str, Array], heads: int) -> None:
    _add_to_scores(part, heads, TIES)


def _add_to_scores(part: dict[str, Array], heads: int, common: float) -> None:
    """Add a number to all scores, which does not change their softmax: a channel of queries and keys is constant."""
    if "attn.qkv.bias" not in part:
        return
    inner = len(part["attn.qkv.weight"]) // 3
    width = inner // heads
    last = np.arange(width - 1, 2 * inner, width)  # of each head's queries and keys
    part["attn.qkv.weight"][last] = 0
    part["attn.qkv.bias"][last] = np.sqrt(common * np.sqrt(width))


def _scale(part: dict[str, Array], layer: str, factor: float) -> None:
    """Multiply a layer's output by a factor."""
    for name in (f"{layer}.weight", f"{layer}.bias"):
        if name in part:
            part[name] *= factor
