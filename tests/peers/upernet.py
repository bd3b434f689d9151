"""transformers' UPerNet in float64: losses, logits, batch norm's buffers, and every gradient.

python -m tests.peers.upernet     writes the golden files; needs pip install 'npswin[peers]'
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.peers.carried_weights import official_tensors
from npswin import UPerNet
from tests.peers.reference import redraw

FOLDER = Path(__file__).with_name("golden")
IGNORED = 255


@dataclass
class Case:
    """One comparison: arguments of the backbone and of the heads, and the images' shape."""

    name: str
    backbone: dict[str, Any]
    images: tuple[int, int, int, int]
    heads: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where the peer's results are."""
        return FOLDER / f"upernet-{self.name}.safetensors"

    @property
    def model(self) -> dict[str, Any]:
        """The keyword arguments of `npswin.UPerNet`, with nothing dropped."""
        heads = {"num_classes": 3, "channels": 4, "auxiliary_channels": 3, "dropout": 0.0, **self.heads}
        backbone = {**self.backbone, "in_chans": self.images[1], "drop_path_rate": 0.0}
        return {**heads, "backbone": backbone, "dtype": "float64"}


MINI = {
    "embed_dim": 4,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 1, 1, 1),
    "window_size": 3,
    "patch_size": 2,
    "mlp_ratio": 1.0,
}

GOLDEN_CASES = [
    Case("odd", {**MINI, "depths": (2, 1, 1, 1)}, (2, 3, 37, 50)),
    Case("no-auxiliary", MINI, (3, 1, 32, 16), {"auxiliary_channels": 0, "pool_scales": (1, 4)}),
]
CASES = [
    *GOLDEN_CASES,
    Case(
        "four-stages",
        {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4), "window_size": 4, "patch_size": 4},
        (2, 3, 130, 99),
        {"num_classes": 7, "channels": 16, "auxiliary_channels": 8},
    ),
]


def module(case: Case) -> Any:
    """transformers' model, in float64, with weights that are large enough for every term to count."""
    from benchmarks.peers.upernet import build_upernet

    made = build_upernet(UPerNet(**case.model).config)
    redraw(made, 0)
    return made


def run(case: Case) -> dict[str, np.ndarray]:
    """A step of training and an inference after it: all that the peer computes, by name.

    "before/NAME" is the state before the step, "after/NAME" the buffers after it, "grads/NAME" are gradients; under the
    official names.
    """
    import torch

    peer = module(case)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(case.images, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, case.model["num_classes"], (case.images[0], *case.images[2:]), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORED
    before = {name: value.detach().clone().numpy() for name, value in peer.state_dict().items()}
    outputs = peer.train()(images, labels=labels)
    outputs.loss.backward()
    after = {name: value.detach().clone().numpy() for name, value in peer.state_dict().items()}
    grads = {name: value.grad.numpy() for name, value in peer.named_parameters() if value.grad is not None}
    with torch.no_grad():
        inference = peer.eval()(images).logits
    found = {
        "images": images.detach().numpy(),
        "labels": labels.numpy(),
        "loss": outputs.loss.detach().numpy(),
        "inference": inference.numpy(),
        "dimages": images.grad.numpy(),
    }
    for kind, tensors in (("before", before), ("after", after), ("grads", grads)):
        named = official(tensors, case)
        if kind == "after":
            named = {name: tensor for name, tensor in named.items() if "running" in name or "num_batches" in name}
        found |= {f"{kind}/{name}": tensor for name, tensor in named.items()}
    return {name: np.array(tensor, order="C") for name, tensor in found.items()}


def official(tensors: dict[str, np.ndarray], case: Case) -> dict[str, np.ndarray]:
    """transformers' tensors under the names of the official dense-prediction code."""
    return official_tensors(UPerNet(**case.model), tensors)


def read_golden(case: Case) -> dict[str, np.ndarray]:
    """What `run` returned, from the case's file."""
    return load_file(case.file)


if __name__ == "__main__":
    for each in GOLDEN_CASES:
        save_file(run(each), each.file)
        print(each.file.name, each.file.stat().st_size, "bytes")
