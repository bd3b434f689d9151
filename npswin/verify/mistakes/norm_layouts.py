"""A layer norm over other numbers: groups of channels of a map, windows, or memory that is read as another shape."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, gather, is_output_of, transform_input, transform_output
from npswin.verify.mistakes.stream import block_of

GROUPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
EPS = (1e-5, 1e-6, 1e-3)
FAR = 0.2  # of the largest number: another eps does not bring it nearer
MARGIN = 4.0  # times the tolerance
Move = Callable[[Array], Array]


class _View(NamedTuple):
    """Numbers that share a mean and a deviation.

    Attributes:
        words: for messages.
        there: (B, H, W, C) -> an array of any shape.
        back: (that array, the shape (B, H, W, C)) -> (B, H, W, C).
        axes: of the array, over which the statistics are taken.
    """

    words: str
    there: Move
    back: Callable[[Array, Sequence[int]], Array]
    axes: tuple[int, ...]


def fit_norm_layout(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Norms over other numbers that give the port's tensor.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or node.operation is None or found.ndim != 4:
        return
    if not is_output_of(node, "layer_norm") or len(node.inputs) != 3:
        return
    inputs = [run.value(read) for read in node.inputs]
    if inputs[0].shape != found.shape:
        return
    for words, operation in _operations(run.graph, name, node.operation, found.shape):
        for eps in dict.fromkeys((node.settings["eps"], *EPS)):
            distance = np.abs(operation.forward(*inputs, eps=eps)[0] - found).max()
            if distance <= MARGIN * tolerance:
                other = "" if eps == node.settings["eps"] else f", with eps = {eps:g}"
                yield Fit(f"{words}{other}", change_node(node, operation, settings={"eps": eps}), 0)
            if distance <= MARGIN * tolerance or distance > FAR * np.abs(found).max():
                break


def _operations(graph: Graph, name: str, right: Operation, shape: Sequence[int]) -> Iterator[tuple[str, Operation]]:
    for view in [*_groups(shape[-1]), *_windows(graph, name, shape), *_memory_views()]:
        yield view.words, _over(view)
    if name.endswith(".downsample.norm"):
        operation = _over(_View("", lambda x: x.reshape(*x.shape[:-1], 4, -1), _reshaped, (4,)))
        for index in (1, 2):
            operation = transform_input(operation, index, gather(lambda one: np.tile(one[: len(one) // 4], 4)))
        yield "of each of the four tokens by itself, with the first quarter of weight and bias for all", operation
    for words, moved, back in MEMORIES:
        yield f"of {words}", transform_input(right, 0, gather(moved))
        both = transform_output(transform_input(right, 0, gather(moved)), gather(_in_own_shape(back)))
        yield f"of {words}, and put back, with weight and bias in that order", both


def _in_own_shape(back: Callable[[Array, Sequence[int]], Array]) -> Move:
    return lambda y: back(y, y.shape)


def _over(view: _View) -> Operation:
    """(x - μ)/√(σ² + eps) · weight + bias, with the statistics of a view; the derivative is as in `general.norms`."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        there = view.there(x)
        centred = there - there.mean(view.axes, keepdims=True)
        rstd = 1 / np.sqrt((centred * centred).mean(view.axes, keepdims=True) + eps)
        xhat = centred * rstd
        own = view.back(xhat, x.shape)
        return own * weight + bias, (xhat, own, rstd, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, own, rstd, weight = cache
        g, channels = view.there(dy * weight), dy.shape[-1]
        means = g.mean(view.axes, keepdims=True), (g * xhat).mean(view.axes, keepdims=True)
        dx = view.back((g - means[0] - xhat * means[1]) * rstd, dy.shape)
        return dx, (dy * own).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)

    return Operation("layer_norm", forward, backward)


def _reshaped(array: Array, shape: Sequence[int]) -> Array:
    return array.reshape(shape)


def _groups(channels: int) -> Iterator[_View]:
    """Groups of channels: (B, H, W, groups, C / groups), or side by side (B, H, W, C / groups, groups)."""
    for groups in (one for one in GROUPS if channels % one == 0 and one < channels):

        def split(x: Array, groups: int = groups) -> Array:
            return x.reshape(*x.shape[:-1], groups, -1)

        def in_turn(x: Array, groups: int = groups) -> Array:
            return x.reshape(*x.shape[:-1], -1, groups)

        many = f"{groups} groups of channels"
        yield _View(f"of each image, in {many}, as a group norm", split, _reshaped, (1, 2, 4))
        yield _View(f"of all images, in {many}", split, _reshaped, (0, 1, 2, 4))
        yield _View(f"of each row of the map, in {many}", split, _reshaped, (2, 4))
        yield _View(f"of each column of the map, in {many}", split, _reshaped, (1, 4))
        yield _View(f"of each token, in {many} of which each has every {groups}th channel", in_turn, _reshaped, (3,))
        yield _View(f"of each image, in {many} of which each has every {groups}th", in_turn, _reshaped, (1, 2, 3))


def _windows(graph: Graph, name: str, shape: Sequence[int]) -> Iterator[_View]:
    """The windows of the block's attention, of the map padded with zeros."""
    windows = graph.nodes.get(f"{block_of(name)}.attn.windows")
    side = int(windows.settings.get("window_size", 0)) if windows is not None else 0
    if not side:
        return
    height, width = (-(-length // side) * side for length in shape[1:3])

    def there(x: Array) -> Array:
        padded = np.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)))
        return padded.reshape(len(x), height // side, side, width // side, side, x.shape[-1])

    def back(y: Array, shape: Sequence[int]) -> Array:
        return y.reshape(len(y), height, width, -1)[:, : shape[1], : shape[2]]

    yield _View("of each window, over its tokens and channels together", there, back, (2, 4, 5))
    yield _View("of each window, for each channel over its tokens", there, back, (2, 4))


def _channels_first(x: Array) -> Array:
    return x.transpose(0, 3, 1, 2).reshape(x.shape)


def _channels_first_back(y: Array, shape: Sequence[int]) -> Array:
    batch, height, width, channels = shape
    return y.reshape(batch, channels, height, width).transpose(0, 2, 3, 1)


def _columns_first(x: Array) -> Array:
    return x.transpose(0, 3, 2, 1).reshape(x.shape)


def _columns_first_back(y: Array, shape: Sequence[int]) -> Array:
    batch, height, width, channels = shape
    return y.reshape(batch, channels, width, height).transpose(0, 3, 2, 1)


def _as_channels_first(x: Array) -> Array:
    return _channels_first_back(x, x.shape)


def _as_channels_first_back(y: Array, shape: Sequence[int]) -> Array:
    return _channels_first(y).reshape(shape)


def _images_last(x: Array) -> Array:
    return np.moveaxis(x, 0, -1).reshape(x.shape)


def _images_last_back(y: Array, shape: Sequence[int]) -> Array:
    return np.moveaxis(y.reshape(*shape[1:], shape[0]), -1, 0)


MEMORIES: tuple[tuple[str, Move, Callable[[Array, Sequence[int]], Array]], ...] = (
    ("the memory of (B, C, H, W) read as (B, H, W, C)", _channels_first, _channels_first_back),
    ("the memory of (B, C, W, H) read as (B, H, W, C)", _columns_first, _columns_first_back),
    ("the memory of (B, H, W, C) read as (B, C, H, W)", _as_channels_first, _as_channels_first_back),
    ("the memory of (H, W, C, B) read as (B, H, W, C)", _images_last, _images_last_back),
)


def _memory_views() -> Iterator[_View]:
    for words, there, back in MEMORIES:
        yield _View(f"of {words}, and put back", there, back, (3,))
