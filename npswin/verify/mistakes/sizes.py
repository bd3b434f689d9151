"""Mistakes in sizes that 2, or the patch's side, does not divide: in patch merging and in the patch embedding."""

from collections.abc import Iterator

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.map_size import (
    PADDINGS,
    Size,
    cropping,
    map_of_block,
    padding,
    steps_after,
    with_other_size,
)
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Rearrangement,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    is_output_of,
    transform_input,
)

MAP_ROWS, IMAGE_ROWS = 1, 2  # the axis of the rows in a map (B, H, W, C) and in images (B, c, H, W)


def _on_input(node: Node, rearrangement: Rearrangement) -> Changes:
    assert node.operation is not None
    return change_node(node, transform_input(node.operation, 0, gather(rearrangement)))


def _other_paddings(axis: int, rest: Size) -> Iterator[tuple[str, Rearrangement]]:
    """Other ways to add `rest` rows and columns than zeros at the bottom and at the right."""
    (rows, columns), half = rest, (rest[0] // 2, rest[1] // 2)
    befores = {"at the top and the left": rest, "on both sides": half}
    if rows and columns:
        befores |= {"at the top and the right": (rows, 0), "at the bottom and the left": (0, columns)}
    for words, before in befores.items():
        if before != (0, 0):
            yield f"zeros {words}", padding(axis, before, (rows - before[0], columns - before[1]))
    for words, mode in PADDINGS.items():
        yield words, padding(axis, (0, 0), rest, mode)
    for words, mode in PADDINGS.items():
        if half != (0, 0):
            yield f"{words}, on both sides", padding(axis, half, (rows - half[0], columns - half[1]), mode)


def _lost(rest: Size) -> Iterator[tuple[str, Size]]:
    """Which rows and columns are left out that are padded in the correct model, as (rows?, columns?)."""
    both = int(rest[0] > 0), int(rest[1] > 0)
    if both != (0, 0):
        yield "the last rows and columns are left out", both
    if both == (1, 1):
        yield "the last rows are left out, columns are padded", (1, 0)
        yield "the last columns are left out, rows are padded", (0, 1)


def _size_of_merging(graph: Graph, node: Node) -> Size | None:
    """(H, W) of the map that a merging reads; None if another mistake has changed what it reads."""
    block = node.inputs[0]
    return map_of_block(graph, block) if f"{block}.attn.joined" in graph.nodes else None


def _merging_crops(graph: Graph, node: Node) -> Variants:
    size = _size_of_merging(graph, node)
    if size is None:
        return
    rest = size[0] % 2, size[1] % 2
    for words, (rows, columns) in _lost(rest):
        kept = size[0] - rows, size[1] - columns
        after = -(-kept[0] // 2), -(-kept[1] // 2)
        if 0 in after:
            continue
        yield words, _on_input(node, cropping(MAP_ROWS, kept)) | with_other_size(graph, node.name, after)
    after = size[0] // 2, size[1] // 2
    if rest != (0, 0) and 0 not in after and _crops_again(graph, node, after):
        changes = _whole_pairs(node, size) | with_other_size(graph, node.name, after, _whole_pairs)
        yield "in every merging", changes


def _whole_pairs(node: Node, size: Size) -> Changes:
    rest = size[0] % 2, size[1] % 2
    return _on_input(node, cropping(MAP_ROWS, (size[0] - rest[0], size[1] - rest[1]))) if rest != (0, 0) else {}


def _crops_again(graph: Graph, node: Node, size: Size) -> bool:
    """Whether a later merging reads an odd map, if every merging crops; and whether that leaves anything."""
    again = False
    for _ in (step for step in steps_after(graph, node.name) if is_output_of(step, "patch_concat")):
        again |= size[0] % 2 + size[1] % 2 > 0
        size = size[0] // 2, size[1] // 2
        if 0 in size:
            return False
    return again


def _merging_pads(graph: Graph, node: Node) -> Variants:
    size = _size_of_merging(graph, node)
    if size is not None and (rest := (size[0] % 2, size[1] % 2)) != (0, 0):
        for words, pad in _other_paddings(MAP_ROWS, rest):
            yield words, _on_input(node, pad)


def _patches(node: Node) -> tuple[Size, int, Size]:
    """(height, width) of the images, the patch's side, and how many rows and columns of pixels are added."""
    (height, width), side = node.settings["image_size"], node.settings["patch_size"]
    return (height, width), side, (-height % side, -width % side)


def _patches_crop(graph: Graph, node: Node) -> Variants:
    size, side, rest = _patches(node)
    for words, lost in _lost(rest):
        kept = size[0] // side * side if lost[0] else size[0], size[1] // side * side if lost[1] else size[1]
        if 0 not in kept:
            after = -(-kept[0] // side), -(-kept[1] // side)
            yield words, _on_input(node, cropping(IMAGE_ROWS, kept)) | with_other_size(graph, node.name, after)


def _patches_pad(graph: Graph, node: Node) -> Variants:
    size, side, rest = _patches(node)
    if rest != (0, 0):
        for words, pad in _other_paddings(IMAGE_ROWS, rest):
            yield words, _on_input(node, pad)
    more = side * (rest[0] == 0), side * (rest[1] == 0)
    if more != (0, 0):
        after = -(-(size[0] + more[0]) // side), -(-(size[1] + more[1]) // side)
        changes = with_other_size(graph, node.name, after)
        yield "whole patches get one more", _on_input(node, padding(IMAGE_ROWS, (0, 0), more)) | changes
    steps = steps_after(graph, node.name)
    mergings = sum(is_output_of(step, "patch_concat") for step in steps)
    window = next(step.settings["window_size"] for step in steps if is_output_of(step, "join_windows"))
    for multiple in sorted({side * 2**mergings, side * window, side * window * 2**mergings} - {side}):
        height, width = (length + -length % multiple for length in size)
        if (height, width) != (size[0] + rest[0], size[1] + rest[1]):
            pad = padding(IMAGE_ROWS, (0, 0), (height - size[0], width - size[1]))
            changes = with_other_size(graph, node.name, (height // side, width // side))
            yield f"zeros to a multiple of {multiple} pixels", _on_input(node, pad) | changes


SIZES = (
    Mistake(
        "merge-crop",
        "patch merging crops an odd map instead of padding it",
        "pad an odd map with a row, a column of zeros, at the bottom and at the right: ceil(H/2) × ceil(W/2) remain",
        at_outputs_of("patch_concat", _merging_crops),
    ),
    Mistake(
        "merge-pad",
        "patch merging pads an odd map in another way",
        "pad an odd map with a row, a column of zeros, at the bottom and at the right",
        at_outputs_of("patch_concat", _merging_pads),
    ),
    Mistake(
        "patch-crop",
        "the patch embedding leaves out pixels that fill no patch",
        "pad the image with zeros at the bottom and at the right to whole patches: ceil(H/p) × ceil(W/p) remain",
        at_outputs_of("patch_embed", _patches_crop),
    ),
    Mistake(
        "patch-pad",
        "the patch embedding pads the image in another way",
        "pad the normalized image with zeros at the bottom and at the right to whole patches, and only where patches "
        "do not divide it",
        at_outputs_of("patch_embed", _patches_pad),
    ),
)
