"""The ops that a backend lacks, so that they fall back to their definitions in `npswin.ops`.

`tests/backends/test_missing_ops.py` compares this list with `npswin.backends.missing_ops`. An op that a backend lacks
is added here; one that it gains is removed.
"""

# Definitions with loops over boxes, in NumPy alone.
WITHOUT_FALLBACK = {
    *("box_iou", "decode_boxes", "encode_boxes", "giou_loss", "l1_loss", "nms", "paste_masks", "pixel_cross_entropy"),
    *("resized_cross_entropy", "roi_align", "sigmoid_cross_entropy", "smooth_l1_loss"),
}
MISSING = {
    "cpu": [
        "decode_boxes_backward",
        "decode_boxes_forward",
        "encode_boxes",
    ],
    "cuda": [
        "box_iou",
        "decode_boxes_backward",
        "decode_boxes_forward",
        "encode_boxes",
        "giou_loss_backward",
        "giou_loss_forward",
        "l1_loss_backward",
        "l1_loss_forward",
        "nms",
        "paste_masks",
        "pixel_cross_entropy_backward",
        "pixel_cross_entropy_forward",
        "resized_conv2d_backward",
        "resized_conv2d_forward",
        "resized_cross_entropy_backward",
        "resized_cross_entropy_forward",
        "roi_align_backward",
        "roi_align_forward",
        "sigmoid_cross_entropy_backward",
        "sigmoid_cross_entropy_forward",
        "smooth_l1_loss_backward",
        "smooth_l1_loss_forward",
        "window_partition_backward",
        "window_partition_forward",
        "window_reverse_backward",
        "window_reverse_forward",
    ],
}
