"""Right calls of ops, and which values are right for their arguments: the ops' docstrings once more, by hand.

`KINDS` says which values are right for an argument by itself, `SHAPES` whether those of a call fit together. Arrays of
a call have one precision. An op looks at the dtype and the shape of an array, not at its entries, so NaN is as good as
any number there.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npswin import ops
from npswin.backends import dispatch
from npswin.ops.window_attention import AttentionSpec
from tests.backends.op_arguments import ARGUMENTS, I, P
from tests.tools.misuse_examples import Example
from tests.tools.misuse_surface import OPS, Entry, entry_of
from tests.tools.misuse_values import (
    FLAG,
    GENERATOR,
    NOT_NEGATIVE,
    NOTHING,
    POSITIVE,
    RATE,
    Kind,
    array,
    instance,
    integer,
    listed,
    number,
    numbers,
    optional,
)

DISPATCH = "npswin.backends.dispatch"
PRECISIONS = {"float32": 32, "float64": 64, "complex64": 32, "complex128": 64}
LARGEST_SIDE = 65536


def _numbers(check: Callable[[np.ndarray], bool]) -> Kind:
    """An array of a precision, in the machine's byte order."""
    return array("fc", lambda a: a.dtype.isnative and a.dtype.name in PRECISIONS and check(a))


def _any_numbers(check: Callable[[np.ndarray], bool]) -> Kind:
    """An array of any numbers, for ops that only move them."""
    return array("biufc", lambda a: a.dtype.isnative and check(a))


def _axes(count: int, may_be_empty: int = 0) -> Callable[[np.ndarray], bool]:
    """So many axes, of which so many, the first ones, may be empty."""
    return lambda a: a.ndim == count and 0 not in a.shape[may_be_empty:]


def _last_axes(count: int) -> Callable[[np.ndarray], bool]:
    """Any axes, which may be empty, and after them so many that are not."""
    return lambda a: a.ndim >= count and 0 not in a.shape[a.ndim - count :]


def _pair() -> Kind:
    side = integer(1, LARGEST_SIDE)
    return Kind(
        lambda value: isinstance(value, list | tuple) and len(value) == 2 and all(map(side.accepts, value)),
        lambda value: tuple(int(one) for one in value),
    )


def _mask_dtype() -> Kind:
    """A dtype, its name or its type."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, str | type | np.dtype):
            return False
        try:
            dtype = np.dtype(value)
        except (TypeError, ValueError):
            return False
        return dtype.isnative and dtype.name in (*PRECISIONS, "float16")

    return Kind(accepts, lambda value: np.dtype(value).name)


ANY, ROWS, BATCH = _numbers(_last_axes(0)), _numbers(_last_axes(1)), _numbers(_axes(4, 1))
VECTOR, MATRIX, BLOCK, MAP = (_numbers(_axes(count)) for count in (1, 2, 3, 4))
REAL = array("f", lambda a: a.dtype.isnative and a.dtype.name in PRECISIONS)
UPDATED = array("f", lambda a: REAL.accepts(a) and a.flags.writeable)
ANY_NUMBER = number(finite=False)
LISTS = (list, tuple, range)

_NORM = dict.fromkeys(("norm_weight", "norm_bias"), VECTOR)
_ATTENTION = {
    "qkv_weight": MATRIX,
    "qkv_bias": optional(VECTOR),
    "proj_weight": MATRIX,
    "proj_bias": optional(VECTOR),
    "bias_table": optional(MATRIX),
    "spec": instance(AttentionSpec),
    "attn_drop_mask": optional(MAP),
    "proj_drop_mask": optional(BLOCK),
}
_SCORES = {"qkv": BLOCK, "bias": optional(BLOCK), "mask": optional(BLOCK), "num_heads": integer(1)}
_MLP = {
    "x": ROWS,
    "fc1_weight": MATRIX,
    "fc1_bias": optional(VECTOR),
    "fc2_weight": MATRIX,
    "fc2_bias": optional(VECTOR),
    "hidden_drop_mask": optional(ROWS),
    "output_drop_mask": optional(ROWS),
}
_STATISTICS = {"mean": VECTOR, "variance": VECTOR, "eps": NOT_NEGATIVE}
_WINDOWS = {"window_size": integer(1, LARGEST_SIDE), "shift_size": integer(0)}
_ADAMW = {"lr": NOT_NEGATIVE, "beta1": RATE, "beta2": RATE, "eps": NOT_NEGATIVE, "step": integer(1, 2**53)}
_SGD = {"lr": NOT_NEGATIVE, "momentum": RATE}
_OF_EACH = {"weight_decays": listed(NOT_NEGATIVE, LISTS), "grad_scale": ANY_NUMBER}
_LABELS = array("iu", lambda a: a.dtype.isnative)
_LOSS = {"weights": optional(ANY), "divisor": optional(POSITIVE)}
_BOXES = _numbers(lambda a: a.ndim == 2 and a.shape[1] == 4)
_ANY_VECTOR = _numbers(lambda a: a.ndim == 1)
_DEVIATIONS = numbers(4, lambda value: value > 0)
_DECAY = number(lambda value: 0 <= value <= 1)
_PATH_SCALE = optional(_numbers(_axes(1, 1)))


def _updates(*names: str, read: tuple[str, ...]) -> dict[str, Kind]:
    return {**dict.fromkeys(names, UPDATED), **dict.fromkeys(read, REAL)}


def _each(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The same for lists, whose names are plurals."""
    plurals = {"velocity": "velocities"}
    return {plurals.get(name, f"{name}s"): listed(kind, LISTS) for name, kind in kinds.items()}


