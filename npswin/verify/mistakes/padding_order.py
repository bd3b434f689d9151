"""Padding to whole windows in another order with its neighbours: the norm before it and the cyclic shift after it."""

from functools import partial
from typing import Any

import numpy as np

from npswin.ops.windows import crop_padding, pad_to_windows, padded_size
from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.map_size import cropping
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    in_same_module,
    is_output_of,
    transform_input,
)


def _padding_after_shift(graph: Graph, name: str) -> Variants:
    """norm1 -> shifted -> padded -> windows, and joined -> cropped -> unshifted -> residual."""
    if not name.endswith((".attn.padded", ".attn.shifted", ".attn.cropped", ".attn.unshifted")):
        return
    parts = {
        part: in_same_module(name, part) for part in ("padded", "shifted", "windows", "joined", "cropped", "unshifted")
    }
    if not all(part in graph.nodes for part in parts.values()):
        return
    node = {part: graph.nodes[full] for part, full in parts.items()}
    if node["shifted"].inputs != (parts["padded"],):
        return
    there = (
        change_node(node["shifted"], inputs=node["padded"].inputs)
        | change_node(node["padded"], inputs=(parts["shifted"],))
        | change_node(node["windows"], inputs=(parts["padded"],))
    )
    back = change_node(node["cropped"], inputs=(parts["joined"],)) | change_node(
        node["unshifted"], inputs=(parts["cropped"],)
    )
    for user in graph.consumers[parts["cropped"]]:
        reads = tuple(parts["unshifted"] if read == parts["cropped"] else read for read in graph.nodes[user].inputs)
        back |= change_node(graph.nodes[user], inputs=reads)
    yield "there and back", there | back
    yield "on the way there", there
    yield from _rolled_outside(graph, node)


def _rolled_outside(graph: Graph, node: dict[str, Node]) -> Variants:
    """The same where the port dumps the rolled map after its padding, and the cropped one before it is rolled back."""
    pad, readers = node["padded"], graph.consumers[node["cropped"].name]
    assert pad.operation is not None
    there = change_node(pad, transform_input(pad.operation, 0, gather(_roll(-node["shifted"].settings["shift"]))))
    there |= change_node(node["shifted"], settings={"shift": 0})
    back = change_node(node["unshifted"], settings={"shift": 0})
    for reader in (graph.nodes[name] for name in readers):
        assert reader.operation is not None
        roll_back = gather(_roll(-node["unshifted"].settings["shift"]))
        index = reader.inputs.index(node["cropped"].name)
        back |= change_node(reader, transform_input(reader.operation, index, roll_back))
    yield "there and back, outside of the dumped maps", there | back


def _roll(by: int) -> Any:
    return lambda x: np.roll(x, by, (1, 2))


def _cropped_first(graph: Graph, node: Node) -> Variants:
    """joined -> cropped -> unshifted; the port may crop the map once more, which changes nothing."""
    crop = graph.nodes.get(in_same_module(node.name, "cropped"))
    if crop is None or crop.inputs != (node.name,) or node.operation is None:
        return
    cut = gather(cropping(1, crop.settings["size"]))
    yield "", change_node(node, transform_input(node.operation, 0, cut))


def _before_norm(graph: Graph, name: str) -> Variants:
    """The map is padded before the norm, so that the padding is the norm's bias: the norm of a token of zeros."""
    node = graph.nodes[name]
    if is_output_of(node, "pad") and is_output_of(norm := graph.nodes[node.inputs[0]], "layer_norm"):
        yield "", change_node(node, _PAD_WITH, inputs=(norm.name, norm.inputs[2]))
    for user in graph.consumers[name]:
        if is_output_of(node, "layer_norm") and is_output_of(graph.nodes[user], "pad"):
            assert node.operation is not None
            pad = partial(pad_to_windows, window_size=graph.nodes[user].settings["window_size"])
            yield "the norm's map is the padded one", change_node(node, transform_input(node.operation, 0, gather(pad)))


def _pad_with(x: Array, token: Array, window_size: int) -> tuple[Array, Any]:
    """Padding with a token (C,) instead of zeros."""
    height, width = x.shape[1:3]
    y = np.broadcast_to(token, (len(x), *padded_size(height, width, window_size), len(token))).copy()
    y[:, :height, :width] = x
    return y, (height, width)


def _pad_with_backward(dy: Array, size: Any) -> tuple[Array, Array]:
    height, width = size
    right, below = dy[:, :height, width:], dy[:, height:]
    return crop_padding(dy, size), right.sum(axis=(0, 1, 2)) + below.sum(axis=(0, 1, 2))


_PAD_WITH = Operation("pad", _pad_with, _pad_with_backward)


PADDING_ORDER = (
    Mistake(
        "pad-after-shift",
        "the map is padded after the shift rather than before",
        "pad, then roll, then cut; and join, roll back, then crop",
        _padding_after_shift,
    ),
    Mistake(
        "crop-before-roll-back",
        "the padding is cropped before the map is rolled back",
        "join the windows, roll back, then crop",
        at_outputs_of("cyclic_shift", _cropped_first),
    ),
    Mistake(
        "pad-before-norm",
        "the map is padded before norm1, so that the padding is the norm's bias",
        "norm1, then pad with zeros",
        _before_norm,
    ),
)
