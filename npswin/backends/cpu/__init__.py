"""The vocabulary in Numba: the words of `npswin.ops`, fused and in parallel.

A word that only moves numbers (`patch_concat`, `window_partition`, `position_bias`, ...) is not spoken here: inside the
fused words nothing is moved, and by themselves they are as fast as memory in NumPy.
"""

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
from npswin.backends.cpu.mlp_words import (
    mlp,
    mlp_backward,
    mlp_branch,
    mlp_branch_backward,
    mlp_branch_forward,
    mlp_forward,
)
from npswin.backends.cpu.optimizer import adamw_update, adamw_update_all, ema_update, global_norm, sgd_update

__all__ = [
    "adamw_update",
    "adamw_update_all",
    "attention_branch",
    "attention_branch_backward",
    "attention_branch_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "ema_update",
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
    "patch_embed",
    "patch_embed_backward",
    "patch_embed_forward",
    "patch_merging",
    "patch_merging_backward",
    "patch_merging_forward",
    "sgd_update",
    "softmax_backward",
    "softmax_forward",
    "window_attention",
    "window_attention_backward",
    "window_attention_forward",
]
