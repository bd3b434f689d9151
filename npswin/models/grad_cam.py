"""Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization").

Section 3, for the map A (H', W', C) that a block returns, and the logit yᶜ of a class:

    αₖ = 1/Z Σ_ij ∂yᶜ/∂A_ijk            equation 1: the weight of channel k; Z = H'W'
    L_ij = ReLU(Σ_k αₖ A_ijk)           equation 2: where the map speaks for the class

The derivative is that of inference, by the backward pass of the layers after the block: nothing is dropped.
"""

from typing import Any

import numpy as np

from npswin.checks import check_flag, check_integer, describe
from npswin.devices import is_array, to_device_of, to_host
from npswin.models.block_maps import as_numpy, find_block, input_of, to_pixels, token_side
from npswin.models.swin import SwinTransformer
from npswin.types import Array


def grad_cam(
    model: SwinTransformer,
    images: Array,
    classes: Any = None,
    block: str | int = -1,
    *,
    pixels: bool = False,
) -> Array:
    """Where an image speaks for a class, by the output of one block.

        cam = npswin.grad_cam(model, images, pixels=True)           (B, H, W), for the predicted classes

    A map has no scale of its own: for a picture, divide it by its maximum, which is 0 where nothing speaks for the
    class. The model's gradients do not change.

    Args:
        model: with a head, in inference, without dropout; on any device.
        images: (B, c, H, W) of any size, normalized, as the model takes them.
        classes: a class for all images or one for each; None for those with the largest logits.
        block: its name, or its number among all blocks, from 0, or from the end as -1.
        pixels: whether maps are interpolated bilinearly to the pixels of the images, as in the paper.

    Returns:
        L, (B, H', W') with a number for each token, 0 or more; or (B, H, W) where `pixels` is set. A NumPy array.

    Raises:
        ValueError: an argument that does not fit, named; or the model has no head.
    """
    place = find_block(model, block)
    check_flag("pixels", pixels)
    output, derivative = derivative_by_map(model, images, classes, place)
    weights = derivative.mean(axis=(1, 2))
    cam = np.maximum((output @ weights[:, None, :, None])[..., 0], 0)
    return to_pixels(cam, token_side(model, place), images.shape[2:]) if pixels else cam


def derivative_by_map(model: SwinTransformer, images: Array, classes: Any, place: int) -> tuple[Array, Array]:
    """The output A of a layer of the trunk, and the derivative by it of each image's logit yᶜ.

    Args:
        model, images, classes: see `grad_cam`.
        place: of the layer in the trunk.

    Returns:
        A and ∂yᶜ/∂A, both (B, H', W', C).
    """
    if not model.num_classes:
        raise ValueError("model: got num_classes=0, expected a head, since the derivative is that of a logit")
    output = x = input_of(model, images, place + 1)
    twin, caches = model.without_dropout(), []
    after = [layer for _, layer in (twin.trunk + twin.tail)[place + 1 :]]
    for layer in after:
        x, cache = layer.forward(x)
        caches.append(cache)
    logits = to_host(x)
    chosen = logits.argmax(axis=1) if classes is None else _checked_classes(classes, *logits.shape)
    dx = to_device_of((np.arange(logits.shape[1]) == chosen[:, None]).astype(logits.dtype), x)
    for layer in reversed(after):
        dx = layer.backward(dx, caches.pop())
    return as_numpy(output), as_numpy(dx)


def _checked_classes(classes: Any, batch: int, num_classes: int) -> Array:
    """(B,) integers."""
    if isinstance(classes, list | tuple) or (is_array(classes) and classes.ndim == 1):
        if len(classes) != batch:
            raise ValueError(f"classes: got {len(classes)}, expected one class, or {batch}, one for each image")
        numbers = to_host(classes)
        return np.array([check_integer(f"classes[{i}]", one, 0, num_classes - 1) for i, one in enumerate(numbers)])
    if is_array(classes) and classes.ndim:
        raise ValueError(f"classes: got {describe(classes)}, expected one class, or one for each image")
    return np.full(batch, check_integer("classes", classes, 0, num_classes - 1))
