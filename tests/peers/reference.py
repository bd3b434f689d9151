"""Independent implementations in PyTorch, run in float64: they return logits and every gradient.

Each peer is described by the keyword arguments of `npswin.SwinTransformer` that make the same model.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Case:
    """One comparison: a peer, the model's arguments, the images' shape."""

    name: str
    peer: str
    model: dict[str, Any]
    images: tuple[int, int, int, int]
    # transformers clamps windows to small maps at run time. `always_partition` turns that off; npswin never clamps at
    # run time, only at construction.
    always_partition: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


SMALL = {"embed_dim": 12, "depths": (2, 2), "num_heads": (2, 4), "patch_size": 2, "window_size": 4, "num_classes": 5}

CASES = [
    Case("shifted, maps that windows divide", "transformers", {**SMALL, "img_size": 32}, (2, 3, 32, 32)),
    Case("last stage is one window", "transformers", {**SMALL, "img_size": 16}, (2, 3, 16, 16)),
    Case(
        "three stages, patch 2, no qkv bias",
        "transformers",
        {**SMALL, "img_size": 32, "depths": (2, 3, 2), "num_heads": (1, 2, 4), "qkv_bias": False},
        (2, 3, 32, 32),
    ),
    Case("window 3, odd shift", "transformers", {**SMALL, "img_size": 48, "window_size": 3}, (2, 3, 48, 48)),
    Case("maps padded to windows", "transformers", {**SMALL, "img_size": 64}, (2, 3, 36, 28), always_partition=True),
    Case("odd maps, padded merging", "transformers", {**SMALL, "img_size": 64}, (2, 3, 38, 26), always_partition=True),
    Case(
        "pixels that patches do not divide",
        "transformers",
        {**SMALL, "img_size": 64},
        (2, 3, 35, 27),
        always_partition=True,
    ),
    Case(
        "maps smaller than the window", "transformers", {**SMALL, "img_size": 64}, (2, 3, 9, 5), always_partition=True
    ),
    Case("one row of tokens", "transformers", {**SMALL, "img_size": 64}, (1, 3, 2, 31), always_partition=True),
    Case("absolute position embedding", "transformers", {**SMALL, "img_size": 32, "ape": True}, (2, 3, 32, 32)),
    Case(
        "one channel, wide MLP",
        "transformers",
        {**SMALL, "img_size": 32, "in_chans": 1, "mlp_ratio": 6.0},
        (3, 1, 32, 32),
    ),
    Case(
        "Swin-T's stages and heads at 64 pixels",
        "transformers",
        {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "img_size": 256, "num_classes": 7},
        (1, 3, 64, 64),
        always_partition=True,
    ),
]

SWIN_TRANSFORMER_PYTORCH_CASES = [
    Case("shared relative bias", "swin-transformer-pytorch", {"position_bias": "shared"}, (2, 3, 64, 64)),
    Case("full bias", "swin-transformer-pytorch", {"position_bias": "full"}, (2, 3, 64, 64)),
    Case(
        "window 4, wide heads, oblong",
        "swin-transformer-pytorch",
        {"position_bias": "shared", "window_size": 4, "head_dim": 10},
        (1, 3, 256, 128),
    ),
]


@dataclass
class Reference:
    """A peer's results, all in float64, under the peer's own names."""

    state: dict[str, np.ndarray]
    images: np.ndarray
    logits: np.ndarray
    dlogits: np.ndarray
    dimages: np.ndarray
    grads: dict[str, np.ndarray]


def redraw(module, seed):
    """Draw weights that are large enough for every term to count; new models have zeros and ones."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.requires_grad:
                continue
            scale = 0.5 if parameter.ndim < 2 else 1 / np.sqrt(parameter[0].numel())
            centre = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(centre + scale * noise)


def transformers_module(case: Case, attention: str) -> tuple[Any, dict[str, Any]]:
    """transformers' Swin for image classification in float64, and further arguments of its calls.

    Args:
        case: a comparison.
        attention: "sdpa", or "eager", which returns probabilities and computes its softmax in float32.
    """
    from transformers import SwinConfig, SwinForImageClassification

    model = case.model
    config = SwinConfig(
        image_size=model["img_size"],
        patch_size=model.get("patch_size", 4),
        num_channels=model.get("in_chans", 3),
        embed_dim=model["embed_dim"],
        depths=list(model["depths"]),
        num_heads=list(model["num_heads"]),
        window_size=model.get("window_size", 7),
        mlp_ratio=model.get("mlp_ratio", 4.0),
        qkv_bias=model.get("qkv_bias", True),
        use_absolute_embeddings=model.get("ape", False),
        num_labels=model["num_classes"],
        attn_implementation=attention,
    )
    module = SwinForImageClassification(config).double().eval()
    return module, {"always_partition": True} if case.always_partition else {}


def run_transformers(case: Case, seed: int = 0) -> Reference:
    """transformers' Swin for image classification."""
    module, extra = transformers_module(case, "sdpa")
    return _run(module, case, seed, lambda images: module(images, **extra).logits)


def run_other_reading(case: Case, seed: int = 0) -> Reference:
    """The package swin-transformer-pytorch, in a small configuration."""
    import torch
    from swin_transformer_pytorch import SwinTransformer

    arguments = other_reading_arguments(case)
    torch.manual_seed(seed)
    module = SwinTransformer(
        hidden_dim=arguments["embed_dim"],
        layers=arguments["depths"],
        heads=arguments["num_heads"],
        num_classes=arguments["num_classes"],
        head_dim=arguments["head_dim"],
        window_size=arguments["window_size"],
        downscaling_factors=(arguments["patch_size"], 2, 2, 2),
        relative_pos_embedding=arguments["position_bias"] == "shared",
    ).double()
    return _run(module, case, seed, module)


def other_reading_arguments(case: Case) -> dict[str, Any]:
    """The keyword arguments of `npswin.SwinTransformer` for one of SWIN_TRANSFORMER_PYTORCH_CASES."""
    from npswin import SWIN_TRANSFORMER_PYTORCH

    small = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4), "head_dim": 6}
    return {**SWIN_TRANSFORMER_PYTORCH, **small, "patch_size": 4, "window_size": 2, "num_classes": 5, **case.model}


def model_arguments(case: Case) -> dict[str, Any]:
    """The keyword arguments of `npswin.SwinTransformer` for a case of either peer, in float64, nothing dropped."""
    model = case.model if case.peer == "transformers" else other_reading_arguments(case)
    return {**model, "dtype": "float64", "drop_path_rate": 0.0}


def run(case: Case, seed: int = 0) -> Reference:
    """The peer's results for a case."""
    return (run_transformers if case.peer == "transformers" else run_other_reading)(case, seed)


def _run(module, case, seed, forward) -> Reference:
    import torch

    redraw(module, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    images = torch.randn(case.images, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = forward(images)
    dlogits = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    logits.backward(dlogits)
    return Reference(
        {name: value.detach().numpy() for name, value in module.state_dict().items()},
        images.detach().numpy(),
        logits.detach().numpy(),
        dlogits.numpy(),
        images.grad.numpy(),
        {name: value.grad.numpy() for name, value in module.named_parameters() if value.grad is not None},
    )