_OF_ADAMW = _updates("param", "m", "v", read=("grad",))
_OF_SGD = _updates("param", "velocity", read=("grad",))
_OF_EMA = _updates("average", read=("param",))

KINDS: dict[str, dict[str, Kind]] = {
    "adamw_update": {**_OF_ADAMW, **_ADAMW, "weight_decay": NOT_NEGATIVE},
    "adamw_update_all": {**_each(_OF_ADAMW), **_ADAMW, **_OF_EACH},
    "adaptive_avg_pool2d": {"x": BATCH, "size": _pair()},
    "attention": {**_SCORES, "drop_mask": optional(MAP)},
    "attention_branch": {"x": MAP, **_NORM, **_ATTENTION, "path_scale": optional(VECTOR)},
    "attention_probabilities": _SCORES,
    "conv2d": {
        "x": BATCH,
        "weight": MAP,
        "bias": optional(VECTOR),
        "stride": integer(1, LARGEST_SIDE),
        "padding": integer(0, LARGEST_SIDE),
    },
    "conv_transpose2d": {"x": BATCH, "weight": MAP, "bias": optional(VECTOR)},
    "batch_norm": {"x": ROWS, **_STATISTICS, "weight": VECTOR, "bias": VECTOR, "constant": FLAG},
    "batch_norm_backward_input": {
        **dict.fromkeys(("dy", "x"), ROWS),
        **dict.fromkeys(("weight", "dy_mean", "dy_xhat_mean"), VECTOR),
        **_STATISTICS,
    },
    "batch_norm_backward_sums": {"dy": ROWS, "x": ROWS, **_STATISTICS},
    "batch_norm_moments": {"x": ROWS},
    "box_iou": {"a": _BOXES, "b": _BOXES},
    "cross_entropy": {"logits": MATRIX, "targets": MATRIX},
    "decode_boxes": {"deltas": _BOXES, "boxes": _BOXES, "deviations": _DEVIATIONS},
    "draw_mask": {
        "rng": GENERATOR,
        "shape": listed(integer(0, 2**31 - 1), (list, tuple)),
        "rate": RATE,
        "dtype": _mask_dtype(),
    },
    "dropout": {"x": ROWS, "mask": optional(ROWS)},
    "ema_update": {**_OF_EMA, "decay": _DECAY},
    "ema_update_all": {**_each(_OF_EMA), "decay": _DECAY},
    "encode_boxes": {"boxes": _BOXES, "targets": _BOXES, "deviations": _DEVIATIONS},
    "gelu": {"x": ROWS},
    "giou_loss": {"boxes": _BOXES, "targets": _BOXES, **_LOSS},
    "global_norm": {"grads": listed(ANY, LISTS)},
    "l1_loss": {"x": ANY, "targets": ANY, **_LOSS},
    "layer_norm": {"x": ROWS, "weight": VECTOR, "bias": VECTOR, "eps": NOT_NEGATIVE},
    "linear": {"x": ROWS, "weight": MATRIX, "bias": optional(VECTOR)},
    "max_pool2d": {
        "x": BATCH,
        **dict.fromkeys(("kernel_size", "stride"), integer(1, LARGEST_SIDE)),
        "padding": integer(0, LARGEST_SIDE),
    },
    "mean_pool": {"x": BATCH},
    "mlp": _MLP,
    "mlp_branch": {**_MLP, **_NORM, "path_scale": _PATH_SCALE},
    "nms": {
        "boxes": _BOXES,
        "scores": _numbers(lambda a: a.ndim == 1 and not np.isnan(a).any()),
        "iou_threshold": number(lambda value: 0 <= value <= 1),
        "groups": optional(_LABELS),
    },
    "paste_masks": {
        "masks": _numbers(_axes(3, 1)),
        "boxes": _BOXES,
        "size": _pair(),
        "threshold": number(lambda value: 0 < value <= 1),
    },
    "patch_concat": {"x": _any_numbers(_axes(4, 1))},
    "patch_embed": {"images": MAP, "weight": MAP, "bias": optional(VECTOR)},
    "patch_merging": {
        "x": BATCH,
        **dict.fromkeys(("norm_weight", "norm_bias", "reduction_bias"), optional(VECTOR)),
        "reduction_weight": MATRIX,
    },
    "pixel_cross_entropy": {"logits": ROWS, "labels": _LABELS, "ignore_index": integer(0, 2**31 - 1), **_LOSS},
    "position_bias": {"table": MATRIX, "window_size": integer(1, LARGEST_SIDE)},
    "position_embed": {"x": BATCH, "table": BLOCK, "grid": _pair()},
    "relu": {"x": ROWS},
    "residual": {
        **dict.fromkeys(("shortcut", "branch"), _numbers(lambda a: a.ndim >= 1)),
        "path_scale": _PATH_SCALE,
    },
    "resized_cross_entropy": {"logits": BATCH, "labels": _LABELS, "ignore_index": integer(0, 2**31 - 1)},
    "resized_conv2d": {"x": BATCH, "weight": MAP, "size": _pair()},
    "resize_bicubic": {"x": _numbers(_last_axes(3)), "size": _pair()},
    "resize_bilinear": {"x": _numbers(_last_axes(3)), "size": _pair()},
    "resize_nearest": {"x": _numbers(_last_axes(3)), "size": _pair()},
    "roi_align": {
        "x": BATCH,
        "rois": _numbers(lambda a: a.ndim == 2 and a.shape[1] == 5),
        "output_size": _pair(),
        "spatial_scale": POSITIVE,
        "sampling_ratio": integer(0, LARGEST_SIDE),
    },
    "sgd_update": {**_OF_SGD, **_SGD, "weight_decay": NOT_NEGATIVE},
    "sgd_update_all": {**_each(_OF_SGD), **_SGD, **_OF_EACH},
    "sigmoid_cross_entropy": {"logits": ANY, "targets": ANY, **_LOSS},
    "smooth_l1_loss": {"x": ANY, "targets": ANY, **_LOSS, "beta": POSITIVE},
    "softmax": {"x": ROWS},
    "window_attention": {"x": MAP, **_ATTENTION},
    "window_partition": {"x": _any_numbers(_axes(4, 1)), **_WINDOWS},
    "window_reverse": {"windows": _any_numbers(_axes(3, 1)), "size": _pair(), **_WINDOWS},
}


