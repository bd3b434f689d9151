"""Images on their way into the model: on its device, and in the precision of the run."""

import numpy as np

from npswin.checks import check_choice
from npswin.devices import HALF_DTYPES, half_dtype, on_gpu, to_device_of
from npswin.training.config import PRECISIONS
from npswin.training.trainable import Trainable
from npswin.types import Array


def check_precision(model: Trainable, precision: str) -> None:
    """Raise a ValueError unless a model can compute in this precision."""
    check_choice("precision", precision, PRECISIONS)
    is_on_gpu = on_gpu(next(iter(model.params.values())))
    if precision != "full" and not (is_on_gpu and model.dtype == np.float32):
        raise ValueError(f"precision: got {precision!r}, which takes a model in float32 on a GPU: model.to('cuda')")


def as_input(model: Trainable, images: Array, precision: str = "full") -> Array:
    """Images on the model's device, in the dtype of the model's maps.

    Args:
        model: its parameters give the device.
        images: (B, c, H, W) of the model's dtype.
        precision: see `npswin.TrainConfig`; "bfloat16" and "float16" convert the images.
    """
    images = to_device_of(images, next(iter(model.params.values())))
    return images.astype(half_dtype(precision)) if precision in HALF_DTYPES else images
