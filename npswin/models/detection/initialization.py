"""How weights of the dense heads begin."""

import math

import numpy as np

from npswin.layers import Layer


def draw_xavier_uniform(layer: Layer, rng: np.random.Generator) -> None:
    """Draw a layer's weight (out, in, ...) anew, uniformly within ±√(6 / (fan in + fan out)).

    This keeps the variance both of a map and of its derivative (Glorot, Bengio 2010, equation 16). A fan is the
    channels of one side times the places of the kernel.
    """
    weight = layer.own_params["weight"]
    bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])))
    weight[...] = rng.uniform(-bound, bound, weight.shape)
