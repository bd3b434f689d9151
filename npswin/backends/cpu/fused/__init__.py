"""Fused ops: norm, branch and residual connection in one pass over the map; linear maps of gathered tokens."""
