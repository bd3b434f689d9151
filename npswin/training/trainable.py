"""The interface that training needs of a model."""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from npswin.checks import shown
from npswin.types import Array


class Trainable(Protocol):
    """Anything with parameters and their gradients; how gradients come into being is up to the task.

    A model may have `buffers` as well: name -> array, tensors that belong to the weights and are not trained, such as
    the running statistics of batch norm. Its forward pass in training changes them in place.

    Attributes:
        in_chans: c, channels of the images.
        config: the model's arguments, as JSON can hold them; they are written into weight files.
        params: name -> array, always the same arrays.
        grads: name -> array of the parameter's shape, the same arrays until `zero_grad`.
        dtype: of all of these.
    """

    in_chans: int
    config: dict[str, Any]
    dtype: np.dtype[Any]

    @property
    def params(self) -> dict[str, Array]: ...

    @property
    def grads(self) -> dict[str, Array]: ...

    def zero_grad(self) -> None:
        """Set all gradients to zero."""


class Classifier(Trainable, Protocol):
    """A model that classifies images, with a hand-written backward pass; `npswin.SwinTransformer` is one.

    Attributes:
        num_classes: K.
    """

    num_classes: int

    def __call__(self, images: Array, /) -> Array:
        """Inference: images (B, c, H, W) -> logits (B, K)."""

    def forward(self, images: Array, /, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """Training: images (B, c, H, W) -> logits (B, K) and the cache for `backward`; rng draws dropout masks."""

    def backward(self, dlogits: Array, cache: Any, /) -> Array:
        """dlogits (B, K) -> dimages; adds to `grads`."""


def buffers_of(model: Any) -> dict[str, Array]:
    """A model's buffers, name -> array; none where it has no such attribute."""
    return getattr(model, "buffers", {})


def check_model(model: Any, *needed: str) -> None:
    """Raise a ValueError unless this is an object with these attributes of a `Trainable`."""
    if isinstance(model, type) or not all(_has(model, name) for name in needed):
        raise ValueError(f"model: got {shown(model)}, expected a model, with {', '.join(needed)}")


def _has(model: Any, name: str) -> bool:
    """Whether a model has an attribute, without reading it: that of `grads` would create the gradients."""
    is_defined = inspect.getattr_static(model, name, None) is not None
    return is_defined or (hasattr(type(model), "__getattr__") and hasattr(model, name))


def require_same_arrays(params: Mapping[str, Array], expected: Mapping[str, Array], owner: str) -> None:
    """Raise a ValueError unless a model's parameters still are these arrays.

    Args:
        params: the model's parameters now.
        expected: the parameters when the owner was made.
        owner: "the optimizer", for the message.
    """
    if params.keys() != expected.keys() or any(params[name] is not array for name, array in expected.items()):
        what = "others" if params.keys() != expected.keys() else "other arrays"
        raise ValueError(f"the model's parameters are {what} than when {owner} was made; do model.to(...) before")
