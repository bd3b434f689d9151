"""Parts of fused ops: attention and the MLP with the bias and residual connection that follow them."""
