"""A layer that takes and returns lists of arrays, as gradient checks can call it."""

import numpy as np


class Joined:
    """The outputs of a layer's forward pass as one vector, of inputs that are given one by one.

    Args:
        layer: with `forward`, `backward`, `params` and `grads`.
        is_list: whether the layer takes its inputs as one list.
    """

    def __init__(self, layer, is_list=True):
        self.layer, self.is_list = layer, is_list

    @property
    def params(self):
        return self.layer.params

    @property
    def grads(self):
        return self.layer.grads

    def forward(self, *inputs):
        outputs, cache = self.layer.forward(list(inputs) if self.is_list else inputs[0])
        return np.concatenate([y.ravel() for y in outputs]), (cache, [y.shape for y in outputs])

    def backward(self, dy, cache):
        cache, shapes = cache
        stops = np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = [part.reshape(shape) for part, shape in zip(np.split(dy, stops[:-1]), shapes, strict=True)]
        dx = self.layer.backward(parts, cache)
        return tuple(dx) if self.is_list else dx
