"""Right calls of layers."""

import numpy as np

from npswin.layers import Layer
from tests.layers.drawn import make
from tests.tools.misuse_examples.example import IMG_SIZE, Example, is_batch, rng
from tests.tools.misuse_values import GENERATOR, TEXT, Kind, array, choice, dtype, instance, like, listed, optional


def _channels_last(channels: int, rank: int | None = None) -> Kind:
    def check(a):
        shape = a.ndim >= 1 and a.size > 0 and a.shape[-1] == channels and rank in (None, a.ndim)
        return shape and a.dtype == np.float64

    return array("f", check)


def _layer_examples() -> dict[str, Example]:
    kinds = {
        "linear": ("Linear", _channels_last(4)),
        "layer_norm": ("LayerNorm", _channels_last(4)),
        "batch_norm": ("BatchNorm2d", _channels_last(4, 4)),
        "mlp": ("Mlp", _channels_last(4)),
        "window_attention": ("WindowAttention", _channels_last(4, 4)),
        "swin_transformer_block": ("SwinTransformerBlock", _channels_last(4, 4)),
        "patch_embed": ("PatchEmbed", array("f", lambda a: is_batch(a) and a.dtype == np.float64)),
        "patch_merging": ("PatchMerging", _channels_last(4, 4)),
        "mean_pool": ("MeanPool", array("f", lambda a: a.ndim == 4 and a.size > 0 and a.dtype in ("f4", "f8"))),
        "position_embed": ("PositionEmbed", _channels_last(4, 4)),
    }
    found = {}
    for made, (cls, kind) in kinds.items():
        own = {"x": kind, "rng": optional(GENERATOR)}

        def forward(made=made, more=()):
            layer, x = make(made)
            return {"self": layer, "x": x}

        def forward_rng(made=made):
            return {**forward(made), "rng": rng()}

        def backward(made=made):
            layer, x = make(made)
            y, layer_cache = layer.forward(x)
            return {"self": layer, "dy": np.cos(y), "cache": layer_cache}

        dy = {"dy": like(backward()["dy"])}
        found[f"npswin.layers.{cls}.__call__"] = Example(forward, own)
        found[f"npswin.layers.{cls}.forward"] = Example(forward_rng, own)
        found[f"npswin.layers.{cls}.backward"] = Example(backward, dy)
        if cls in ("Mlp", "WindowAttention"):
            found[f"npswin.layers.{cls}.draw_masks"] = Example(forward_rng, own)
        if cls == "WindowAttention":
            found[f"npswin.layers.{cls}.probabilities"] = Example(forward, own)
    return found


def _linear() -> Layer:
    return make("linear")[0]


_GRADIENTS = listed(optional(array("f", lambda a: a.shape == (3, 4))), at_least=1)


EXAMPLES: dict[str, Example] = {
    **_layer_examples(),
    "npswin.layers.Layer.add_parameter": Example(
        lambda: {"self": _linear(), "name": "more", "value": np.ones((2, 3)), "dtype": "float32"},
        {"value": array("biuf", lists=True)},
    ),
    "npswin.layers.Layer.add_buffer": Example(
        lambda: {"self": _linear(), "name": "more", "value": np.ones((2, 3)), "dtype": "float32"},
        {"value": array("biuf", lists=True), "dtype": dtype("float32", "float64", "int64")},
    ),
    "npswin.layers.Layer.add_child": Example(
        lambda: {"self": _linear(), "name": "more", "layer": _linear()}, {"layer": instance(Layer)}
    ),
    "npswin.layers.Layer.select": Example(
        lambda: {"self": _linear(), "names": ("weight", "bias")}, {"names": listed(TEXT, tuple)}
    ),
    "npswin.layers.Layer.accumulate": Example(
        lambda: {"self": _linear(), "names": ("weight",), "gradients": [np.ones((3, 4))]},
        {"names": listed(choice("weight", "bias"), tuple), "gradients": _GRADIENTS},
    ),
    "npswin.layers.Layer.to": Example(lambda: {"self": _linear(), "device": "cpu"}, {"device": choice("cpu", "cuda")}),
    "npswin.layers.BatchNorm2d.__init__": Example(lambda: {"dim": 4, "dtype": "float64", "frozen": True}),
    "npswin.layers.LayerNorm.__init__": Example(lambda: {"dim": 4, "dtype": "float64"}),
    "npswin.layers.Linear.__init__": Example(lambda: {"in_features": 4, "out_features": 3, "rng": rng()}),
    "npswin.layers.Mlp.__init__": Example(lambda: {"dim": 4, "hidden_dim": 3, "rng": rng(), "drop": 0.1}),
    "npswin.layers.PatchEmbed.__init__": Example(
        lambda: {"patch_size": 2, "in_chans": 3, "embed_dim": 4, "rng": rng()}
    ),
    "npswin.layers.PatchMerging.__init__": Example(lambda: {"dim": 4, "rng": rng()}),
    "npswin.layers.PositionEmbed.__init__": Example(
        lambda: {"dim": 4, "grid": (2, 3), "rng": rng(), "drop": 0.1},
        {"grid": optional(Kind(lambda value: isinstance(value, list | tuple) and IMG_SIZE.accepts(value), tuple))},
    ),
    "npswin.layers.SwinTransformerBlock.__init__": Example(
        lambda: {"dim": 4, "num_heads": 2, "window_size": 3, "rng": rng(), "shift_size": 1}
    ),
    "npswin.layers.WindowAttention.__init__": Example(
        lambda: {"dim": 4, "num_heads": 2, "window_size": 3, "rng": rng(), "shift_size": 1}
    ),
}
