"""The same relation between two tensors in other blocks."""

from collections.abc import Iterator

from npswin.verify.graph import Graph


def counterparts(graph: Graph, node: str, other: str) -> Iterator[tuple[str, str]]:
    """Pairs of tensors of other blocks that are related as two tensors are, in the order of the backward pass.

    Args:
        graph: which has the tensors.
        node: a tensor of a block.
        other: a tensor of the same block, or of one that is so many blocks before or behind it.
    """
    blocks = _blocks(graph)
    (own, part), (far, other_part) = _place(blocks, node), _place(blocks, other)
    if own < 0 or far < 0:
        return
    for place in reversed(range(len(blocks))):
        if place == own or not 0 <= place + far - own < len(blocks):
            continue
        pair = blocks[place] + part, blocks[place + far - own] + other_part
        if all(name in graph.nodes for name in pair):
            yield pair


def _blocks(graph: Graph) -> list[str]:
    """The paths of all blocks, in order."""
    names = (name.split(".") for name in graph.nodes)
    return list(dict.fromkeys(".".join(parts[:4]) for parts in names if parts[2:3] == ["blocks"]))


def _place(blocks: list[str], name: str) -> tuple[int, str]:
    """The block that a tensor is of, -1 for none, and the rest of its name."""
    for place, block in enumerate(blocks):
        if name == block or name.startswith(f"{block}."):
            return place, name.removeprefix(block)
    return -1, name
