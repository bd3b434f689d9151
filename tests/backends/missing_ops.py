"""The ops that a backend lacks, so that they fall back to their definitions in `npswin.ops`.

`tests/backends/test_missing_ops.py` compares this list with `npswin.backends.missing_ops`. An op that a backend lacks
is added here; one that it gains is removed.
"""

MISSING = {
    "cpu": [],
    "cuda": [
        "adaptive_avg_pool2d_backward",
        "adaptive_avg_pool2d_forward",
        "batch_norm_backward",
        "batch_norm_backward_input",
        "batch_norm_backward_sums",
        "batch_norm_forward",
        "batch_norm_moments",
        "max_pool2d_backward",
        "max_pool2d_forward",
        "relu_backward",
        "relu_forward",
        "resize_bilinear_backward",
        "resize_bilinear_forward",
        "resize_nearest_backward",
        "resize_nearest_forward",
        "window_partition_backward",
        "window_partition_forward",
        "window_reverse_backward",
        "window_reverse_forward",
    ],
}
