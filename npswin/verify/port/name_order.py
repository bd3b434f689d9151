"""The order of computation of tensors with the key's names, where there is no key."""

import re
from collections.abc import Collection
from functools import lru_cache

from npswin.layers import SwinTransformerBlock
from npswin.models import SwinTransformer
from npswin.verify.graph import GRADIENT_PREFIX, swin_graph

_PLACE = re.compile(r"layers\.(\d{1,9})\.(?:blocks\.(\d{1,9})|downsample)(?=\.|$)")
_LAST = ("norm", "avgpool", "head", "loss")  # behind the stages; what else is outside them comes before
_BEFORE, _AFTER = -1, 10**9  # in place of the stage

Rank = tuple[int, ...]


def in_computation_order(names: Collection[str]) -> list[str]:
    """The names, those of the key first and in the order of computation, the others as they come."""
    return sorted(names, key=_rank)  # which keeps the order of equal ranks


def _rank(name: str) -> Rank:
    """Activations from the first stage and block to the last, then gradients from the last to the first.

    Within a block, tensors have the order that they have in a small model's graph.
    """
    backward, inner = name.startswith(GRADIENT_PREFIX), name.removeprefix(GRADIENT_PREFIX)
    found = _PLACE.match(inner)
    pattern = inner
    if found is not None:
        place = "layers.0.downsample" if found[2] is None else "layers.0.blocks.1"
        pattern = place + inner[found.end() :]
    index = _order_of_a_small_model().get(GRADIENT_PREFIX + pattern if backward else pattern)
    if index is None:
        return (2,)
    if found is None:
        where: Rank = (_AFTER if inner.partition(".")[0] in _LAST else _BEFORE, 0, 0)
    else:
        stage, block = int(found[1]), -1 if found[2] is None else int(found[2])
        where = (stage, int(block < 0), max(block, 0))
    return (1, *(-number for number in where), index) if backward else (0, *where, index)


@lru_cache(maxsize=1)
def _order_of_a_small_model() -> dict[str, int]:
    """The names of a model's tensors, each with its number in the order of computation.

    The model has every optional tensor: it begins with pixels, has a position embedding, and each of its blocks pads.
    """
    model = SwinTransformer(
        img_size=1, patch_size=1, in_chans=1, num_classes=1, embed_dim=1, depths=(2, 1), num_heads=(1, 1),
        window_size=2, mlp_ratio=1.0, ape=True, merge_bias=True, drop_path_rate=0.0,
    )  # fmt: skip
    for name, layer in model.trunk:
        if isinstance(layer, SwinTransformerBlock):  # the model itself neither shifts nor pads so small a map
            layer.attn.window_size, layer.attn.shift_size = 2, int(name.rpartition(".")[2]) % 2
    graph = swin_graph(model, (1, 1), ([0.5], [0.5]))
    names = [*graph.nodes, *(GRADIENT_PREFIX + name for name in graph.backward_order())]
    return {name: number for number, name in enumerate(names)}
