"""Arguments of every op that fit, small and with sizes that differ: what is changed in one of them no longer fits.

A tuple of sizes stands for an array, `I(...)` for one of integers, a pair `P(height, width)` for itself. Numbers are as
they are.
"""

import numpy as np

from npswin.ops.window_attention import AttentionSpec


class P(tuple):
    """A pair of integers that is no shape."""

    def __new__(cls, *values):
        return super().__new__(cls, values)


class I(tuple):  # noqa: E742
    """The sizes of an array of integers."""

    def __new__(cls, *sizes):
        return super().__new__(cls, sizes)


_LOSS = {"weights": (2, 3), "divisor": 1.5}
_ATTENTION = {
    "qkv_weight": (18, 5),
    "qkv_bias": (18,),
    "proj_weight": (5, 6),
    "proj_bias": (5,),
    "bias_table": (9, 3),
    "spec": AttentionSpec(3, 2, 1),
}
_ATTENTION_MASKS = {"attn_drop_mask": (6, 3, 4, 4), "proj_drop_mask": (6, 4, 5)}
_MLP = {"fc1_weight": (7, 5), "fc1_bias": (7,), "fc2_weight": (5, 7), "fc2_bias": (5,)}
_MLP_MASKS = {"hidden_drop_mask": (3, 2, 4, 7), "output_drop_mask": (3, 2, 4, 5)}
_NORM = {"norm_weight": (5,), "norm_bias": (5,)}
_STATISTICS = {"mean": (3,), "variance": (3,)}
_ADAMW = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}

