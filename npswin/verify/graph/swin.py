"""Swin Transformer as a graph: every intermediate tensor under the path of the module that computes it."""

from collections.abc import Sequence
from typing import Any

from npswin.layers import PatchMerging, PositionEmbed, SwinTransformerBlock
from npswin.models import SwinTransformer
from npswin.ops.windows import padded_size
from npswin.verify.graph import operations as op
from npswin.verify.graph.node import Graph, Node, Operation

Size = tuple[int, int]
MAP = "B, H, W, C"
SECTION = "Liu et al. 2021, section 3.1"
SHIFTED = "Liu et al. 2021, section 3.2, Figure 4"
BLOCK = "Liu et al. 2021, equation 3"
ATTENTION = "Liu et al. 2021, equation 4"
NORM = "Ba, Kiros, Hinton 2016, equation 4"


def swin_graph(
    model: SwinTransformer, image_size: Size, normalization: tuple[Sequence[float], Sequence[float]] | None = None
) -> Graph:
    """The graph of a model's loss for images of one size.

    Args:
        model: its layers give the operations and settings; its parameters' values are not used.
        image_size: (H, W).
        normalization: mean and deviation of each channel, for a graph that begins with "pixels" from 0 to 255; None
            for one that begins with "input".

    Returns:
        The graph from "pixels" or "input", "labels" and the parameters to "loss".
    """
    builder = _Builder(model)
    builder.source("labels", "B")
    if normalization is None:
        builder.source("input", "B, c, H, W")
    else:
        mean, std = normalization
        builder.source("pixels", "B, c, H, W")
        builder.add(
            "input", op.NORMALIZE, ("pixels",), "B, c, H, W", "(pixels/255 - mean) / std",
            mean=tuple(mean), std=tuple(std),
        )  # fmt: skip
    last = builder.trunk("input", image_size)
    builder.tail(last)
    return Graph(builder.nodes)


