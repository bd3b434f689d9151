"""The ops of `npswin.ops` in Numba: in parallel, and the branches of a block fused.

An op has its file under the name that it has in `npswin/ops`. Fused ops do within their tiles what `window_partition`,
`attention`, `residual` and others do on whole maps; the latter also take other dtypes than float32 and float64, and
leave the computing with such arrays to `npswin.ops`.
"""

from npswin.backends.cpu.adaptive_avg_pool2d import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
)
from npswin.backends.cpu.attention import (
    attention_backward,
    attention_forward,
    attention_probabilities,
)
from npswin.backends.cpu.batch_norm import (
    batch_norm_backward,
    batch_norm_backward_input,
    batch_norm_backward_sums,
    batch_norm_forward,
    batch_norm_moments,
)
from npswin.backends.cpu.box_iou import (
    box_iou,
)
from npswin.backends.cpu.branches import (
    attention_branch,
    attention_branch_backward,
    attention_branch_forward,
    mlp_branch,
    mlp_branch_backward,
    mlp_branch_forward,
)
from npswin.backends.cpu.conv2d import (
    conv2d_backward,
    conv2d_forward,
)
from npswin.backends.cpu.conv_transpose2d import (
    conv_transpose2d_backward,
    conv_transpose2d_forward,
)
from npswin.backends.cpu.decode_boxes import (
    decode_boxes_backward,
    decode_boxes_forward,
    encode_boxes,
)
from npswin.backends.cpu.dropout import (
    draw_mask,
    dropout_backward,
    dropout_forward,
)
from npswin.backends.cpu.gelu import (
    gelu_backward,
    gelu_forward,
)
from npswin.backends.cpu.giou_loss import (
    giou_loss_backward,
    giou_loss_forward,
)
from npswin.backends.cpu.l1_loss import (
    l1_loss_backward,
    l1_loss_forward,
)
from npswin.backends.cpu.layer_norm import (
    layer_norm_backward,
    layer_norm_forward,
)
from npswin.backends.cpu.linear import (
    linear,
    linear_backward,
    linear_forward,
)
from npswin.backends.cpu.loss import (
    cross_entropy_backward,
    cross_entropy_forward,
)
from npswin.backends.cpu.max_pool2d import (
    max_pool2d_backward,
    max_pool2d_forward,
)
from npswin.backends.cpu.mlp import (
    mlp,
    mlp_backward,
    mlp_forward,
)
from npswin.backends.cpu.nms import (
    nms,
)
from npswin.backends.cpu.optimizer import (
    adamw_update,
    adamw_update_all,
    ema_update,
    ema_update_all,
    global_norm,
    sgd_update,
    sgd_update_all,
)
from npswin.backends.cpu.paste_masks import (
    paste_masks,
)
from npswin.backends.cpu.patch_embed import (
    patch_embed,
    patch_embed_backward,
    patch_embed_forward,
)
from npswin.backends.cpu.patch_merging import (
    patch_concat_backward,
    patch_concat_forward,
    patch_merging,
    patch_merging_backward,
    patch_merging_forward,
)
from npswin.backends.cpu.pixel_cross_entropy import (
    pixel_cross_entropy_backward,
    pixel_cross_entropy_forward,
)
from npswin.backends.cpu.pool import (
    mean_pool_backward,
    mean_pool_forward,
)
from npswin.backends.cpu.position_bias import (
    position_bias_backward,
    position_bias_forward,
)
from npswin.backends.cpu.position_embed import (
    position_embed_backward,
    position_embed_forward,
)
from npswin.backends.cpu.relu import (
    relu_backward,
    relu_forward,
)
from npswin.backends.cpu.residual import (
    residual_backward,
    residual_forward,
)
from npswin.backends.cpu.resize import (
    resize_bicubic_backward,
    resize_bicubic_forward,
    resize_bilinear_backward,
    resize_bilinear_forward,
    resize_nearest_backward,
    resize_nearest_forward,
)
from npswin.backends.cpu.resized_conv2d import (
    resized_conv2d_backward,
    resized_conv2d_forward,
)
from npswin.backends.cpu.resized_cross_entropy import (
    resized_cross_entropy_backward,
    resized_cross_entropy_forward,
)
from npswin.backends.cpu.roi_align import (
    roi_align_backward,
    roi_align_forward,
)
from npswin.backends.cpu.sigmoid_cross_entropy import (
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
)
from npswin.backends.cpu.smooth_l1_loss import (
    smooth_l1_loss_backward,
    smooth_l1_loss_forward,
)
from npswin.backends.cpu.softmax import (
    softmax_backward,
    softmax_forward,
)
from npswin.backends.cpu.window_attention import (
    window_attention,
    window_attention_backward,
    window_attention_forward,
)
from npswin.backends.cpu.windows import (
    window_partition_backward,
    window_partition_forward,
    window_reverse_backward,
    window_reverse_forward,
)
from npswin.ops.checked import (
    checked_ops,
)

globals().update(checked_ops("cpu", globals()))  # here they become public: from now on arguments are checked

__all__ = [
    "adamw_update",
    "adamw_update_all",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "attention_backward",
    "attention_branch",
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
    "linear",
    "linear_backward",
    "linear_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mean_pool_backward",
    "mean_pool_forward",
    "mlp",
    "mlp_backward",
    "mlp_branch",
    "mlp_branch_backward",
    "mlp_branch_forward",
    "mlp_forward",
    "nms",
    "paste_masks",
    "patch_concat_backward",
    "patch_concat_forward",
    "patch_embed",
    "patch_embed_backward",
    "patch_embed_forward",
    "patch_merging",
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
    "window_attention",
    "window_attention_backward",
    "window_attention_forward",
    "window_partition_backward",
    "window_partition_forward",
    "window_reverse_backward",
    "window_reverse_forward",
]
