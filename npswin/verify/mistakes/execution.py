"""Blocks that are left out, executed twice, in another order, or with another block's weights."""

from collections.abc import Iterator
from dataclasses import replace

from npswin.verify.fits.combinations import MEAN, SUM
from npswin.verify.graph import Graph
from npswin.verify.mistakes.combined import combine_for_all
from npswin.verify.mistakes.mistake import Changes, Mistake, Variants, change_node
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.stream import (
    Part,
    block_of,
    blocks,
    copy_of,
    first_of,
    halves,
    in_a_row,
    in_one_or_all,
    reading,
)

LONGEST = 6  # blocks in a row that may be left out or executed twice
GROUPS = {"": "norm1", ".attn": "attn.qkv", ".mlp": "mlp.fc1"}  # parts of a block, and the first of their layers


def _stage(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _rows_of_blocks(graph: Graph, stage: str) -> list[Part]:
    """One block, several in a row, and the halves of each."""
    parts = blocks(graph, stage)
    rows = [in_a_row(parts[first:last]) for first in range(len(parts)) for last in _ends(first, len(parts))]
    return rows + [half for part in parts for half in halves(part)]


def _ends(first: int, count: int) -> list[int]:
    """Where a row from a block on may end: after one block, after two, and at the end of the stage."""
    return sorted({first + 1, min(first + 2, count), count if count - first <= LONGEST else first + 1})


def _read_from(graph: Graph, name: str) -> Iterator[Part]:
    """The parts whose result a node outside of them reads."""
    for stage in {_stage(read) for read in graph.nodes[name].inputs if block_of(read)}:
        for part in _rows_of_blocks(graph, stage):
            if part.end in graph.nodes[name].inputs and name not in part.nodes:
                yield part


def _skipped(graph: Graph, name: str) -> Variants:
    for part in _read_from(graph, name):
        later = part.later(graph)
        changes = change_node(graph.nodes[name]) | {user: graph.nodes[user] for user in later}
        yield part.words, reading(graph, changes, later, {part.end: part.start})


def _twice(graph: Graph, name: str) -> Variants:
    """The dump has the tensors of the second time, those of the first time, or only the result of the second time."""
    block = block_of(name)
    for part in _rows_of_blocks(graph, _stage(block)) if block else ():
        if name in part.nodes and part.start in graph.nodes[name].inputs:
            result, nodes = copy_of(graph, part, part.start)
            yield part.words, first_of(name, reading(graph, {}, part.readers(graph), {part.start: result}) | nodes)
        if name == part.end:
            before = f"first result of {name}"
            result, nodes = copy_of(graph, part, before)
            changed = replace(nodes.pop(result), name=name)
            once = {before: replace(graph.nodes[name], name=before)}
            yield f"{part.words}; its result is that of the second time", {name: changed} | nodes | once
    for part in _read_from(graph, name):
        result, nodes = copy_of(graph, part, part.end)
        changes = reading(graph, {}, part.later(graph), {part.end: result})
        yield f"{part.words}; its tensors are those of the first time", first_of(name, changes | nodes)


def _order(graph: Graph, name: str) -> Variants:
    """Two neighbouring blocks exchanged, or all of a stage in reversed order."""
    block = block_of(name)
    parts = blocks(graph, _stage(block)) if block else []
    orders = [[*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]] for at in range(len(parts) - 1)]
    for order in [*orders, parts[::-1]] if len(parts) > 2 else orders:
        listed = ", ".join(part.words.rpartition(".")[2] for part in order)
        changes = _in_order(graph, parts, order)
        if name in changes:
            yield f"in {_stage(block)}: {listed}", first_of(name, changes)


def _mlp_first(graph: Graph, name: str) -> Variants:
    yield from in_one_or_all(graph, name, _exchanged_halves)


def _exchanged_halves(graph: Graph, block: Part) -> Changes:
    both = halves(block)
    return _in_order(graph, both, both[::-1])


def _in_order(graph: Graph, parts: list[Part], order: list[Part]) -> Changes:
    """The parts in another order."""
    changes: Changes = {}
    start = parts[0].start
    for part, place in zip(order, parts, strict=True):
        if part is not place or start != part.start:
            changes = reading(graph, changes, part.readers(graph), {part.start: start})
        start = part.end
    later = parts[-1].later(graph)
    return reading(graph, changes, later, {parts[-1].end: start}) if start != parts[-1].end else changes


def _earlier_added(graph: Graph, name: str) -> Variants:
    """What a block or a merging reads has an earlier tensor of the stage's stream in it."""
    for stage in sorted({_stage(read) for read in graph.nodes[name].inputs if block_of(read)}):
        stream = [part.start for part in blocks(graph, stage)] + [part.end for part in blocks(graph, stage)[-1:]]
        for x in stream[1:]:
            outside = x in graph.nodes[name].inputs and block_of(name) != x
            for v in stream[: stream.index(x)] if outside else ():
                for combination in (SUM, MEAN):
                    changes = combine_for_all(graph, x, v, combination, name)
                    if changes is not None:
                        yield combination.words.format(x=x, v=v), changes


def _other_weights(graph: Graph, name: str) -> Variants:
    """All weights of a block, of its attention or of its MLP are those of another block of the stage."""
    block = block_of(name)
    for group, first in GROUPS.items():
        if not block or name != f"{block}.{first}":
            continue
        for other in blocks(graph, _stage(block)):
            if other.end == block:
                continue
            own, theirs = f"{block}{group}.", f"{other.end}{group}."
            if not any(read.startswith(own) for read in graph.parameters):
                continue
            changes = _with_weights_of(graph, own, theirs)
            yield f"{own[:-1]} has those of {theirs[:-1]}", first_of(name, changes)
            exchanged = changes | _with_weights_of(graph, theirs, own)
            yield f"{' and '.join(sorted((own[:-1], theirs[:-1])))} are exchanged", first_of(name, exchanged)


def _with_weights_of(graph: Graph, own: str, theirs: str) -> Changes:
    parameters = {read: theirs + read.removeprefix(own) for read in graph.parameters if read.startswith(own)}
    if any(read not in graph.nodes for read in parameters.values()):
        raise NotApplicable(f"{own[:-1]}: has other parameters than {theirs[:-1]}")
    users = {user for read in parameters for user in graph.consumers[read]}
    return reading(graph, {}, [name for name in graph.nodes if name in users], parameters)


EXECUTION = (
    Mistake(
        "block-skipped",
        "a part of a stage is not executed",
        "each block once, in order",
        _skipped,
        shows_forward=True,
    ),
    Mistake(
        "block-twice",
        "a part of a stage is executed twice",
        "each block once, in order",
        _twice,
        shows_forward=True,
    ),
    Mistake(
        "block-order",
        "blocks are executed in another order",
        "in the order of their numbers",
        _order,
        shows_forward=True,
    ),
    Mistake(
        "earlier-added",
        "an earlier tensor of the stage is added to what the next layer reads",
        "each block reads the result of the one before",
        _earlier_added,
        shows_forward=True,
    ),
    Mistake(
        "mlp-before-attention",
        "the MLP comes before attention",
        "attention, then the MLP",
        _mlp_first,
        shows_forward=True,
    ),
    Mistake(
        "block-weights",
        "the weights of a block, or of its attention or MLP, are those of another one",
        "each block has its own weights, under its own name",
        _other_weights,
        shows_forward=True,
    ),
)
