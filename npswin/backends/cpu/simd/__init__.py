"""Vector instructions: intrinsics for Numba code, transposition, matrix product, exp and erf."""
