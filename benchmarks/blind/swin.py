"""A plain Swin Transformer in PyTorch, built as the official code is, that records every tensor under the key's names.

Each step is a method of its own, so that a mistake is a subclass that overrides one. It shares no code with npswin.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.window_attention import WindowAttention

FIRST, SHIFTED = "layers.0.blocks.0", "layers.0.blocks.1"  # the blocks of the first stage
SINGLE, LAST = "layers.1.blocks.0", "layers.1.blocks.1"  # the blocks of the second stage, which has a single window


class Port(WindowAttention):
    """A Swin with a classification head.

    Args:
        config: the arguments of `npswin.SwinTransformer`.
        params: by official names.
        pixels: (B, 3, H, W), from 0 to 255.
        labels: (B,).
        seed: of what a mistake draws.
    """

    born = ""  # the first tensor that the mistake makes wrong
    cause = ""  # a regular expression that a right description of the mistake matches

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    eps = 1e-5
    mask_value = -100.0

    def __init__(
        self, config: dict[str, Any], params: dict[str, np.ndarray], pixels: np.ndarray, labels: np.ndarray, seed: int
    ) -> None:
        self.config, self.pixels, self.labels = config, torch.tensor(pixels), torch.tensor(labels)
        self.random = torch.Generator().manual_seed(seed)
        loaded = {name: torch.tensor(np.asarray(value), dtype=torch.float32) for name, value in params.items()}
        self.params = {name: value.detach().clone().requires_grad_() for name, value in self.load(loaded).items()}
        self.tensors: dict[str, Tensor] = {}
        self.with_gradient: dict[str, Tensor] = {}

    def run(self) -> dict[str, np.ndarray]:
        """Compute the loss and its gradients; return every tensor by name."""
        x = self.record("input", self.preprocess(self.pixels).requires_grad_())
        loss = self.record("loss", self.loss(self.forward(x), self.labels))
        self.backward(loss)
        self.after_backward()
        leaves = self.with_gradient | self.params
        gradients = {f"grad/{name}": tensor.grad for name, tensor in leaves.items() if tensor.grad is not None}
        found = {name: tensor.numpy() for name, tensor in (self.tensors | gradients).items()}
        return self.dump({name: np.array(array, order="C") for name, array in found.items()})

    def record(self, name: str, tensor: Tensor) -> Tensor:
        """Store a tensor for the dump."""
        self.tensors[name] = tensor.detach().clone()
        if tensor.requires_grad:
            tensor.retain_grad()
            self.with_gradient[name] = tensor
        return tensor

    # Around the model.

    def load(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return params

    def preprocess(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def after_backward(self) -> None:
        """What a training loop does to the gradients before the optimizer's step."""

    def dump(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return arrays

    # The model.

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage, depth in enumerate(self.config["depths"]):
            for index in range(depth):
                x = self.block(x, f"layers.{stage}.blocks.{index}")
            if stage < len(self.config["depths"]) - 1:
                x = self.downsample(x, f"layers.{stage}.downsample")
        x = self.record("norm", self.norm(x, "norm"))
        x = self.record("avgpool", self.pool(x))
        return self.record("head", self.head(x))

    def patch_embed(self, x: Tensor) -> Tensor:
        p = self.config["patch_size"]
        x = F.pad(x, (0, -x.shape[3] % p, 0, -x.shape[2] % p))
        x = self.record("patch_embed.proj", self.patches(x, p))
        return self.record("patch_embed.norm", self.norm(x, "patch_embed.norm"))

    def patches(self, x: Tensor, p: int) -> Tensor:
        weight, bias = self.params["patch_embed.proj.weight"], self.params["patch_embed.proj.bias"]
        return F.conv2d(x, weight, bias, stride=p).permute(0, 2, 3, 1)

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, self.eps)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.params[f"{name}.weight"], self.params.get(f"{name}.bias"))

    def downsample(self, x: Tensor, at: str) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = self.record(f"{at}.concat", self.concat(x))
        x = self.record(f"{at}.norm", self.norm(x, f"{at}.norm"))
        return self.record(f"{at}.reduction", self.linear(x, f"{at}.reduction"))

    def concat(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).mean(1)

    def head(self, x: Tensor) -> Tensor:
        return self.linear(x, "head")

    # A block.

    def block(self, x: Tensor, at: str) -> Tensor:
        branch = self.record(f"{at}.norm1", self.norm(x, f"{at}.norm1"))
        x = self.record(f"{at}.residual", self.add(x, self.windows(branch, at), f"{at}.residual"))
        branch = self.record(f"{at}.norm2", self.norm(x, f"{at}.norm2"))
        return self.record(at, self.add(x, self.mlp(branch, at), at))

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + branch

    def mlp(self, x: Tensor, at: str) -> Tensor:
        x = self.record(f"{at}.mlp.fc1", self.linear(x, f"{at}.mlp.fc1"))
        x = self.record(f"{at}.mlp.act", self.gelu(x, at))
        return self.record(f"{at}.mlp.fc2", self.linear(x, f"{at}.mlp.fc2"))

    def gelu(self, x: Tensor, at: str) -> Tensor:
        return F.gelu(x)

    def window_and_shift(self, at: str) -> tuple[int, int]:
        """The side of the windows and the shift of a block."""
        _, stage, _, index = at.split(".")
        sides = [-(-side // self.config["patch_size"]) for side in self.config["img_size"]]
        for _ in range(int(stage)):
            sides = [(side + 1) // 2 for side in sides]
        if min(sides) <= self.config["window_size"]:
            return min(sides), 0
        return self.config["window_size"], self.config["window_size"] // 2 * (int(index) % 2)

    def windows(self, x: Tensor, at: str) -> Tensor:
        """Attention in windows, of a map (B, H, W, C)."""
        height, width = x.shape[1:3]
        m, shift = self.window_and_shift(at)
        is_padded = height % m > 0 or width % m > 0
        if is_padded:
            x = self.record(f"{at}.attn.padded", self.pad(x, m))
        size = x.shape
        mask = None
        if shift:
            x = self.record(f"{at}.attn.shifted", self.shift(x, shift))
            mask = self.record(f"{at}.attn.mask", self.mask(size[1], size[2], m, shift))
        x = self.record(f"{at}.attn.windows", self.partition(x, m))
        x = self.record(f"{at}.attn.proj", self.attention(x, at, mask))
        x = self.record(f"{at}.attn.joined", self.reverse(x, m, size))
        if shift:
            x = self.record(f"{at}.attn.unshifted", self.unshift(x, shift))
        return self.record(f"{at}.attn.cropped", self.crop(x, height, width)) if is_padded else x

    def pad(self, x: Tensor, m: int) -> Tensor:
        return F.pad(x, (0, 0, 0, -x.shape[2] % m, 0, -x.shape[1] % m))

    def crop(self, x: Tensor, height: int, width: int) -> Tensor:
        return x[:, :height, :width].contiguous()

    def shift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x, (-shift, -shift), (1, 2))

    def unshift(self, x: Tensor, shift: int) -> Tensor:
        return torch.roll(x, (shift, shift), (1, 2))

    def partition(self, x: Tensor, m: int) -> Tensor:
        """(B, H, W, C) to (B·nW, N, C)."""
        batch, height, width, channels = x.shape
        x = x.view(batch, height // m, m, width // m, m, channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, m * m, channels)

    def reverse(self, x: Tensor, m: int, size: Any) -> Tensor:
        """(B·nW, N, C) to (B, H, W, C)."""
        batch, height, width, channels = size
        x = x.view(batch, height // m, width // m, m, m, channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        """(nW, N, N)."""
        return self.mask_of_regions(self.regions(height, width, m, shift), m)

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        """A number for each region of the shifted map, (1, H, W, 1)."""
        regions = torch.zeros(1, height, width, 1)
        slices = (slice(0, -m), slice(-m, -shift), slice(-shift, None))
        for row, rows in enumerate(slices):
            for column, columns in enumerate(slices):
                regions[:, rows, columns] = 3 * row + column
        return regions

    def mask_of_regions(self, regions: Tensor, m: int) -> Tensor:
        windows = Port.partition(self, regions, m)[:, :, 0]
        differ = windows[:, None, :] != windows[:, :, None]
        return torch.zeros(differ.shape).masked_fill(differ, self.mask_value)
