"""The vocabulary in Numba: the same words as `npswin.ops`, fused and in parallel."""

from npswin.backends.cpu.attention import attention_branch, attention_branch_backward, attention_branch_forward
from npswin.backends.cpu.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.backends.cpu.linear import (
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
from npswin.backends.cpu.mlp import mlp_branch, mlp_branch_backward, mlp_branch_forward
from npswin.backends.cpu.optimizer import adamw_update
