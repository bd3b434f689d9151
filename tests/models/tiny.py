"""Models small enough to check every derivative of, and images for them."""

import numpy as np

import npswin

TINY = {
    "img_size": 16,
    "patch_size": 2,
    "embed_dim": 4,
    "depths": (2, 1),
    "num_heads": (1, 2),
    "window_size": 3,
    "num_classes": 3,
}


def tiny(**more):
    """A model of some hundred parameters in float64, all drawn so that no term vanishes."""
    model = npswin.SwinTransformer(**{**TINY, "mlp_ratio": 1.5, "drop_path_rate": 0.0, "dtype": "float64", **more})
    rng = np.random.default_rng(7)
    for name, value in model.params.items():
        value[...] = rng.standard_normal(value.shape) * 0.5 + ("norm" in name and name.endswith("weight"))
    return model


def model_of_four_blocks(**more):
    """Two stages of two blocks, for images of any size."""
    return tiny(depths=(2, 2), num_heads=(2, 4), img_size=None, **more)


def images(size, batch=2, channels=3):
    """Drawn images, (batch, channels, *size)."""
    return np.random.default_rng(1).standard_normal((batch, channels, *size))
