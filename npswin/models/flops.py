"""How many floating-point operations a model takes, from the shapes of its weights and its maps.

What is counted are the matrix products, and a multiply-add is two operations: (r, n) times (n, m) takes 2rnm. The
paper's "FLOPs" are multiply-adds, half of that: Swin-T at 224×224 takes 8.98 G operations, 4.49 G multiply-adds, and
Table 1 says 4.5 G. Section 3.2 gives the multiply-adds of one attention layer on an h×w map of C channels:

    Ω(MSA)   = 4hwC² + 2(hw)²C       equation 1: every token sees every token
    Ω(W-MSA) = 4hwC² + 2M²hwC        equation 2: every token sees the M² tokens of its window

4hwC² are the maps to q, k, v and the projection (C² where the heads' channels make up C, as in the paper); the second
term, half each, are q kᵀ and its product with v. Where M does not divide h and w, all of these work on the padded map:
then h and w are those of whole windows.

Norms, softmax, GELU, biases, residuals, pooling and the resampling of a position embedding are not counted. They take
few operations for the memory that they touch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from npswin.checks import check_flag, check_integer, check_text, shown
from npswin.devices import is_array
from npswin.layers import Layer, Linear, MeanPool, PatchEmbed, PatchMerging, SwinTransformerBlock
from npswin.ops.windows import padded_size


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the matrix products for one image.

    Attributes:
        parts: operations by name, in the order of the forward pass. A linear map has the official name of its weight,
            such as "layers.0.blocks.1.mlp.fc1"; q kᵀ and its product with v are "….attn.scores" and "….attn.values".
    """

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Operations, a multiply-add being two."""
        return sum(self.parts.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds, which the paper and most tables call FLOPs."""
        return self.total // 2

    def within(self, name: str) -> int:
        """Operations of one part, or of all parts of a layer or a stage, such as "layers.2".

        Raises:
            ValueError: nothing of this name has a matrix product.
        """
        check_text("name", name)
        found = [count for part, count in self.parts.items() if f"{part}.".startswith(f"{name}.")]
        if not found:
            raise ValueError(f"name: got {shown(name)}, expected one of `parts`, or what some of them begin with")
        return sum(found)


def count_flops(layers: Iterable[tuple[str, Layer]], image_size: Any, training: bool = False) -> Flops:
    """The operations of layers that follow each other.

    Args:
        layers: (name, layer), from the patch embedding to the head.
        image_size: side of the image, or (H, W).
        training: forward and backward pass, three times the forward pass: of each product y = a b, both derivatives
            da = dy bᵀ and db = aᵀ dy take as many operations as y. The derivative by the images is among them.

    Returns:
        The operations for one image.

    Raises:
        ValueError: an argument that does not fit, named.
    """
    check_flag("training", training)
    size = _checked_size(image_size)
    operations = 6 if training else 2  # for each multiply-add of the forward pass
    parts = {}
    for name, layer in layers:
        products, size = _multiply_adds(layer, *size)
        for product, count in products.items():
            parts[f"{name}.{product}" if product else name] = operations * count
    return Flops(parts)


def _multiply_adds(layer: Layer, height: int, width: int) -> tuple[dict[str, int], tuple[int, int]]:
    """Multiply-adds of a layer's matrix products by name, and (H, W) of its output.

    A linear map takes one for each row of x and each number of its weight.
    """
    weights = {name.removesuffix(".weight"): value for name, value in layer.params.items()}
    products = {}
    match layer:
        case PatchEmbed():
            patch_size = weights["proj"].shape[-1]
            height, width = -(-height // patch_size), -(-width // patch_size)
            products = {"proj": height * width * weights["proj"].size}
        case SwinTransformerBlock():
            window_size = layer.attn.window_size
            tokens = prod(padded_size(height, width, window_size))
            pairs = tokens * window_size**2  # of a query and a key
            inner_dim = weights["attn.proj"].shape[1]  # hd
            products = {
                "attn.qkv": tokens * weights["attn.qkv"].size,
                "attn.scores": pairs * inner_dim,
                "attn.values": pairs * inner_dim,
                "attn.proj": tokens * weights["attn.proj"].size,
                "mlp.fc1": height * width * weights["mlp.fc1"].size,
                "mlp.fc2": height * width * weights["mlp.fc2"].size,
            }
        case PatchMerging():
            height, width = -(-height // 2), -(-width // 2)
            products = {"reduction": height * width * weights["reduction"].size}
        case MeanPool():
            height, width = 1, 1
        case Linear():
            products = {"": height * width * weights["weight"].size}
    return products, (height, width)


def _checked_size(size: Any) -> tuple[int, int]:
    is_pair = isinstance(size, tuple | list) or (is_array(size) and size.ndim == 1)
    sides = tuple(size) if is_pair else (size, size)
    try:
        height, width = (check_integer("image_size", side, 1) for side in sides)
    except ValueError as error:
        expected = "a side or (height, width), integers of at least 1"
        raise ValueError(f"image_size: got {shown(size)}, expected {expected}") from error
    return height, width
