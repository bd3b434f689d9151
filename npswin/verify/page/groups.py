"""The graph's tensors in groups: the patch embedding, the blocks and mergings of each stage, the head."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from npswin.verify.graph import Graph, Node

STEM, TAIL = "patch embedding", "head"
PART = re.compile(r"layers\.(\d+)\.(blocks\.(\d+)|downsample)(?=\.|$)")


@dataclass(frozen=True)
class Windows:
    """How a block cuts its map into windows.

    Attributes:
        size: M, the window's side.
        shift_size: rows and columns by which the map is rolled up and left before it is cut.
        padded: (Hp, Wp), the map in whole windows.
        heads: of the block's attention.
    """

    size: int
    shift_size: int
    padded: tuple[int, int]
    heads: int

    @property
    def grid(self) -> tuple[int, int]:
        """Number of windows in a column, and in a row."""
        return self.padded[0] // self.size, self.padded[1] // self.size


@dataclass
class Group:
    """The tensors of one module.

    Attributes:
        name: the module's path, such as "layers.0.blocks.1".
        title: such as "Block 1".
        stage: the number of its stage; None before the first stage and after the last.
        nodes: in order of computation, each one's parameters after it.
        windows: a block's own; for a group before a block, that block's; None after the last block.
    """

    name: str
    title: str
    stage: int | None
    nodes: list[Node] = field(default_factory=list)
    windows: Windows | None = None


def model_groups(graph: Graph) -> list[Group]:
    """All tensors of a graph in groups, in order of computation."""
    groups: dict[str, Group] = {}
    placed: set[str] = set()
    for name in graph.computed:
        group = _group(name, groups)
        node = graph.nodes[name]
        sources = [graph.nodes[read] for read in node.inputs if graph.nodes[read].operation is None]
        new = [source for source in dict.fromkeys(source.name for source in sources) if source not in placed]
        given = [graph.nodes[source] for source in new]
        group.nodes += [source for source in given if source.axes != "parameter"]
        group.nodes += [node, *(source for source in given if source.axes == "parameter")]
        placed.update(new)
    ordered = list(groups.values())
    next_windows: Windows | None = None
    for group in reversed(ordered):
        next_windows = group.windows = _windows(group) or next_windows
    return ordered


def _group(name: str, groups: dict[str, Group]) -> Group:
    part = PART.match(name)
    if part is None:
        started = any(group.stage is not None for group in groups.values())
        title = TAIL if started else STEM
        return groups.setdefault(title, Group(title, title.capitalize(), None))
    stage = int(part[1])
    title = "Patch merging" if part[3] is None else f"Block {part[3]}"
    return groups.setdefault(part[0], Group(part[0], title, stage))


def _windows(group: Group) -> Windows | None:
    settings: dict[str, Mapping[str, Any]] = {}
    for node in group.nodes:
        if node.operation is not None:
            # of two shifts the first: the second one rolls back
            settings.setdefault(node.operation.name, node.settings)
    if not {"cut_windows", "join_windows", "split_heads"} <= set(settings):
        return None
    height, width = settings["join_windows"]["size"]
    return Windows(
        settings["cut_windows"]["window_size"],
        settings.get("cyclic_shift", {"shift": 0})["shift"],
        (height, width),
        settings["split_heads"]["num_heads"],
    )
