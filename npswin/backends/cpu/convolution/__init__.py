"""Kernels of convolutions: a sum over the kernel's places (`direct*.py`), and Winograd's algorithm (`winograd*.py`)."""