class _Builder:
    """Collects the nodes in the order of computation; the methods follow the model's figure from left to right."""

    def __init__(self, model: SwinTransformer) -> None:
        self.model, self.params = model, model.params
        self.nodes = [Node(name, None, axes="parameter") for name in self.params]

    def source(self, name: str, axes: str) -> None:
        self.nodes.append(Node(name, None, axes=axes))

    def add(
        self,
        name: str,
        operation: Operation,
        inputs: Sequence[str],
        axes: str,
        formula: str,
        source: str = "",
        **settings: Any,
    ) -> str:
        self.nodes.append(Node(name, operation, tuple(inputs), settings, axes, formula, source))
        return name

    def norm(self, name: str, x: str, axes: str = MAP) -> str:
        return self.add(
            name, op.LAYER_NORM, (x, f"{name}.weight", f"{name}.bias"), axes,
            "(x - mean) / sqrt(variance + 1e-5) * weight + bias, mean and biased variance over C", NORM, eps=1e-5,
        )  # fmt: skip

    def linear(self, name: str, x: str, axes: str, source: str = "") -> str:
        inputs = [x, f"{name}.weight", *[f"{name}.bias"] * (f"{name}.bias" in self.params)]
        formula = "x weightᵀ + bias" if len(inputs) == 3 else "x weightᵀ"
        return self.add(name, op.LINEAR, inputs, axes, formula, source)

    def trunk(self, x: str, size: Size) -> str:
        for name, layer in self.model.trunk:
            if name == "patch_embed":
                patch = self.model.config["patch_size"]
                x = self.add(
                    "patch_embed.proj", op.PATCH_EMBED, (x, "patch_embed.proj.weight", "patch_embed.proj.bias"), MAP,
                    "convolution with stride patch_size, input padded with zeros at the right and the bottom", SECTION,
                    image_size=size, patch_size=patch,
                )  # fmt: skip
                size = (-(-size[0] // patch), -(-size[1] // patch))
                if self.model.config["patch_norm"]:
                    x = self.norm("patch_embed.norm", x)
            elif isinstance(layer, PositionEmbed) and layer.grid is not None:
                x = self.add(
                    "pos_drop", op.POSITION_EMBED, (x, "absolute_pos_embed"), MAP, "x + absolute_pos_embed",
                    "Liu et al. 2021, section 4.4", grid=layer.grid,
                )  # fmt: skip
            elif isinstance(layer, SwinTransformerBlock):
                x = self.block(name, x, size, layer)
            elif isinstance(layer, PatchMerging):
                x = self.merging(name, x)
                size = (-(-size[0] // 2), -(-size[1] // 2))
        return x

    def block(self, name: str, x: str, size: Size, layer: SwinTransformerBlock) -> str:
        branch = self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x), size, layer)
        x = self.add(
            f"{name}.residual", op.RESIDUAL, (x, branch), MAP, "the block's input + the attention branch", BLOCK
        )
        hidden = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x), "B, H, W, hidden", BLOCK)
        active = self.add(
            f"{name}.mlp.act", op.GELU, (hidden,), "B, H, W, hidden", "x Φ(x), with erf",
            "Hendrycks and Gimpel 2016, section 2",
        )  # fmt: skip
        branch = self.linear(f"{name}.mlp.fc2", active, MAP, BLOCK)
        return self.add(name, op.RESIDUAL, (x, branch), MAP, "residual + the MLP branch: the block's output", BLOCK)

    def attention(self, name: str, x: str, size: Size, block: SwinTransformerBlock) -> str:
        layer = block.attn
        side, shift_size = layer.window_size, layer.shift_size
        padded = padded_size(*size, side)
        if padded != size:
            x = self.add(
                f"{name}.padded", op.PAD, (x,), "B, Hp, Wp, C", "zeros at the right and the bottom, to whole windows",
                SHIFTED, window_size=side,
            )  # fmt: skip
        if shift_size:
            x = self.add(
                f"{name}.shifted", op.SHIFT, (x,), "B, Hp, Wp, C", f"rolled by (-{shift_size}, -{shift_size})", SHIFTED,
                shift=shift_size,
            )  # fmt: skip
        x = self.add(
            f"{name}.windows", op.CUT, (x,), "B, nW, N, C", "windows row by row, tokens row by row", SHIFTED,
            window_size=side,
        )  # fmt: skip
        qkv = self.linear(f"{name}.qkv", x, "B, nW, N, (q|k|v, head, d)", ATTENTION)
        probabilities = self.probabilities(name, qkv, size, layer)
        v = self.split(f"{name}.v", qkv, layer.num_heads, 2)
        context = self.add(f"{name}.context", op.CONTEXT, (probabilities, v), "B, nW, heads, N, d", "P v", ATTENTION)
        merged = self.add(
            f"{name}.merged_heads", op.MERGE, (context,), "B, nW, N, (head, d)", "heads side by side", ATTENTION
        )
        x = self.linear(f"{name}.proj", merged, "B, nW, N, C", ATTENTION)
        x = self.add(
            f"{name}.joined", op.JOIN, (x,), "B, Hp, Wp, C", "windows put back in place", SHIFTED,
            size=padded, window_size=side,
        )  # fmt: skip
        if shift_size:
            x = self.add(
                f"{name}.unshifted", op.SHIFT, (x,), "B, Hp, Wp, C", f"rolled back by ({shift_size}, {shift_size})",
                SHIFTED, shift=-shift_size,
            )  # fmt: skip
        if padded != size:
            x = self.add(f"{name}.cropped", op.CROP, (x,), MAP, "padding cut off", SHIFTED, size=size)
        return x

    def split(self, name: str, qkv: str, num_heads: int, part: int) -> str:
        return self.add(
            name, op.SPLIT, (qkv,), "B, nW, heads, N, d", f"the columns of {name[-1]}, one head after the other",
            ATTENTION, num_heads=num_heads, part=part,
        )  # fmt: skip

    def probabilities(self, name: str, qkv: str, size: Size, layer: Any) -> str:
        grid = "B, nW, heads, query, key"
        d = self.params[f"{name}.proj.weight"].shape[1] // layer.num_heads
        q, k = (self.split(f"{name}.{letter}", qkv, layer.num_heads, part) for part, letter in enumerate("qk"))
        q = self.add(f"{name}.q_scaled", op.SCALE, (q,), "B, nW, heads, N, d", "q / sqrt(d)", ATTENTION, factor=d**-0.5)
        scores = self.add(f"{name}.scores", op.SCORES, (q, k), grid, "q_scaled kᵀ", ATTENTION)
        table = f"{name}.{layer.names[-1]}"
        if table in self.params:
            bias = self.add(
                f"{name}.relative_position_bias", op.POSITION_BIAS, (table,), "heads (or 1), query, key",
                "table[(Δy + M - 1)(2M - 1) + Δx + M - 1], Δ = query's place - key's place", ATTENTION,
                window_size=layer.window_size,
            )  # fmt: skip
            scores = self.add(
                f"{name}.biased_scores", op.ADD_BIAS, (scores, bias), grid, "scores + relative_position_bias", ATTENTION
            )
        if layer.shift_size:
            mask = self.add(
                f"{name}.mask", op.MASK, (), "nW, query, key",
                f"{layer.mask_value:g} where the shift brought together what are no neighbours, else 0", SHIFTED,
                height=size[0], width=size[1], window_size=layer.window_size, shift=layer.shift_size,
                mask_value=layer.mask_value,
            )  # fmt: skip
            scores = self.add(
                f"{name}.masked_scores", op.ADD_MASK, (scores, mask), grid, "biased_scores + mask", SHIFTED
            )
        return self.add(f"{name}.probabilities", op.SOFTMAX, (scores,), grid, "softmax over the keys", ATTENTION)

    def merging(self, name: str, x: str) -> str:
        x = self.add(
            f"{name}.concat", op.CONCAT, (x,), "B, H/2, W/2, 4C",
            "channels of (row, column) = (even, even), (odd, even), (even, odd), (odd, odd) side by side", SECTION,
        )  # fmt: skip
        if f"{name}.norm.weight" in self.params:
            x = self.norm(f"{name}.norm", x, "B, H/2, W/2, 4C")
        return self.linear(f"{name}.reduction", x, "B, H/2, W/2, 2C", SECTION)

    def tail(self, x: str) -> None:
        for name, _ in self.model.tail:
            if name == "norm":
                x = self.norm("norm", x, "B, C" if x == "avgpool" else MAP)
            elif name == "pool":
                x = self.add("avgpool", op.POOL, (x,), "B, C", "mean over the map")
            else:
                x = self.linear("head", x, "B, classes")
        self.add("loss", op.LOSS, (x, "labels"), "", "mean over the batch of -log softmax(head)[label]")