ARGUMENTS = {
    "adamw_update": {
        **dict.fromkeys(("param", "grad", "m", "v"), (2, 3)),
        **_ADAMW,
        "weight_decay": 0.1,
        "step": 1,
    },
    "adamw_update_all": {
        **{name: [(2, 3), (4,)] for name in ("params", "grads", "ms", "vs")},
        **_ADAMW,
        "weight_decays": [0.1, 0.0],
        "step": 1,
        "grad_scale": 1.0,
    },
    "adaptive_avg_pool2d": {"x": (2, 3, 4, 5), "size": P(2, 7)},
    "attention": {
        "qkv": (6, 4, 18),
        "bias": (3, 4, 4),
        "mask": (6, 4, 4),
        "num_heads": 3,
        "drop_mask": (6, 3, 4, 4),
    },
    "attention_branch": {"x": (3, 2, 4, 5), **_NORM, **_ATTENTION, "path_scale": (3,), **_ATTENTION_MASKS},
    "attention_probabilities": {"qkv": (6, 4, 18), "bias": (3, 4, 4), "mask": (6, 4, 4), "num_heads": 3},
    "conv2d": {"x": (2, 3, 4, 5), "weight": (6, 5, 3, 3), "bias": (6,), "stride": 1, "padding": 1},
    "conv_transpose2d": {"x": (2, 3, 4, 5), "weight": (5, 6, 2, 2), "bias": (6,)},
    "batch_norm": {"x": (2, 3), "weight": (3,), "bias": (3,), **_STATISTICS, "eps": 1e-5, "constant": False},
    "batch_norm_backward_input": {
        "dy": (2, 3),
        "x": (2, 3),
        "weight": (3,),
        **_STATISTICS,
        "dy_mean": (3,),
        "dy_xhat_mean": (3,),
        "eps": 1e-5,
    },
    "batch_norm_backward_sums": {"dy": (2, 3), "x": (2, 3), **_STATISTICS, "eps": 1e-5},
    "batch_norm_moments": {"x": (2, 3)},
    "box_iou": {"a": (2, 4), "b": (3, 4)},
    "cross_entropy": {"logits": (2, 3), "targets": (2, 3)},
    "decode_boxes": {"deltas": (2, 4), "boxes": (2, 4), "deviations": [0.1, 0.1, 0.2, 0.2]},
    "draw_mask": {"rng": np.random.default_rng(0), "shape": P(2, 3), "rate": 0.5, "dtype": "float32"},
    "dropout": {"x": (2, 3), "mask": (2, 3)},
    "ema_update": {"average": (2, 3), "param": (2, 3), "decay": 0.5},
    "ema_update_all": {"averages": [(2, 3), (4,)], "params": [(2, 3), (4,)], "decay": 0.5},
    "encode_boxes": {"boxes": (2, 4), "targets": (2, 4), "deviations": [0.1, 0.1, 0.2, 0.2]},
    "gelu": {"x": (2, 3)},
    "giou_loss": {"boxes": (2, 4), "targets": (2, 4), "weights": (2,), "divisor": 1.5},
    "global_norm": {"grads": [(2, 3), (4,)]},
    "l1_loss": {"x": (2, 3), "targets": (2, 3), **_LOSS},
    "layer_norm": {"x": (2, 3), "weight": (3,), "bias": (3,), "eps": 1e-5},
    "linear": {"x": (2, 3), "weight": (4, 3), "bias": (4,)},
    "max_pool2d": {"x": (2, 3, 4, 5), "kernel_size": 3, "stride": 2, "padding": 1},
    "mean_pool": {"x": (2, 3, 4, 5)},
    "mlp": {"x": (3, 2, 4, 5), **_MLP, **_MLP_MASKS},
    "mlp_branch": {"x": (3, 2, 4, 5), **_NORM, **_MLP, "path_scale": (3,), **_MLP_MASKS},
    "nms": {"boxes": (2, 4), "scores": (2,), "iou_threshold": 0.5, "groups": I(2)},
    "paste_masks": {"masks": (2, 3, 4), "boxes": (2, 4), "size": P(5, 6), "threshold": 0.5},
    "patch_concat": {"x": (2, 3, 4, 5)},
    "patch_embed": {"images": (2, 3, 4, 5), "weight": (6, 3, 2, 2), "bias": (6,)},
    "patch_merging": {
        "x": (2, 3, 4, 5),
        "norm_weight": (20,),
        "norm_bias": (20,),
        "reduction_weight": (10, 20),
        "reduction_bias": (10,),
    },
    "pixel_cross_entropy": {"logits": (2, 3, 4), "labels": I(2, 3), **_LOSS, "ignore_index": 2},
    "position_bias": {"table": (9, 2), "window_size": 2},
    "position_embed": {"x": (2, 3, 4, 5), "table": (1, 14, 5), "grid": P(2, 7)},
    "relu": {"x": (2, 3)},
    "residual": {"shortcut": (2, 3, 4), "branch": (2, 3, 4), "path_scale": (2,)},
    "resized_cross_entropy": {"logits": (2, 3, 4, 5), "labels": I(2, 7, 6), "ignore_index": 2},
    "resized_conv2d": {"x": (2, 3, 4, 5), "weight": (6, 5, 3, 3), "size": P(2, 7)},
    "resize_bicubic": {"x": (2, 3, 4, 5), "size": P(2, 7)},
    "resize_bilinear": {"x": (2, 3, 4, 5), "size": P(2, 7)},
    "resize_nearest": {"x": (2, 3, 4, 5), "size": P(2, 7)},
    "roi_align": {
        "x": (2, 3, 4, 5),
        "rois": (3, 5),
        "output_size": P(2, 3),
        "spatial_scale": 0.5,
        "sampling_ratio": 2,
    },
    "sgd_update": {
        **dict.fromkeys(("param", "grad", "velocity"), (2, 3)),
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.1,
    },
    "sgd_update_all": {
        **{name: [(2, 3), (4,)] for name in ("params", "grads", "velocities")},
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decays": [0.1, 0.0],
        "grad_scale": 1.0,
    },
    "sigmoid_cross_entropy": {"logits": (2, 3), "targets": (2, 3), **_LOSS},
    "smooth_l1_loss": {"x": (2, 3), "targets": (2, 3), **_LOSS, "beta": 1.0},
    "softmax": {"x": (2, 3)},
    "window_attention": {"x": (3, 2, 4, 5), **_ATTENTION, **_ATTENTION_MASKS},
    "window_partition": {"x": (2, 3, 4, 5), "window_size": 2, "shift_size": 1},
    "window_reverse": {"windows": (8, 4, 5), "size": P(3, 4), "window_size": 2, "shift_size": 1},
}


def arguments_of(op, dtype="float32"):
    """New arguments of an op by name."""
    return {name: _made(value, dtype) for name, value in ARGUMENTS[op].items()}


def _made(value, dtype):
    if isinstance(value, P):
        return tuple(value)
    if isinstance(value, list):
        return [_made(one, dtype) for one in value]
    if isinstance(value, I):
        return np.arange(np.prod(value)).reshape(value) % 2
    return np.full(value, 0.5, dtype) if type(value) is tuple else value
