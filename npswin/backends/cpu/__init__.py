"""The vocabulary in Numba: all words of `npswin.ops`, in parallel, and the chains among them fused.

The fused words do within their tiles what `window_partition`, `attention`, `residual` and their like do by themselves.
Those are for whoever wants them alone. They take other dtypes than float32 and float64 too, and leave the computing
with such arrays to `npswin.ops`.
"""

from npswin.backends.cpu.attention_core import (
    attention_backward,
    attention_forward,
    attention_probabilities,
)
from npswin.backends.cpu.attention_words import (
    attention_branch,
    attention_branch_backward,
    attention_branch_forward,
    window_attention,
    window_attention_backward,
    window_attention_forward,
)
from npswin.backends.cpu.elementwise import gelu_backward, gelu_forward, softmax_backward, softmax_forward
from npswin.backends.cpu.ends import (
    cross_entropy_backward,
    cross_entropy_forward,
    mean_pool_backward,
    mean_pool_forward,
)
from npswin.backends.cpu.layer_norm_kernels import layer_norm_backward, layer_norm_forward
from npswin.backends.cpu.linear_kernels import (
    linear,
    linear_backward,
    linear_forward,
    patch_embed,
    patch_embed_backward,
    patch_embed_forward,
    patch_merging,
    patch_merging_backward,
    patch_merging_forward,
)
from npswin.backends.cpu.masks import (
    draw_mask,
    dropout_backward,
    dropout_forward,
    residual_backward,
    residual_forward,
)
from npswin.backends.cpu.mlp_words import (
    mlp,
    mlp_backward,
    mlp_branch,
    mlp_branch_backward,
    mlp_branch_forward,
    mlp_forward,
)
from npswin.backends.cpu.moves import (
    patch_concat_backward,
    patch_concat_forward,
    window_partition_backward,
    window_partition_forward,
    window_reverse_backward,
    window_reverse_forward,
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
from npswin.backends.cpu.position import (
    position_bias_backward,
    position_bias_forward,
    position_embed_backward,
    position_embed_forward,
)
from npswin.backends.cpu.resize import (
    resize_bicubic_backward,
    resize_bicubic_forward,
)

__all__ = [
    "adamw_update",
    "adamw_update_all",
    "attention_backward",
    "attention_branch",
    "attention_branch_backward",
    "attention_branch_forward",
    "attention_forward",
    "attention_probabilities",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "draw_mask",
    "dropout_backward",
    "dropout_forward",
    "ema_update",
    "ema_update_all",
    "gelu_backward",
    "gelu_forward",
    "global_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear",
    "linear_backward",
    "linear_forward",
    "mean_pool_backward",
    "mean_pool_forward",
    "mlp",
    "mlp_backward",
    "mlp_branch",
    "mlp_branch_backward",
    "mlp_branch_forward",
    "mlp_forward",
    "patch_concat_backward",
    "patch_concat_forward",
    "patch_embed",
    "patch_embed_backward",
    "patch_embed_forward",
    "patch_merging",
    "patch_merging_backward",
    "patch_merging_forward",
    "position_bias_backward",
    "position_bias_forward",
    "position_embed_backward",
    "position_embed_forward",
    "residual_backward",
    "residual_forward",
    "resize_bicubic_backward",
    "resize_bicubic_forward",
    "sgd_update",
    "sgd_update_all",
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
