"""What only training on a GPU needs: transfers to and from it, steps as CUDA graphs, the loss scale of float16."""
