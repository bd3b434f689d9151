"""The box head: the class of a RoI, and where exactly its object is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_size
from npswin.layers import Layer, Linear
from npswin.layers.conv_module import ConvModule
from npswin.layers.layer import check_derivative, keep, kept
from npswin.models.detection.initialization import draw_xavier_uniform
from npswin.types import Array


class BoxHead(Layer):
    """RoI features -> convolutions -> linear layers, all with ReLU -> logits of the classes, and deltas of the box.

    The head of Lin et al. 2017, section 4.2, has two linear layers of 1024 and no convolution; that of the official
    cascade has four convolutions with batch norm, and one linear layer.

    Parameters: shared_convs.i.conv, shared_convs.i.bn, shared_fcs.i, fc_cls, fc_reg. The first linear layer takes
    channels before places, (C, size, size), as in the official layout.

    Args:
        channels: C of the features, and of the convolutions.
        size: bins a side of the features.
        num_classes: K.
        convs, linears: how many of each.
        width: of the linear layers.
        class_agnostic: whether the box has the same deltas whatever its class.
        rng: draws the weights.
        dtype: of the parameters.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        num_classes: int,
        convs: int,
        linears: int,
        width: int,
        class_agnostic: bool,
        rng: np.random.Generator,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_classes, self.class_agnostic = num_classes, check_flag("class_agnostic", class_agnostic)
        width = check_size("width", width)
        self.convs = [ConvModule(channels, channels, 3, rng, dtype) for _ in range(check_size("convs", convs, 0))]
        sizes = [channels * size**2] + [width] * (check_size("linears", linears) - 1)
        self.linears = [Linear(in_features, width, rng, dtype=dtype) for in_features in sizes]
        self.classifier = Linear(width, num_classes + 1, rng, dtype=dtype)
        self.regressor = Linear(width, 4 if class_agnostic else 4 * num_classes, rng, dtype=dtype)
        for linear in self.linears:
            draw_xavier_uniform(linear, rng)
        for layer, std in ((self.classifier, 0.01), (self.regressor, 0.001)):
            weight = layer.own_params["weight"]
            weight[...] = rng.normal(0, std, weight.shape)
        for place, conv in enumerate(self.convs):
            self.add_child(f"shared_convs.{place}", conv)
        for place, linear in enumerate(self.linears):
            self.add_child(f"shared_fcs.{place}", linear)
        self.add_child("fc_cls", self.classifier)
        self.add_child("fc_reg", self.regressor)

    def __call__(self, features: Array) -> tuple[Array, Array]:  # type: ignore[override]
        """Logits (R, K + 1), the background last, and deltas (R, K, 4) or (R, 1, 4), of features (R, s, s, C)."""
        x = features
        for conv in self.convs:
            x = conv(x)
        x = _flat(x)
        for linear in self.linears:
            x = dispatch.relu(linear(x))
        return self.classifier(x), self.regressor(x).reshape(len(x), -1, 4)

    def forward(self, features: Array, rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """As `__call__`, with the batch norm's statistics from these features, and the cache for `backward`."""
        x, conv_caches, linear_caches = features, [], []
        for conv in self.convs:
            x, cache = conv.forward(x)
            conv_caches.append(cache)
        shape = x.shape
        x = _flat(x)
        for linear in self.linears:
            x, linear_cache = linear.forward(x)
            x, relu_cache = dispatch.relu_forward(x)
            linear_caches.append((linear_cache, relu_cache))
        logits, classifier_cache = self.classifier.forward(x)
        deltas, regressor_cache = self.regressor.forward(x)
        outputs = [logits, deltas.reshape(len(x), -1, 4)]
        return outputs, keep(self, outputs, (conv_caches, shape, linear_caches, classifier_cache, regressor_cache))

    def backward(self, doutputs: Sequence[Array], cache: Any) -> Array:  # type: ignore[override]
        """The derivative by the features (R, s, s, C); adds to `grads`.

        Args:
            doutputs: the derivatives by logits (R, K + 1) and by deltas (R, K or 1, 4).
            cache: from `forward`.
        """
        cache = kept(self, cache)
        for name, derivative, output in zip(("dlogits", "ddeltas"), doutputs, cache.outputs, strict=True):
            check_derivative(name, derivative, output)
        conv_caches, shape, linear_caches, classifier_cache, regressor_cache = cache.content
        dlogits, ddeltas = doutputs
        dx = self.classifier.backward(dlogits, classifier_cache)
        dx = dx + self.regressor.backward(ddeltas.reshape(len(ddeltas), -1), regressor_cache)
        for linear, (linear_cache, relu_cache) in zip(reversed(self.linears), reversed(linear_caches), strict=True):
            dx = linear.backward(dispatch.relu_backward(dx, relu_cache), linear_cache)
        rois, height, width, channels = shape
        dx = dx.reshape(rois, channels, height, width).transpose(0, 2, 3, 1).copy()
        for conv, conv_cache in zip(reversed(self.convs), reversed(conv_caches), strict=True):
            dx = conv.backward(dx, conv_cache)
        return dx


def _flat(x: Array) -> Array:
    """(R, h, w, C) -> (R, C·h·w)."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
