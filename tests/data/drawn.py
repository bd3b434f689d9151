"""Hypothesis strategies for the augmentations."""

import numpy as np
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32)


@st.composite
def batches(draw, dtypes=(np.uint8, np.uint16, np.float32, np.float64), channels=(1, 2, 3, 4, 11)):
    """Images (B, c, H, W): normal floats, of which no two are equal, or random whole numbers."""
    shape = (
        draw(st.integers(1, 6)),
        draw(st.sampled_from(channels)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 12)),
    )
    rng = np.random.default_rng(draw(SEEDS))
    dtype = draw(st.sampled_from(dtypes))
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return rng.standard_normal(shape).astype(dtype)


BATCHES = batches()
BYTE_BATCHES = batches(dtypes=(np.uint8,), channels=(3,))
