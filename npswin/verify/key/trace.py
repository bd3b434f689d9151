"""Every tensor of one forward and backward pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from npswin.checks import (
    check_array,
    check_array_like,
    check_callable,
    check_flag,
    check_instance,
    describe,
    dtype_name,
    shown,
)
from npswin.data.dataset import check_normalization, largest_pixel
from npswin.devices import to_host
from npswin.models import SwinTransformer
from npswin.models.checks import check_finite, check_image_shape, check_images
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Arithmetic, Graph, Run, swin_graph

Normalization = tuple[Sequence[float], Sequence[float]]
WHITE = 255
Progress = Callable[[str, int, int], None]  # name of the work, steps done, number of steps


@dataclass(frozen=True)
class Trace:
    """Every tensor of a model for a batch, and every gradient.

    Attributes:
        config: the model's arguments.
        graph: the nodes in order of computation, with `graph.nodes[name].inputs`, `.formula` and more.
        tensors: by name: "input" (and "pixels"), "labels", parameters, every activation, "loss".
        grads: the derivative of the loss by each of them, under the tensor's name; empty for a forward pass alone.
        normalization: mean and deviation of each channel, from "pixels" to "input", or None.
        tolerances: by precision and name the tolerances that comparisons with this trace have computed.
    """

    config: dict[str, Any]
    graph: Graph
    tensors: dict[str, Array]
    grads: dict[str, Array]
    normalization: Normalization | None = None
    tolerances: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        return float(self.tensors["loss"])

    @property
    def sources(self) -> dict[str, Array]:
        """Pixels or input, labels, and the parameters."""
        return {name: self.tensors[name] for name, node in self.graph.nodes.items() if node.operation is None}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor in order of computation, gradients as "grad/" + name."""
        return {name: array.shape for name, array in named(self).items()}

    def __contains__(self, name: str) -> bool:
        return name in self.tensors or name.removeprefix(GRADIENT_PREFIX) in self.grads

    def __getitem__(self, name: str) -> Array:
        """A tensor, or a gradient as "grad/" + name."""
        return (
            self.grads[name.removeprefix(GRADIENT_PREFIX)] if name.startswith(GRADIENT_PREFIX) else self.tensors[name]
        )

    def positions(self, name: str) -> None:
        """None: a trace has every number of a tensor."""


def trace(
    model: SwinTransformer,
    x: Array,
    labels: Array | Sequence[int],
    *,
    backward: bool = True,
    normalization: Normalization | None = None,
    progress: Progress = lambda *_: None,
) -> Trace:
    """Run a model forward and backward, and return every tensor and gradient.

        t = npswin.trace(model, x, labels)
        t.tensors["layers.0.blocks.1.attn.scores"]       (B, nW, heads, query, key)
        t.grads["layers.0.blocks.1.attn.scores"]         the derivative of the loss by it

    There is no dropout, as in inference. The trace is computed in the model's dtype by the functions of `npswin.ops`.
    The model's own gradients do not change.

    Args:
        model: any `SwinTransformer` with a head.
        x: (B, c, H, W) of the model's dtype; with `normalization`, pixels from 0 to 255, not those of 16 bits.
        labels: (B,) classes.
        backward: whether gradients are computed too.
        normalization: mean and deviation of each channel, on the scale where white is 1.
        progress: called with the name of the work, how many tensors are done, and how many there are.

    Returns:
        The trace.

    Raises:
        ValueError: the model has no head, or images, labels or another argument do not fit.
    """
    check_instance("model", model, SwinTransformer, "a SwinTransformer")
    if not model.num_classes:
        raise ValueError("model: got num_classes=0, expected a head, since the loss is computed from its logits")
    check_flag("backward", backward)
    check_callable("progress", progress)
    # Copies, since the trace is kept: the model may be trained further, and the images changed.
    params = {name: to_host(param).copy() for name, param in model.params.items()}
    images = to_host(check_array("x", x, f"an array of shape (B, {model.in_chans}, H, W)")).copy()
    if normalization is None:
        check_images(images, model.in_chans, params["patch_embed.proj.weight"], "x")
    else:
        normalization = _checked_normalization(normalization, model.in_chans, model.dtype)
        check_image_shape(images, model.in_chans, "x")
        if images.dtype.kind not in "iuf":
            raise ValueError(f"x: got dtype {dtype_name(images.dtype)}, expected pixels from 0 to {WHITE}")
        check_finite(images, "x")
        _check_pixels(images)
    classes = _checked_labels(labels, len(images), model.num_classes)
    height, width = images.shape[2:]
    graph = swin_graph(model, (height, width), normalization)
    start = "input" if normalization is None else "pixels"
    run = Run(graph, {**params, start: images, "labels": classes}, Arithmetic(model.dtype.name))
    tensors, grads = {}, {}
    for number, name in enumerate(graph.nodes, 1):
        tensors[name] = run.value(name)
        progress("computing activations", number, len(graph.nodes))
    order = graph.backward_order() if backward else []
    for number, name in enumerate(order, 1):
        grads[name] = run.gradient(name)
        progress("computing gradients", number, len(order))
    return Trace(dict(model.config), graph, tensors, grads, normalization)


def named(trace: Trace) -> dict[str, Array]:
    """All tensors of a trace by name, gradients as "grad/" + name."""
    return trace.tensors | {GRADIENT_PREFIX + name: gradient for name, gradient in trace.grads.items()}


def _check_pixels(images: Array) -> None:
    """Raise a ValueError for pixels of more than 8 bits; resampled ones, which are floats, may lie a little outside."""
    if largest_pixel(images.dtype) > WHITE:
        raise ValueError(
            f"x: got dtype {dtype_name(images.dtype)}, whose white is {largest_pixel(images.dtype)}, expected pixels "
            f"from 0 to {WHITE}; trace(model, npswin.data.normalize(x, mean, std, model.dtype), labels) takes 16 bits"
        )
    if images.dtype.kind in "iu" and not (images.min() >= 0 and images.max() <= WHITE):
        raise ValueError(f"x: got numbers from {images.min()} to {images.max()}, expected pixels from 0 to {WHITE}")


def _checked_normalization(normalization: Any, channels: int, dtype: Any) -> Normalization:
    if not isinstance(normalization, list | tuple) or len(normalization) != 2:
        raise ValueError(f"normalization: got {shown(normalization)}, expected mean and deviation of each channel")
    mean, deviation = normalization
    return check_normalization(("normalization[0]", "normalization[1]"), (mean, deviation), channels, dtype)


def _checked_labels(given: Any, batch: int, num_classes: int) -> Array:
    labels: Array = to_host(check_array_like("labels", given, "a class for each image")).copy()
    if labels.shape != (batch,) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: got {describe(labels)}, expected {batch} integers")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels: got {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")
    return labels
