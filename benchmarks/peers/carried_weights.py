"""The weights of an npswin model in a PyTorch module, and the official names of the module's parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.weights.choose import choose_tensors
from npswin.weights.load import HasParams, model_tensors


def official_tensors(model: HasParams, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors of a PyTorch module, or their gradients, under the names of the npswin model of the same kind.

    Args:
        model: the npswin model.
        tensors: by the names of transformers and torchvision.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return choose_tensors(model_tensors(model), tensors, shapes, "the peer", None, "all").official


def carry_weights(model: HasParams, peer: Any) -> dict[str, str]:
    """Set a PyTorch module's parameters and buffers to those of an npswin model.

    Where a number goes is found by sending the addresses of the module's numbers through the converter, which knows the
    other way. Numbers that the converter leaves out stay as they are: torchvision's box deltas and mask of the
    background, which nothing reads.

    Returns:
        The official name of each parameter of the module that has one; transformers' backbones have a last norm that
        nothing reads.
    """
    import torch

    tensors = peer.state_dict()
    ends = np.cumsum([tensor.numel() for tensor in tensors.values()])
    addresses = {
        name: np.arange(end - tensor.numel(), end, dtype=np.float64).reshape(tuple(tensor.shape))
        for (name, tensor), end in zip(tensors.items(), ends, strict=True)
    }
    own, names = model_tensors(model), list(tensors)
    numbers, is_carried = np.zeros(ends[-1]), np.zeros(ends[-1], bool)
    official_of: dict[str, str] = {}
    for official, address in official_tensors(model, addresses).items():
        places = address.astype(np.int64).ravel()
        numbers[places], is_carried[places] = own[official].ravel(), True
        official_of |= {names[one]: official for one in np.unique(np.searchsorted(ends, places, side="right"))}
    with torch.no_grad():
        for tensor, end in zip(tensors.values(), ends, strict=True):
            part = slice(end - tensor.numel(), end)
            flat = tensor.numpy().ravel().astype(np.float64)
            carried = np.where(is_carried[part], numbers[part], flat).reshape(tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(carried))
    return {name: official_of[name] for name, _ in peer.named_parameters() if name in official_of}
