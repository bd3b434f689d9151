"""Whether products of float32 maps round their operands to bfloat16: a setting that a call of an op reads first."""

from typing import Any

import numpy as np

from npswin.backends.cpu.simd.bfloat16 import LANES

bfloat16_allowed = False  # see `npswin.allow_bfloat16`


def in_bfloat16(dtype: Any, *sizes: int) -> bool:
    """Whether a call computes its products in bfloat16.

    Args:
        dtype: of its maps.
        sizes: those that are columns of products, which take whole vectors.
    """
    return bfloat16_allowed and dtype == np.float32 and all(size % LANES == 0 for size in sizes)
