"""Hypothesis strategies for the augmentations."""

import numpy as np
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32)


@st.composite
def batches(draw, dtypes=(np.uint8, np.float32, np.float64)):
    """Images (B, 3, H, W): normal floats, of which no two are equal, or random bytes."""
    shape = (draw(st.integers(1, 6)), 3, draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    rng = np.random.default_rng(draw(SEEDS))
    dtype = draw(st.sampled_from(dtypes))
    return rng.integers(0, 256, shape, np.uint8) if dtype == np.uint8 else rng.standard_normal(shape).astype(dtype)


BATCHES = batches()
BYTE_BATCHES = batches(dtypes=(np.uint8,))
