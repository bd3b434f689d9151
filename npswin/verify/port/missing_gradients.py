"""Gradients that a port does not have, though it has those of what follows: where its backward pass stops."""

from collections.abc import Collection

from npswin.verify.graph import GRADIENT_PREFIX, Graph
from npswin.verify.port.text import join_names

FEWEST = 4  # gradients that are missing, and that are there


def missing_gradients(graph: Graph, names_of_key: Collection[str], dumped: Collection[str]) -> str:
    """A sentence about the gradients that are missing in a dump; "" if it tells nothing about them.

    A gradient is missing if the dump has others of its kind, such as those of the same tensor in other blocks, and has
    the tensor itself or, for a parameter, another tensor of its module.

    Args:
        graph: the key's.
        names_of_key: the names of all tensors of the key.
        dumped: the names of all tensors of the dump.
    """
    order = graph.backward_order()
    names = [name for name in (*order, *graph.parameters) if GRADIENT_PREFIX + name in names_of_key]
    there = {name for name in names if GRADIENT_PREFIX + name in dumped}
    kinds = {_kind(graph, name) for name in there}
    modules = {name.rpartition(".")[0] for name in dumped if not name.startswith(GRADIENT_PREFIX)} | set(dumped)
    missing = [
        name
        for name in dict.fromkeys(names)
        if name not in there
        and _kind(graph, name) in kinds
        and (name in dumped if graph.nodes[name].axes != "parameter" else name.rpartition(".")[0] in modules)
    ]
    if min(len(missing), len(there)) < FEWEST:
        return ""
    last = next((name for name in order if _before(graph, name) & {*missing, *there} == set(missing)), None)
    if last is not None:
        users = ", ".join(user for user in graph.consumers[last] if user in there)
        where = f"between {users} and {last}" if users else f"at {last}"
        return (
            f"the gradients of {last} and of all that comes before it are missing, {len(missing)} of those that the "
            f"dump could have: the backward pass stops {where}, as where it is detached or frozen"
        )
    if any(graph.nodes[name].axes != "parameter" for name in missing):  # the dump has some of many
        return ""
    which = (
        _rule(missing, [name for name in graph.parameters if name in there])
        or f"some parameters ({join_names(missing)})"
    )
    return (
        f"the gradients of {which} are missing, {len(missing)} in all, though those of others were dumped: these are "
        "frozen, or do not lead to the loss"
    )


def _rule(missing: list[str], there: Collection[str]) -> str:
    """A part of the name that the missing parameters have, and no other one; "" if there is none."""
    common = set.intersection(*(set(name.split(".")) for name in missing))
    shared = [part for part in missing[0].split(".") if part in common]
    only = [part for part in shared if not any(part in name.split(".") for name in there)]
    return f"all parameters with {only[-1]} in their names" if only else ""


def _kind(graph: Graph, name: str) -> str:
    """What the tensors of one name in all blocks have in common."""
    parts = name.split(".")
    is_parameter = graph.nodes[name].axes == "parameter"
    return f"{'parameter' if is_parameter else 'activation'} {parts[-1]}" if not parts[-1].isdigit() else "block"


def _before(graph: Graph, name: str) -> set[str]:
    """A tensor and all from which it is computed, as far as they have gradients."""
    waiting, found = [name], {name}
    while waiting:
        for read in graph.nodes[waiting.pop()].inputs:
            if read in graph.differentiable and read not in found:
                found.add(read)
                waiting.append(read)
    return found
