"""The order of computation of tensors with the key's names, where there is no key."""

import re
from collections.abc import Collection
from functools import lru_cache

from npswin.layers import SwinTransformerBlock
from npswin.models import SwinTransformer
from npswin.verify.graph import GRADIENT_PREFIX, swin_graph

MOST_STAGES, MOST_BLOCKS = 16, 1000  # of a model that is built for its names
_BLOCK = re.compile(r"(?:grad/)?layers\.(\d{1,4})\.(?:blocks\.(\d{1,4})\b)?")


def in_computation_order(names: Collection[str]) -> list[str]:
    """The names, those of the key first and in the order of computation, the others as they come."""
    depths: dict[int, int] = {}
    for name in names:
        if found := _BLOCK.match(name):
            stage, block = int(found[1]), int(found[2] or 0)
            depths[stage] = max(depths.get(stage, 1), block + 1)
    stages = max(depths, default=0) + 1
    listed = tuple(depths.get(stage, 1) for stage in range(stages))
    if stages > MOST_STAGES or sum(listed) > MOST_BLOCKS:
        return list(names)
    known = _computation_order(listed)
    place = {name: number for number, name in enumerate(known)}
    return sorted(names, key=lambda name: place.get(name, len(place)))


@lru_cache(maxsize=4)
def _computation_order(depths: tuple[int, ...]) -> list[str]:
    """All names of a model of these depths: sources, activations, gradients.

    The model has every optional tensor: it begins with pixels, has a position embedding, and each of its blocks pads,
    since a map of a single token is smaller than a window.
    """
    ones = [1] * len(depths)
    model = SwinTransformer(
        img_size=1, patch_size=1, in_chans=1, num_classes=1, embed_dim=1, depths=depths, num_heads=ones, window_size=2,
        mlp_ratio=1.0, ape=True, drop_path_rate=0.0,
    )  # fmt: skip
    for name, layer in model.trunk:
        if isinstance(layer, SwinTransformerBlock):  # the model itself neither shifts nor pads so small a map
            layer.attn.window_size, layer.attn.shift_size = 2, int(name.rpartition(".")[2]) % 2
    graph = swin_graph(model, (1, 1), ([0.5], [0.5]))
    return [*graph.nodes, *(GRADIENT_PREFIX + name for name in graph.backward_order())]