def _are(*expected: tuple[Any, tuple[int, ...]]) -> bool:
    """Whether arrays have these shapes, where they are not None."""
    return all(value is None or value.shape == shape for value, shape in expected)


def _rest(first: np.ndarray, *others: np.ndarray) -> bool:
    return all(other.shape == first.shape for other in others)


def _each_alike(first: Any, *others: Any) -> bool:
    """Lists of one length, and arrays of one shape and precision at each place."""
    if any(len(other) != len(first) for other in others):
        return False
    arrays = [[one for one in row if isinstance(one, np.ndarray)] for row in zip(first, *others, strict=True)]
    return all(_rest(*row) and _one_precision(row) for row in arrays)


def _one_precision(arrays: Any) -> bool:
    return len({PRECISIONS[one.dtype.name] for one in arrays}) <= 1


def _count_windows(height: int, width: int, side: int) -> int:
    return -(-height // side) * -(-width // side)


def _is_table(table: Any, window_size: int, heads: tuple[int, ...]) -> bool:
    tokens, places = window_size**2, (2 * window_size - 1) ** 2
    return table is None or table.shape in [(tokens, tokens), *((places, columns) for columns in heads)]


def _fits_attention(
    x, qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table, spec, attn_drop_mask, proj_drop_mask
) -> bool:
    batch, height, width, channels = x.shape
    heads, side = spec.num_heads, spec.window_size
    inner, windows = proj_weight.shape[1], batch * _count_windows(height, width, side)
    masks = (attn_drop_mask, (windows, heads, side**2, side**2)), (proj_drop_mask, (windows, side**2, channels))
    weights = (qkv_weight, (3 * inner, channels)), (proj_weight, (channels, inner))
    biases = (qkv_bias, (3 * inner,)), (proj_bias, (channels,))
    return inner % heads == 0 and _are(*weights, *biases, *masks) and _is_table(bias_table, side, (1, heads))


def _fits_scores(qkv, bias, mask, num_heads, drop_mask=None) -> bool:
    windows, tokens, columns = qkv.shape
    square = tokens, tokens
    return (
        columns % (3 * num_heads) == 0
        and (bias is None or bias.shape in ((1, *square), (num_heads, *square)))
        and (mask is None or (mask.shape[1:] == square and windows % len(mask) == 0))
        and _are((drop_mask, (windows, num_heads, *square)))
    )


def _fits_mlp(x, fc1_weight, fc1_bias, fc2_weight, fc2_bias, hidden_drop_mask, output_drop_mask) -> bool:
    channels, hidden = x.shape[-1], len(fc1_weight)
    weights = (fc1_weight, (hidden, channels)), (fc2_weight, (channels, hidden))
    biases = (fc1_bias, (hidden,)), (fc2_bias, (channels,))
    return _are(*weights, *biases, (hidden_drop_mask, (*x.shape[:-1], hidden)), (output_drop_mask, x.shape))


def _fits_branch(fits: Callable[..., bool]) -> Callable[..., bool]:
    def fits_branch(x, norm_weight, norm_bias, path_scale, **others) -> bool:
        channels = x.shape[-1:]
        norm = (norm_weight, channels), (norm_bias, channels)
        return x.ndim >= 2 and _are(*norm, (path_scale, x.shape[:1])) and fits(x=x, **others)

    return fits_branch


def _fits_patches(images, weight, bias) -> bool:
    outputs, channels, height, width = weight.shape
    return channels == images.shape[1] and height == width and _are((bias, (outputs,)))


def _fits_conv2d(x, weight, bias, padding, **_) -> bool:
    outputs, channels, *kernel = weight.shape
    fitting = all(k % 2 == 1 and k <= side + 2 * padding for k, side in zip(kernel, x.shape[1:3], strict=True))
    return fitting and channels == x.shape[-1] and _are((bias, (outputs,)))


def _fits_resized_conv2d(x, weight, size) -> bool:
    _, channels, height, width = weight.shape
    return channels == x.shape[-1] and height == width and height % 2 == 1


def _fits_conv_transpose2d(x, weight, bias) -> bool:
    channels, outputs, height, width = weight.shape
    return channels == x.shape[-1] and height == width and _are((bias, (outputs,)))


def _fits_merging(x, norm_weight, norm_bias, reduction_weight, reduction_bias) -> bool:
    merged, outputs = 4 * x.shape[-1], len(reduction_weight)
    norm = (norm_weight, (merged,)), (norm_bias, (merged,))
    both_or_none = (norm_weight is None) == (norm_bias is None)
    return both_or_none and _are(*norm, (reduction_weight, (outputs, merged)), (reduction_bias, (outputs,)))


def _fits_reverse(windows, size, window_size, shift_size) -> bool:
    count = _count_windows(*size, window_size)
    return windows.shape[1] == window_size**2 and len(windows) % count == 0 and shift_size < window_size


def _fits_channels(x, **vectors) -> bool:
    return _are(*((vector, x.shape[-1:]) for vector in vectors.values()))


def _fits_max_pool(x, kernel_size, stride, padding) -> bool:
    return 2 * padding <= kernel_size <= min(x.shape[1:3]) + 2 * padding


def _fits_loss(weights, divisor, beta=1.0, **named) -> bool:
    x, targets = named.values()
    rows = x.shape[:-1] if "boxes" in named else x.shape
    return targets.shape == x.shape and _are((weights, rows)) and _holds(x, divisor, beta)


def _holds(x, *values) -> bool:
    """Whether numbers by which arrays are divided are numbers in their precision."""
    with np.errstate(all="ignore"):
        rounded = [np.dtype(f"float{PRECISIONS[x.dtype.name]}").type(value) for value in values if value is not None]
    return all(np.isfinite(value) and value for value in rounded)


def _fits_labels(logits, labels, weights, ignore_index, divisor) -> bool:
    known = (labels == ignore_index) | ((labels >= 0) & (labels < logits.shape[-1]))
    return (
        labels.shape == logits.shape[:-1] and known.all() and _are((weights, labels.shape)) and _holds(logits, divisor)
    )


def _fits_resized_labels(logits, labels, ignore_index) -> bool:
    known = (labels == ignore_index) | ((labels >= 0) & (labels < logits.shape[-1]))
    return labels.ndim == 3 and len(labels) == len(logits) and 0 not in labels.shape[1:] and known.all()


def _always(**_: Any) -> bool:
    return True


# Whether values that are right by themselves fit together, for ops with several arguments.
SHAPES: dict[str, Callable[..., bool]] = {
    "adamw_update": lambda param, grad, m, v, **_: _rest(param, grad, m, v),
    "adamw_update_all": lambda params, grads, ms, vs, weight_decays, **_: _each_alike(
        params, grads, ms, vs, weight_decays
    ),
    "adaptive_avg_pool2d": _always,
    "attention": _fits_scores,
    "attention_branch": _fits_branch(_fits_attention),
    "attention_probabilities": _fits_scores,
    "conv2d": _fits_conv2d,
    "conv_transpose2d": _fits_conv_transpose2d,
    "batch_norm": lambda x, eps, constant, **others: _fits_channels(x, **others),
    "batch_norm_backward_input": lambda dy, x, eps, **others: _rest(dy, x) and _fits_channels(x, **others),
    "batch_norm_backward_sums": lambda dy, x, eps, **others: _rest(dy, x) and _fits_channels(x, **others),
    "box_iou": _always,
    "cross_entropy": lambda logits, targets: _rest(logits, targets),
    "decode_boxes": lambda deltas, boxes, deviations: _rest(deltas, boxes),
    "draw_mask": _always,
    "dropout": lambda x, mask: _are((mask, x.shape)),
    "ema_update": lambda average, param, **_: _rest(average, param),
    "ema_update_all": lambda averages, params, **_: _each_alike(averages, params),
    "encode_boxes": lambda boxes, targets, deviations: _rest(boxes, targets),
    "giou_loss": _fits_loss,
    "l1_loss": _fits_loss,
    "layer_norm": lambda x, weight, bias, **_: _are((weight, x.shape[-1:]), (bias, x.shape[-1:])),
    "linear": lambda x, weight, bias: x.shape[-1] == weight.shape[1] and _are((bias, weight.shape[:1])),
    "max_pool2d": _fits_max_pool,
    "mlp": _fits_mlp,
    "mlp_branch": _fits_branch(_fits_mlp),
    "nms": lambda boxes, scores, groups, **_: _are((scores, boxes.shape[:1]), (groups, boxes.shape[:1])),
    "paste_masks": lambda masks, boxes, **_: len(masks) == len(boxes),
    "patch_embed": _fits_patches,
    "patch_merging": _fits_merging,
    "pixel_cross_entropy": _fits_labels,
    "position_bias": lambda table, window_size: (
        table.shape == (window_size**2, window_size**2) or len(table) == (2 * window_size - 1) ** 2
    ),
    "position_embed": lambda x, table, grid: table.shape == (1, grid[0] * grid[1], x.shape[-1]),
    "residual": lambda shortcut, branch, path_scale: _rest(shortcut, branch) and _are((path_scale, shortcut.shape[:1])),
    "resized_cross_entropy": _fits_resized_labels,
    "resized_conv2d": _fits_resized_conv2d,
    "resize_bicubic": _always,
    "resize_bilinear": _always,
    "resize_nearest": _always,
    "roi_align": _always,
    "sgd_update": lambda param, grad, velocity, **_: _rest(param, grad, velocity),
    "sgd_update_all": lambda params, grads, velocities, weight_decays, **_: _each_alike(
        params, grads, velocities, weight_decays
    ),
    "sigmoid_cross_entropy": _fits_loss,
    "smooth_l1_loss": _fits_loss,
    "window_attention": _fits_attention,
    "window_partition": lambda window_size, shift_size, **_: shift_size < window_size,
    "window_reverse": _fits_reverse,
}


def _fits(op: str) -> Callable[[Mapping[str, Any]], bool]:
    def fits(arguments: Mapping[str, Any]) -> bool:
        arrays = [value for value in arguments.values() if isinstance(value, np.ndarray) and value.dtype.kind in "fc"]
        of_precision = [one for one in arrays if one.ndim and one.dtype.name in PRECISIONS]
        return _one_precision(of_precision) and SHAPES.get(op, _always)(**arguments)

    return fits


def op_examples() -> tuple[list[Entry], dict[str, Example]]:
    """The public ops, then those of the backend that is set where they are others; an example of each by its name."""
    entries, examples = [], {}
    for op in KINDS:
        functions = [op] if op in ops.__all__ else [f"{op}_forward", f"{op}_backward"]
        for package, module in ((OPS, ops), (DISPATCH, dispatch)):
            inference = [op] if module is dispatch and op not in ops.__all__ else []
            for name in functions + inference:
                function = getattr(module, name)
                if module is dispatch and function is getattr(ops, name, None):
                    continue
                definition = getattr(ops, name if name in ops.__all__ else f"{name}_forward")
                entry = entry_of(f"{package}.{name}", function, definition)
                entries.append(entry)
                is_backward = name.endswith("_backward")
                examples[entry.name] = _backward_example(op, module) if is_backward else _example(op, definition)
    return entries, examples


def _example(op: str, definition: Callable[..., Any]) -> Example:
    parameters = inspect.signature(definition).parameters.values()
    unknown = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - KINDS[op].keys()
    assert not unknown, f"{op}: which values are right for {unknown}? Say so in KINDS of tests/tools/misuse_ops.py"
    assert op in SHAPES or len(KINDS[op]) == 1, f"{op}: which arguments fit together? Say so in SHAPES beside KINDS"
    others = {name: f"as {name} has" for name in ARGUMENTS[op]}  # a list of another length than the first one
    return Example(lambda: arguments_of(op), KINDS[op], others, _fits(op), rounds=True)


def _backward_example(op: str, module: Any) -> Example:
    gradient = next(iter(inspect.signature(getattr(ops, f"{op}_backward")).parameters))

    def arguments() -> dict[str, Any]:
        y, cache = getattr(module, f"{op}_forward")(**arguments_of(op))
        return {gradient: np.cos(y) if y.ndim else 0.5, "cache": cache}

    y = arguments()[gradient]
    is_array = instance(np.ndarray)  # of no axes: it has to be of floats
    a_number = Kind(
        lambda value: ANY_NUMBER.accepts(value) and not (is_array.accepts(value) and value.dtype.kind != "f")
    )
    like_y = array("f", lambda a: a.shape == y.shape and a.dtype == y.dtype) if np.ndim(y) else a_number
    return Example(arguments, {gradient: like_y, "cache": NOTHING}, {}, rounds=True)


def arguments_of(op: str) -> dict[str, Any]:
    """New arguments of an op by name: arrays of drawn numbers in float64."""
    draws = np.random.default_rng(0)

    def made(value: Any) -> Any:
        if isinstance(value, P):
            return tuple(value)
        if isinstance(value, list):
            return [made(one) for one in value]
        if isinstance(value, np.random.Generator):
            return np.random.default_rng(5)
        if isinstance(value, I):
            return draws.integers(0, 2, value)
        return draws.random(value) if type(value) is tuple else value

    return {name: made(value) for name, value in ARGUMENTS[op].items()}
