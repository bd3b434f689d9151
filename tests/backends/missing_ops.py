"""The ops that a backend lacks, so that they fall back to their definitions in `npswin.ops`.

`tests/backends/test_missing_ops.py` compares this list with `npswin.backends.missing_ops`. An op that a backend lacks
is added here; one that it gains is removed.
"""

MISSING = {
    "cpu": [],
    "cuda": [
        "window_partition_backward",
        "window_partition_forward",
        "window_reverse_backward",
        "window_reverse_forward",
    ],
}
