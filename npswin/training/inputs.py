"""Images on their way into the model: on its device, and in the precision of the run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from npswin.backends import allow_bfloat16, get_backend, why_no_bfloat16
from npswin.checks import check_choice
from npswin.data import size_within
from npswin.data.dataset import check_normalization
from npswin.data.samples import check_axes
from npswin.devices import HALF_DTYPES, half_dtype, on_gpu, to_device_of
from npswin.training.config import PRECISIONS
from npswin.training.trainable import Trainable
from npswin.types import Array


def check_precision(model: Trainable, precision: str) -> None:
    """Raise a ValueError unless a model can compute in this precision."""
    if check_choice("precision", precision, PRECISIONS) == "full":
        return
    is_on_gpu = on_gpu(next(iter(model.params.values())))
    if model.dtype != np.float32 or not (is_on_gpu or precision == "bfloat16"):
        where = "" if precision == "bfloat16" else " on a GPU: model.to('cuda')"
        raise ValueError(f"precision: got {precision!r}, which takes a model in float32{where}")
    if not is_on_gpu and (reason := _why_not_here()):
        raise ValueError(f"precision: got 'bfloat16', which takes a GPU (model.to('cuda')) or another CPU: {reason}")


def _why_not_here() -> str | None:
    """What products in bfloat16 lack on this CPU."""
    if get_backend() != "cpu":
        return f"the backend {get_backend()} has no products in bfloat16, expected cpu"
    return why_no_bfloat16()


@contextmanager
def products_in(model: Trainable, precision: str) -> Iterator[None]:
    """On a CPU, products are in this precision from here to the end of the block; on a GPU that follows from the maps.

    Args:
        model: whose parameters give the device.
        precision: "bfloat16", or anything else for what is set already.
    """
    if precision != "bfloat16" or on_gpu(next(iter(model.params.values()))):
        yield
        return
    before = allow_bfloat16(True)
    try:
        yield
    finally:
        allow_bfloat16(before)


def check_prediction(
    model: Trainable, mean: Sequence[float], std: Sequence[float], shorter: int, longer: int, precision: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, or a ValueError unless images of this size can be predicted with them.

    Args:
        model: which gets the normalized images.
        mean, std: of each channel.
        shorter, longer: that an image's sides have at most.
        precision: see `npswin.TrainConfig`.
    """
    size_within((1, 1), shorter, longer)  # checks them
    check_precision(model, precision)
    return check_normalization(("mean", "std"), (mean, std), model.in_chans, model.dtype)


def check_image(image: Array, model: Trainable) -> Array:
    """An image (c, H, W) uint8 with the model's channels, or a ValueError."""
    return check_axes("image", image, (model.in_chans, "H", "W"), ("uint8",))


def as_input(model: Trainable, images: Array, precision: str = "full") -> Array:
    """Images on the model's device, in the dtype of the model's maps.

    Args:
        model: its parameters give the device.
        images: (B, c, H, W) of the model's dtype.
        precision: see `npswin.TrainConfig`; on a GPU "bfloat16" and "float16" convert the images.
    """
    images = to_device_of(images, next(iter(model.params.values())))
    return images.astype(half_dtype(precision)) if precision in HALF_DTYPES and on_gpu(images) else images
