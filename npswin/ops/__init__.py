"""The mathematics: each operation's forward and backward pass in plain NumPy, with its derivation.

Layers call these functions through `npswin.backends.dispatch`, and every faster backend is compared with them. An op X
is a pair of pure functions, next to each other,

    y, cache = X_forward(x, ...)        dx, dw, ... = X_backward(dy, cache)

where dx is the derivative of the loss by x. They work on float32, float64 and, for complex-step checks, complex128.
"""

from npswin.ops.adaptive_avg_pool2d import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
)
from npswin.ops.attention import (
    attention_backward,
    attention_forward,
    attention_probabilities,
)
from npswin.ops.batch_norm import (
    batch_norm_backward,
    batch_norm_backward_input,
    batch_norm_backward_sums,
    batch_norm_forward,
    batch_norm_moments,
)
from npswin.ops.box_iou import (
    box_iou,
)
from npswin.ops.branches import (
    attention_branch_backward,
    attention_branch_forward,
    mlp_branch_backward,
    mlp_branch_forward,
)
from npswin.ops.checked import (
    checked_ops,
)
from npswin.ops.conv2d import (
    conv2d_backward,
    conv2d_forward,
)
from npswin.ops.conv_transpose2d import (
    conv_transpose2d_backward,
    conv_transpose2d_forward,
)
from npswin.ops.decode_boxes import (
    decode_boxes_backward,
    decode_boxes_forward,
    encode_boxes,
)
from npswin.ops.dropout import (
    draw_mask,
    dropout_backward,
    dropout_forward,
)
from npswin.ops.gelu import (
    gelu_backward,
    gelu_forward,
)
from npswin.ops.giou_loss import (
    giou_loss_backward,
    giou_loss_forward,
)
from npswin.ops.l1_loss import (
    l1_loss_backward,
    l1_loss_forward,
)
from npswin.ops.layer_norm import (
    layer_norm_backward,
    layer_norm_forward,
)
from npswin.ops.linear import (
    linear_backward,
    linear_forward,
)
from npswin.ops.loss import (
    cross_entropy_backward,
    cross_entropy_forward,
)
from npswin.ops.max_pool2d import (
    max_pool2d_backward,
    max_pool2d_forward,
)
from npswin.ops.mlp import (
    mlp_backward,
    mlp_forward,
)
from npswin.ops.nms import (
    nms,
)
from npswin.ops.old_arguments import (
    accepts_shift,
    accepts_spec_fields,
)
from npswin.ops.optimizer import (
    adamw_update,
    adamw_update_all,
    ema_update,
    ema_update_all,
    global_norm,
    sgd_update,
    sgd_update_all,
)
from npswin.ops.paste_masks import (
    paste_masks,
)
from npswin.ops.patch_embed import (
    patch_embed_backward,
    patch_embed_forward,
)
from npswin.ops.patch_merging import (
    patch_concat_backward,
    patch_concat_forward,
    patch_merging_backward,
    patch_merging_forward,
)
from npswin.ops.pixel_cross_entropy import (
    pixel_cross_entropy_backward,
    pixel_cross_entropy_forward,
)
from npswin.ops.pool import (
    mean_pool_backward,
    mean_pool_forward,
)
from npswin.ops.position_bias import (
    position_bias_backward,
    position_bias_forward,
)
from npswin.ops.position_embed import (
    position_embed_backward,
    position_embed_forward,
)
from npswin.ops.relu import (
    relu_backward,
    relu_forward,
)
from npswin.ops.residual import (
    residual_backward,
    residual_forward,
)
from npswin.ops.resize import (
    resize_bicubic_backward,
    resize_bicubic_forward,
    resize_bilinear_backward,
    resize_bilinear_forward,
    resize_nearest_backward,
    resize_nearest_forward,
)
from npswin.ops.resized_conv2d import (
    resized_conv2d_backward,
    resized_conv2d_forward,
)
from npswin.ops.resized_cross_entropy import (
    resized_cross_entropy_backward,
    resized_cross_entropy_forward,
)
from npswin.ops.roi_align import (
    roi_align_backward,
    roi_align_forward,
)
from npswin.ops.sigmoid_cross_entropy import (
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
)
from npswin.ops.smooth_l1_loss import (
    smooth_l1_loss_backward,
    smooth_l1_loss_forward,
)
from npswin.ops.softmax import (
    softmax_backward,
    softmax_forward,
)
from npswin.ops.window_attention import (
    window_attention_backward,
    window_attention_forward,
)
from npswin.ops.windows import (
    window_partition_backward,
    window_partition_forward,
    window_reverse_backward,
    window_reverse_forward,
)

globals().update(checked_ops("numpy", globals()))  # here they become public: from now on arguments are checked

attention_branch_forward = accepts_spec_fields(attention_branch_forward)
window_attention_forward = accepts_spec_fields(window_attention_forward)
window_partition_forward = accepts_shift(window_partition_forward)
window_reverse_forward = accepts_shift(window_reverse_forward)

__all__ = [
    "adamw_update",
    "adamw_update_all",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "attention_backward",
    "attention_branch_backward",
    "attention_branch_forward",
    "attention_forward",
    "attention_probabilities",
    "batch_norm_backward",
    "batch_norm_backward_input",
    "batch_norm_backward_sums",
    "batch_norm_forward",
    "batch_norm_moments",
    "box_iou",
    "conv2d_backward",
    "conv2d_forward",
    "conv_transpose2d_backward",
    "conv_transpose2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "decode_boxes_backward",
    "decode_boxes_forward",
    "draw_mask",
    "dropout_backward",
    "dropout_forward",
    "ema_update",
    "ema_update_all",
    "encode_boxes",
    "gelu_backward",
    "gelu_forward",
    "giou_loss_backward",
    "giou_loss_forward",
    "global_norm",
    "l1_loss_backward",
    "l1_loss_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear_backward",
    "linear_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mean_pool_backward",
    "mean_pool_forward",
    "mlp_backward",
    "mlp_branch_backward",
    "mlp_branch_forward",
    "mlp_forward",
    "nms",
    "paste_masks",
    "patch_concat_backward",
    "patch_concat_forward",
    "patch_embed_backward",
    "patch_embed_forward",
    "patch_merging_backward",
    "patch_merging_forward",
    "pixel_cross_entropy_backward",
    "pixel_cross_entropy_forward",
    "position_bias_backward",
    "position_bias_forward",
    "position_embed_backward",
    "position_embed_forward",
    "relu_backward",
    "relu_forward",
    "residual_backward",
    "residual_forward",
    "resize_bicubic_backward",
    "resize_bicubic_forward",
    "resize_bilinear_backward",
    "resize_bilinear_forward",
    "resize_nearest_backward",
    "resize_nearest_forward",
    "resized_conv2d_backward",
    "resized_conv2d_forward",
    "resized_cross_entropy_backward",
    "resized_cross_entropy_forward",
    "roi_align_backward",
    "roi_align_forward",
    "sgd_update",
    "sgd_update_all",
    "sigmoid_cross_entropy_backward",
    "sigmoid_cross_entropy_forward",
    "smooth_l1_loss_backward",
    "smooth_l1_loss_forward",
    "softmax_backward",
    "softmax_forward",
    "window_attention_backward",
    "window_attention_forward",
    "window_partition_backward",
    "window_partition_forward",
    "window_reverse_backward",
    "window_reverse_forward",
]
