"""What training asks of a model."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from npswin.devices import SHORT_DTYPES, beside, short_dtype
from npswin.types import Array


class Trainable(Protocol):
    """Anything with parameters and a hand-written backward pass; `npswin.SwinTransformer` is one.

    Attributes:
        in_chans: c, channels of the images.
        num_classes: K.
        config: what a file of weights says about them, as JSON can hold it.
        params: name -> array, always the same arrays.
        grads: name -> array of the parameter's shape, the same arrays until `zero_grad`.
        dtype: of all of these.
    """

    in_chans: int
    num_classes: int
    config: dict[str, Any]
    dtype: np.dtype[Any]

    @property
    def params(self) -> dict[str, Array]: ...

    @property
    def grads(self) -> dict[str, Array]: ...

    def __call__(self, images: Array, /) -> Array:
        """Inference: images (B, c, H, W) -> logits (B, K)."""

    def forward(self, images: Array, /, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """Training: images (B, c, H, W) -> logits (B, K) and the cache for `backward`; rng draws what is dropped."""

    def backward(self, dlogits: Array, cache: Any, /) -> Array:
        """dlogits (B, K) -> dimages; adds to `grads`."""

    def zero_grad(self) -> None:
        """Set all gradients to zero."""


def as_input(model: Trainable, images: Array, precision: str = "full") -> Array:
    """Images where the model is, in the dtype that its products are to be computed in.

    Args:
        model: its parameters' place and dtype count.
        images: (B, c, H, W) of the model's dtype.
        precision: see `npswin.TrainConfig`.
    """
    images = beside(images, next(iter(model.params.values())))
    return images.astype(short_dtype(precision)) if precision in SHORT_DTYPES else images


def require_same_arrays(params: Mapping[str, Array], before: Mapping[str, Array], whose: str) -> None:
    """Raise a ValueError unless a model's parameters are the arrays that they were."""
    if any(params[name] is not array for name, array in before.items()):
        raise ValueError(f"the model's parameters are other arrays than when {whose} was made; do model.to(...) before")
