"""Compilation before it is needed."""

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_dtype, check_flag
from npswin.layers.layer import DTYPES
from npswin.layers.loss import cross_entropy
from npswin.models.swin import SwinTransformer


def warmup(dtype: str = "float32", training: bool = True) -> None:
    """Compile all that a model needs, or load it from the disk cache.

    Otherwise each part is compiled when it is first called, in the middle of the first step. What is compiled serves
    models of every size; only the dtype counts. Dropout (not drop path) needs further parts, which are compiled when
    they are called. Products in bfloat16 are compiled instead of those in float32 where `npswin.allow_bfloat16` allows
    them. In the "numpy" backend there is nothing to compile.

    Args:
        dtype: "float32" or "float64".
        training: whether for the backward pass and the optimizers as well.

    Raises:
        ValueError: another dtype.
    """
    dtype = check_dtype("dtype", dtype, DTYPES).name
    check_flag("training", training)
    depths, num_heads = (2, 1), (1, 2)
    # heads of 32 channels, so that products are in bfloat16 where that is allowed
    model = SwinTransformer(8, 2, 3, 2, 32, depths, num_heads, window_size=2, ape=True, dtype=dtype)
    images = np.zeros((2, 3, 8, 8), dtype)
    model(images)
    model(images[:1])  # so few tokens that they are shared in another way
    if not training:
        return
    logits, cache = model.forward(images)
    _, dlogits = cross_entropy(logits, np.array([0, 1]))
    model.backward(dlogits, cache)
    dispatch.global_norm(model.grads.values())
    param, *others = (np.zeros(1, dtype) for _ in range(4))
    dispatch.adamw_update_all([param], *([other] for other in others), 0.0, 0.9, 0.999, 1e-8, [0.0], 1)
    dispatch.sgd_update(param, *others[:2], 0.0, 0.0, 0.0)
    dispatch.ema_update(param, others[0], 1.0)
