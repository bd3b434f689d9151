"""Make the files in golden/: small models of other projects, each with its weights, images and logits.

    python -m tests.weights.make_golden NAME ...

makes those named, with the libraries that are installed; the versions used are written into each file. The committed
ones were made with timm 0.6.13 (timm_older), timm 1.0.31, torchvision 0.29.1, all three under torch 2.14.1, and with
transformers 5.23.0 and swin-transformer-pytorch 0.4.1 (unfold_*) and mmpretrain 1.2.0 (openmmlab) under torch 2.13.0.

Weights and images are rounded to float16, in which the files store them exactly; logits are computed in float64.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from npswin import SWIN_TRANSFORMER_PYTORCH
from npswin.weights import load_tensors, save_tensors

FOLDER = Path(__file__).parent / "golden"

SMALL = {"img_size": 16, "patch_size": 2, "num_classes": 5, "embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4)}
TINY_UNFOLD = {
    **SWIN_TRANSFORMER_PYTORCH,
    "num_classes": 5,
    "embed_dim": 2,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 1, 2),
}

# The file's name: the libraries that make it, npswin's arguments for the same model, the side of its images.
GOLDEN = {
    "timm_older": (("timm", "torch"), {**SMALL, "window_size": 2}, 16),
    "timm": (("timm", "torch"), {**SMALL, "window_size": 4}, 16),
    "torchvision": (("torchvision", "torch"), {**SMALL, "window_size": 2}, 16),
    "transformers_hub": (("transformers", "torch"), {**SMALL, "window_size": 4, "ape": True}, 16),
    "transformers_modules": (("transformers", "torch"), {**SMALL, "window_size": 4, "ape": True}, 16),
    "unfold_relative": (
        ("swin-transformer-pytorch", "torch"),
        {**TINY_UNFOLD, "patch_size": 2, "head_dim": 3, "window_size": 2, "position_bias": "shared"},
        32,
    ),
    "unfold_full": (
        ("swin-transformer-pytorch", "torch"),
        {**TINY_UNFOLD, "patch_size": 1, "head_dim": 2, "window_size": 3, "position_bias": "full"},
        24,
    ),
    "openmmlab": (("mmpretrain", "torch"), {**SMALL, "window_size": 2}, 16),
}


def build(name, model):
    """The peer's module, and how to take its logits."""
    if name.startswith("timm"):
        from timm.models.swin_transformer import SwinTransformer

        names = ("img_size", "patch_size", "num_classes", "embed_dim", "depths", "num_heads", "window_size")
        module = SwinTransformer(**{name: model[name] for name in names})
        return module, module
    if name == "torchvision":
        from torchvision.models import SwinTransformer

        module = SwinTransformer(
            patch_size=[model["patch_size"]] * 2,
            embed_dim=model["embed_dim"],
            depths=list(model["depths"]),
            num_heads=list(model["num_heads"]),
            window_size=[model["window_size"]] * 2,
            num_classes=model["num_classes"],
        )
        return module, module
    if name.startswith("transformers"):
        from transformers import SwinConfig, SwinForImageClassification

        config = SwinConfig(
            image_size=model["img_size"],
            patch_size=model["patch_size"],
            num_labels=model["num_classes"],
            embed_dim=model["embed_dim"],
            depths=list(model["depths"]),
            num_heads=list(model["num_heads"]),
            window_size=model["window_size"],
            use_absolute_embeddings=model["ape"],
            attn_implementation="sdpa",
        )
        module = SwinForImageClassification(config)
        return module, lambda images: module(images).logits
    if name == "openmmlab":
        return _openmmlab(model)
    from swin_transformer_pytorch import SwinTransformer

    module = SwinTransformer(
        hidden_dim=model["embed_dim"],
        layers=model["depths"],
        heads=model["num_heads"],
        head_dim=model["head_dim"],
        num_classes=model["num_classes"],
        window_size=model["window_size"],
        downscaling_factors=(model["patch_size"], 2, 2, 2),
        relative_pos_embedding=model["position_bias"] == "shared",
    )
    return module, module


def _openmmlab(model):
    """mmpretrain's backbone in a classifier, with the names of its ImageClassifier."""
    import torch
    from mmpretrain.models.backbones.swin_transformer import SwinTransformer

    arch = {"embed_dims": model["embed_dim"], "depths": model["depths"], "num_heads": model["num_heads"]}
    last = len(model["depths"]) - 1
    module = torch.nn.Module()
    module.backbone = SwinTransformer(
        arch, model["img_size"], model["patch_size"], window_size=model["window_size"], out_indices=(last,)
    )
    module.head = torch.nn.Module()
    module.head.fc = torch.nn.Linear(model["embed_dim"] * 2**last, model["num_classes"])
    return module, lambda images: module.head.fc(module.backbone(images)[0].mean(dim=(2, 3)))


def state_of(name, module):
    """The module's tensors under the names that its files have."""
    if name == "transformers_hub":
        with TemporaryDirectory() as folder:
            module.save_pretrained(folder)
            return load_tensors(Path(folder) / "model.safetensors")[0]
    return {key: value.detach().numpy() for key, value in module.state_dict().items()}


def make(name):
    """Write one golden file."""
    import torch

    libraries, model, side = GOLDEN[name]
    rng = np.random.default_rng(list(name.encode()))
    torch.manual_seed(0)
    module, forward = build(name, model)
    module.double().train(False)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                is_gain = parameter.ndim == 1 and bool((parameter == 1).all())
                scale = 0.5 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
                values = is_gain + scale * rng.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values.astype(np.float16).astype(np.float64)))
        images = rng.standard_normal((1, 3, side, side)).astype(np.float16)
        logits = forward(torch.from_numpy(images.astype(np.float64))).numpy()
    tensors = {key: _small(value) for key, value in state_of(name, module).items()}
    tensors |= {"golden/images": images, "golden/logits": logits}
    made_with = ", ".join(f"{library} {version(library)}" for library in libraries)
    save_tensors(
        FOLDER / f"{name}.safetensors", tensors, {"model": json.dumps(model, default=str), "made_with": made_with}
    )
    print(f"{name}: {made_with}")


def _small(value):
    return value.astype(np.float16) if np.issubdtype(value.dtype, np.floating) else value


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for wanted in sys.argv[1:]:
        make(wanted)
