"""Right calls of `SwinTransformer`, its configurations and what explains it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.models import CONFIGS
from npswin.models.flops import Flops
from tests.tools.misuse_examples.dense_models import MODEL_EXAMPLES
from tests.tools.misuse_examples.example import IMG_SIZE, LARGEST, SIZE, Example, images, is_input, rng
from tests.tools.misuse_values import (
    FLAG,
    GENERATOR,
    RATE,
    Kind,
    array,
    choice,
    either,
    integer,
    like,
    listed,
    optional,
)
from tests.training.tiny import tiny_model


def is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1)


_STAGES = Kind(
    lambda value: (
        (isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1))
        and len(value) > 0
        and all(map(SIZE.accepts, value))
    ),
    lambda value: [int(one) for one in value],
)

_MODEL_KINDS: dict[str, Kind] = {
    "img_size": optional(IMG_SIZE),
    "num_classes": integer(0, LARGEST),
    "depths": _STAGES,
    "num_heads": _STAGES,
    **dict.fromkeys(("ape", "patch_norm", "merge_norm", "merge_bias", "norm_after_pool"), FLAG),
    **dict.fromkeys(("drop_rate", "attn_drop_rate", "drop_path_rate"), RATE),
}

_MODEL_ARGUMENTS = {
    "img_size": 8, "patch_size": 2, "in_chans": 3, "num_classes": 3, "embed_dim": 4, "depths": (2,), "num_heads": (2,),
    "window_size": 2, "mlp_ratio": 2.0, "drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.1, "head_dim": 2,
    "ape": True,
}  # fmt: skip

_MODEL_INPUT = {"images": array("f", is_input), "rng": optional(GENERATOR)}


def _model_method(**arguments: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"self": tiny_model(), "images": images(), **{name: make_() for name, make_ in arguments.items()}}


def _backward(of_maps: bool) -> dict[str, Any]:
    model = tiny_model()
    y, model_cache = model.feature_maps_forward(images()) if of_maps else model.forward(images())
    return {
        "self": model,
        "dmaps" if of_maps else "dlogits": [np.cos(y[0])] if of_maps else np.cos(y),
        "cache": model_cache,
    }


_BLOCK = either(integer(-2, 1), choice("layers.0.blocks.0", "layers.0.blocks.1"))

_PLACE = Kind(
    lambda value: is_vector(value) and len(value) == 2 and all(integer(0, 3).accepts(one) for one in value),
    lambda value: tuple(map(int, value)),
)

_CLASSES = either(
    integer(0, 2),
    Kind(
        lambda value: is_vector(value) and len(value) == 2 and all(integer(0, 2).accepts(one) for one in value),
        lambda value: list(map(int, value)),
    ),
)


EXAMPLES: dict[str, Example] = {
    "npswin.models.Flops.within": Example(
        lambda: {"self": Flops({"a.b": 2, "a.c": 3}), "name": "a"}, {"name": choice("a")}
    ),
    "npswin.models.SwinTransformer.__init__": Example(lambda: dict(_MODEL_ARGUMENTS), _MODEL_KINDS),
    **{
        f"npswin.models.SwinTransformer.{name}": Example(_model_method(), _MODEL_INPUT)
        for name in ("__call__", "activations", "attention_maps", "feature_maps")
    },
    **{
        f"npswin.models.SwinTransformer.{name}": Example(_model_method(rng=rng), _MODEL_INPUT)
        for name in ("forward", "feature_maps_forward")
    },
    "npswin.models.SwinTransformer.backward": Example(
        lambda: _backward(False), {"dlogits": like(np.ones((2, 3), np.float32))}
    ),
    "npswin.models.SwinTransformer.feature_maps_backward": Example(
        lambda: _backward(True), {"dmaps": listed(like(np.ones((2, 8, 4, 4), np.float32)), at_least=1)}
    ),
    "npswin.models.SwinTransformer.flops": Example(
        lambda: {"self": tiny_model(), "image_size": 8}, {"image_size": optional(either(integer(1), IMG_SIZE))}
    ),
    "npswin.models.SwinTransformer.save": Example(lambda: {"self": tiny_model(), "path": "model.safetensors"}),
    **{f"npswin.models.{name}": Example(*example) for name, example in MODEL_EXAMPLES.items()},
    "npswin.models.attention_maps": Example(
        lambda: {"model": tiny_model(), "images": images(), "block": 1, "query": (2, 1), "head": 0, "pixels": True},
        {
            "images": array("f", is_input),
            "block": _BLOCK,
            "query": optional(_PLACE),
            "head": optional(integer(0, 1)),
            "pixels": FLAG,
        },
    ),
    "npswin.models.grad_cam": Example(
        lambda: {"model": tiny_model(), "images": images(), "classes": [0, 2], "block": 1, "pixels": True},
        {"images": array("f", is_input), "classes": optional(_CLASSES), "block": _BLOCK, "pixels": FLAG},
        rounds=True,
    ),
    "npswin.models.create_model": Example(
        lambda: {"name": "swin_nano_patch2_window4_32", "num_classes": 2, "depths": (1,), "num_heads": (1,)},
        {**_MODEL_KINDS, "name": choice(*CONFIGS)},
    ),
    "npswin.models.list_models": Example(lambda: {"pattern": "*nano*"}),
    "npswin.models.warmup": Example(lambda: {"dtype": "float32", "training": False}),
}
