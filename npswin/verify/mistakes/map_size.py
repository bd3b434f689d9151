"""Maps of another size: what follows from them in the rest of the graph."""

from collections.abc import Callable

import numpy as np

from npswin.ops.windows import crop_padding, pad_to_windows, padded_size
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Changes, Rearrangement, change_node, gather, is_output_of, transform_input

Size = tuple[int, int]
PADDINGS = {
    "the edge is repeated": "edge",
    "it is mirrored": "reflect",
    "the map begins again": "wrap",
}  # np.pad's mode


def padding(axis: int, before: Size, after: Size, mode: str = "constant") -> Rearrangement:
    """Rows and columns added to a map, or to images.

    Args:
        axis: of the rows; that of the columns follows.
        before: rows at the top and columns at the left.
        after: rows at the bottom and columns at the right.
        mode: np.pad's.
    """

    def pad(x: Array) -> Array:
        widths = [(0, 0)] * x.ndim
        widths[axis : axis + 2] = list(zip(before, after, strict=True))
        return np.pad(x, widths, mode=mode)  # type: ignore[call-overload]

    return pad


def cropping(axis: int, size: Size) -> Rearrangement:
    """The first rows and columns."""
    return lambda x: x[(slice(None),) * axis + (slice(size[0]), slice(size[1]))]


def map_of_block(graph: Graph, block: str) -> Size:
    """(H, W) of a block's map before padding."""
    crop = graph.nodes.get(f"{block}.attn.cropped")
    height, width = (crop or graph.nodes[f"{block}.attn.joined"]).settings["size"]
    return height, width


def steps_after(graph: Graph, name: str) -> list[Node]:
    """The outputs of blocks' attention, as `join_windows`, and of mergings, as `patch_concat`, after a tensor."""
    names = list(graph.nodes)
    after = (graph.nodes[each] for each in names[names.index(name) + 1 :])
    return [node for node in after if is_output_of(node, "join_windows", "patch_concat")]


def with_other_size(
    graph: Graph, name: str, size: Size, merge: Callable[[Node, Size], Changes] | None = None
) -> Changes:
    """The changes of all blocks after a tensor from which on the map has another size.

    Args:
        graph: the graph.
        name: the tensor.
        size: (H, W) of the map after it.
        merge: (a merging's node, its map's size) -> its changes, if the map is cropped there to whole pairs.
    """
    changes: Changes = {}
    for node in steps_after(graph, name):
        if is_output_of(node, "patch_concat"):
            if merge is not None:
                changes |= merge(node, size)
            size = (size[0] // 2, size[1] // 2) if merge is not None else (-(-size[0] // 2), -(-size[1] // 2))
            continue
        block = node.name.removesuffix(".attn.joined")
        if size != map_of_block(graph, block):
            changes |= _block_of_size(graph, block, size)
    return changes


def _block_of_size(graph: Graph, block: str, size: Size) -> Changes:
    """A block for a map of another size."""
    crop, side = graph.nodes.get(f"{block}.attn.cropped"), _part(graph, block, "joined").settings["window_size"]
    changes = _windows_of_size(graph, block, padded_size(*size, side), size)
    if crop is not None:
        return changes | change_node(crop, settings={"size": size})
    return changes | _padded_within(graph, block, lambda x: pad_to_windows(x, side), size)


def with_more_windows(graph: Graph, block: str) -> Changes:
    """A block whose map is whole windows, and gets one more row and column of them."""
    size, side = map_of_block(graph, block), _part(graph, block, "joined").settings["window_size"]
    more = size[0] + side, size[1] + side
    pad = padding(1, (0, 0), (side, side))
    return _windows_of_size(graph, block, more, more) | _padded_within(graph, block, pad, size)


def _windows_of_size(graph: Graph, block: str, padded: Size, masked: Size) -> Changes:
    """The windows joined to a map of another size, and the mask of such a map."""
    changes = change_node(_part(graph, block, "joined"), settings={"size": padded})
    if f"{block}.attn.mask" in graph.nodes:
        mask = _part(graph, block, "mask")
        changes |= change_node(mask, settings={"height": masked[0], "width": masked[1]})
    return changes


def _padded_within(graph: Graph, block: str, pad: Rearrangement, size: Size) -> Changes:
    """Padding in a block that has no node for it: the map is padded where it is read, and cropped where it is added."""
    first = first_of_windows(graph, block)
    residual = graph.nodes[f"{block}.residual"]
    assert first.operation is not None
    assert residual.operation is not None
    there, back = gather(pad), gather(lambda x: crop_padding(x, size))
    changes = change_node(first, transform_input(first.operation, 0, there))
    return changes | change_node(residual, transform_input(residual.operation, 1, back))


def first_of_windows(graph: Graph, block: str) -> Node:
    """The node that reads the padded map: the shift, or the cut of the windows."""
    return graph.nodes.get(f"{block}.attn.shifted") or _part(graph, block, "windows")


def _part(graph: Graph, block: str, part: str) -> Node:
    return graph.nodes[f"{block}.attn.{part}"]
