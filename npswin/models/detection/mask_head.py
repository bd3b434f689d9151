"""The mask head (He et al. 2017, section 3 and figure 4 right): for each class, which part of a RoI is the object."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_size
from npswin.layers import Layer
from npswin.layers.conv2d import Conv2d
from npswin.layers.conv_transpose2d import ConvTranspose2d
from npswin.layers.layer import keep, kept_for
from npswin.types import Array


class MaskHead(Layer):
    """RoI features -> convolutions 3×3 -> transposed convolution 2×2, all with ReLU -> a logit for each class.

    Parameters: convs.i.conv, upsample, conv_logits, weight and bias.

    Args:
        channels: of the features and of all convolutions.
        num_classes: K.
        convs: how many, 4 in the paper.
        rng: draws the weights.
        dtype: of the parameters.
    """

    def __init__(
        self, channels: int, num_classes: int, convs: int, rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.convs = [Conv2d(channels, channels, 3, rng, dtype=dtype) for _ in range(check_size("convs", convs))]
        self.upsample = ConvTranspose2d(channels, channels, 2, rng, dtype=dtype)
        self.classifier = Conv2d(channels, num_classes, 1, rng, dtype=dtype)
        for place, conv in enumerate(self.convs):
            self.add_child(f"convs.{place}.conv", conv)
        self.add_child("upsample", self.upsample)
        self.add_child("conv_logits", self.classifier)

    def __call__(self, features: Array) -> Array:
        """Logits (R, 2s, 2s, K) of features (R, s, s, C)."""
        x = features
        for layer in (*self.convs, self.upsample):
            x = dispatch.relu(layer(x))
        return self.classifier(x)

    def forward(self, features: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """As `__call__`, and the cache for `backward`."""
        x, caches = features, []
        for layer in (*self.convs, self.upsample):
            x, layer_cache = layer.forward(x)
            x, relu_cache = dispatch.relu_forward(x)
            caches.append((layer_cache, relu_cache))
        logits, classifier_cache = self.classifier.forward(x)
        return logits, keep(self, (logits,), (caches, classifier_cache))

    def backward(self, dlogits: Array, cache: Any) -> Array:
        """dlogits (R, 2s, 2s, K) -> dfeatures (R, s, s, C); adds to `grads`."""
        caches, classifier_cache = kept_for(self, dlogits, cache)
        dx = self.classifier.backward(dlogits, classifier_cache)
        for layer, (layer_cache, relu_cache) in zip(
            reversed((*self.convs, self.upsample)), reversed(caches), strict=True
        ):
            dx = layer.backward(dispatch.relu_backward(dx, relu_cache), layer_cache)
        return dx
