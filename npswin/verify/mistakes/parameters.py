"""The mistake of using another module's parameters."""

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Mistake, Variants, change_node, is_output_of
from npswin.verify.mistakes.shared_bias import shared_bias


def _other_parameters(graph: Graph, name: str) -> Variants:
    """The parameters of another module of the same kind in the same stage, which have the same shapes."""
    node = graph.nodes[name]
    own = _parameters(graph, node)
    for other in graph.nodes.values() if own else ():
        theirs = _parameters(graph, other)
        if other is node or len(theirs) != len(own) or _kind(other) != _kind(node):
            continue
        if _stage(graph, own[0]) == _stage(graph, theirs[0]):
            swapped = dict(zip(own, theirs, strict=True))
            inputs = tuple(swapped.get(read, read) for read in node.inputs)
            yield f"of {theirs[0].rpartition('.')[0]}", change_node(node, inputs=inputs)
    if is_output_of(node, "position_bias"):
        yield from shared_bias(graph, node)


def _parameters(graph: Graph, node: Node) -> list[str]:
    return [
        read for read in node.inputs if graph.nodes[read].operation is None and graph.nodes[read].axes == "parameter"
    ]


def _kind(node: Node) -> tuple[str, str]:
    """The operation's name; for a linear layer also the layer's."""
    assert node.operation is not None
    operation = node.operation.name
    return operation, node.name.rpartition(".")[2] if is_output_of(node, "linear") else ""


def _stage(graph: Graph, parameter: str) -> str:
    """The stage of a parameter, such as "layers.0"; that of the first and last norm is the stage with their width."""
    stages = [name for name in graph.nodes if name.startswith("layers.") and ".blocks." in name]
    if parameter.startswith("patch_embed.norm"):
        return _stage(graph, stages[0])
    if parameter.startswith("norm."):
        return _stage(graph, stages[-1])
    return ".".join(parameter.split(".")[: 3 if ".downsample." in parameter else 2])


PARAMETERS = (
    Mistake(
        "other-parameters",
        "it uses another module's parameters",
        "each module has its own, under its own name",
        _other_parameters,
    ),
)
