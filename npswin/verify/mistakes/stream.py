"""The residual stream of a graph: its blocks and their halves, each of which reads it and adds to it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Changes, Variants
from npswin.verify.mistakes.not_applicable import NotApplicable

OTHER_TIME = " (the other time)"  # after the name of a node that is computed a second time


@dataclass(frozen=True)
class Part:
    """A part of the residual stream: a block, one of its halves, or several blocks in a row.

    Attributes:
        words: for messages, such as "layers.0.blocks.1".
        start: the tensor of the stream that it reads.
        end: the tensor of the stream that it computes.
        nodes: the names of all tensors that it computes, in order.
    """

    words: str
    start: str
    end: str
    nodes: tuple[str, ...]

    def readers(self, graph: Graph) -> list[str]:
        """Its nodes that read the stream."""
        return [name for name in self.nodes if self.start in graph.nodes[name].inputs]

    def later(self, graph: Graph) -> list[str]:
        """The nodes after it that read what it computes."""
        return [name for name in graph.consumers[self.end] if name not in self.nodes]


def block_of(name: str) -> str:
    """The block that a tensor belongs to, such as "layers.0.blocks.1", or ""."""
    parts = name.split(".")
    return ".".join(parts[:4]) if parts[0] == "layers" and "blocks" in parts[:4] and len(parts) > 3 else ""


def blocks(graph: Graph, stage: str) -> list[Part]:
    """The blocks of a stage, such as "layers.0", in order; none where a mistake has changed how they are joined."""
    names: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        block = block_of(name)
        if block.startswith(f"{stage}.") and node.operation is not None:
            names.setdefault(block, []).append(name)
    parts = [_part(graph, block, own) for block, own in names.items()]
    known = [part for part in parts if part is not None]
    return known if len(known) == len(parts) else []


def _part(graph: Graph, block: str, names: Sequence[str]) -> Part | None:
    """A block, if its two sums are as in Swin."""
    first, last = graph.nodes.get(f"{block}.residual"), graph.nodes.get(block)
    if first is None or last is None or first.name not in last.inputs or not first.inputs:
        return None
    return Part(block, first.inputs[0], block, tuple(names))


def halves(block: Part) -> list[Part]:
    """The attention half and the MLP half of a block."""
    middle = f"{block.end}.residual"
    mlp = [name for name in block.nodes if name.rpartition(".")[2] == "norm2" or ".mlp." in name or name == block.end]
    attention = tuple(name for name in block.nodes if name not in mlp)
    return [
        Part(f"the attention half of {block.words}", block.start, middle, attention),
        Part(f"the MLP half of {block.words}", middle, block.end, tuple(mlp)),
    ]


def in_a_row(parts: list[Part]) -> Part:
    """Neighbouring parts as one."""
    words = parts[0].words if len(parts) == 1 else f"{parts[0].words} to {parts[-1].words}"
    return Part(words, parts[0].start, parts[-1].end, tuple(name for part in parts for name in part.nodes))


def reading(graph: Graph, changes: Changes, names: Iterable[str], other: Mapping[str, str]) -> Changes:
    """The changes, with these nodes reading other tensors."""
    found = dict(changes)
    for name in names:
        node = found.get(name, graph.nodes[name])
        found[name] = replace(node, inputs=tuple(other.get(read, read) for read in node.inputs))
    return found


def copy_of(graph: Graph, part: Part, start: str) -> tuple[str, Changes]:
    """A part that is computed once more, on another tensor: the name of its result, and its nodes."""
    names = {name: f"{name}{OTHER_TIME}" for name in part.nodes}
    if any(name in graph.nodes for name in names.values()):
        raise NotApplicable(f"{part.words}: is computed twice by another mistake")
    reads = names | {part.start: start}
    nodes: dict[str, Node] = {}
    for name in part.nodes:
        node = graph.nodes[name]
        inputs = tuple(reads.get(read, read) for read in node.inputs)
        nodes[names[name]] = replace(node, name=names[name], inputs=inputs)
    return names[part.end], nodes


def first_of(name: str, changes: Changes) -> Changes:
    """The changes with a node before the others."""
    return {name: changes[name]} | changes


def in_one_or_all(graph: Graph, name: str, change: Callable[[Graph, Part], Changes]) -> Variants:
    """A change of the block that a node belongs to, and of all blocks from that one on.

    Args:
        graph: the graph.
        name: a node that the change of its block changes.
        change: (graph, block) -> the changes, of which there are none where the block is built otherwise.
    """
    parts = all_blocks(graph)
    own = next((block for block in parts if name in block.nodes), None)
    one = change(graph, own) if own is not None else {}
    if own is None or name not in one:
        return
    changed, everywhere = graph, dict[str, Node]()
    for block in parts[parts.index(own) :]:
        part = _part(changed, block.end, block.nodes)
        if part is not None:
            everywhere |= change(changed, part)
            changed = graph.replaced(everywhere)
    if everywhere.keys() != one.keys():
        yield "in every block", first_of(name, everywhere)
    yield f"in {own.words}", first_of(name, one)


def all_blocks(graph: Graph) -> list[Part]:
    """The blocks of all stages."""
    stages = dict.fromkeys(".".join(name.split(".")[:2]) for name in graph.nodes if block_of(name))
    return [block for stage in stages for block in blocks(graph, stage)]
