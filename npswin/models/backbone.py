"""The hierarchy of Figure 3a of Liu et al. 2021: from images to one map for each stage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from npswin.checks import check_flag, check_generator, shown
from npswin.layers import Layer, LayerNorm, PatchEmbed, PatchMerging, PositionEmbed, SwinTransformerBlock
from npswin.layers.layer import check_derivative, keep, kept
from npswin.models.checks import check_cache_complete, check_images
from npswin.types import Array


class SwinBackbone(Layer):
    """patch embedding -> stages of blocks with patch merging between them; the output is each stage's map.

        maps = backbone(images)                                 inference: (B, Hᵢ, Wᵢ, C·2ⁱ) for each stage i

        maps, cache = backbone.forward(images, rng)             a step of training
        dimages = backbone.backward(dmaps, cache)               adds to backbone.grads

    It is what a classifier, a segmenter and a detector have in common. Dense tasks put a norm on the map of each stage
    (`norm0`, `norm1`, … in the official dense-prediction code), which the next stage does not see.

    Parameters: patch_embed, absolute_pos_embed, layers.i.blocks.j, layers.i.downsample, and normi with `stage_norms`.

    Args:
        config: the arguments of `SwinTransformer`, as its `config` has them; those of its tail are not read.
        rng: draws the weights.
        stage_norms: whether each stage's map is normalized on its way out.

    Attributes:
        config: the same.
        trunk: (name, layer) from the patch embedding to the last block, in order.
        stage_ends: places in the trunk of each stage's last block.
        channels: of each stage's map.
    """

    def __init__(self, config: Mapping[str, Any], rng: np.random.Generator, stage_norms: bool = False) -> None:
        super().__init__()
        check_generator("rng", rng)
        self.config = config
        self.trunk: list[tuple[str, Layer]] = []
        self.stage_ends: list[int] = []
        depths, embed_dim, dtype = config["depths"], config["embed_dim"], config["dtype"]
        self.channels = [embed_dim * 2**stage for stage in range(len(depths))]
        grid = None
        if config["img_size"] is not None:
            grid = _ceil_divide(_pair(config["img_size"]), config["patch_size"])
        drop_paths = iter(np.linspace(0, config["drop_path_rate"], sum(depths)).tolist())

        patch_embed = PatchEmbed(config["patch_size"], config["in_chans"], embed_dim, rng, config["patch_norm"], dtype)
        self._append("patch_embed", patch_embed)
        if config["ape"] or config["drop_rate"]:
            positions = grid if config["ape"] else None
            self._append("", PositionEmbed(embed_dim, positions, rng, config["drop_rate"], dtype))
        for stage, depth in enumerate(depths):
            for block in range(depth):
                name = f"layers.{stage}.blocks.{block}"
                self._append(name, self._block(stage, bool(block % 2), grid, next(drop_paths), rng))
            self.stage_ends.append(len(self.trunk) - 1)
            if stage < len(depths) - 1:
                merging = PatchMerging(self.channels[stage], rng, config["merge_norm"], config["merge_bias"], dtype)
                self._append(f"layers.{stage}.downsample", merging)
                grid = None if grid is None else _ceil_divide(grid, 2)
        self.norms = [LayerNorm(dim, dtype) for dim in self.channels] if check_flag("stage_norms", stage_norms) else []
        for stage, norm in enumerate(self.norms):
            self.add_child(f"norm{stage}", norm)

    def _append(self, name: str, layer: Layer) -> None:
        # The position embedding's parameter has no prefix in the official checkpoints, hence its empty name.
        self.add_child(name, layer)
        self.trunk.append((name or "pos_drop", layer))

    def _block(
        self, stage: int, shifted: bool, grid: tuple[int, int] | None, drop_path: float, rng: np.random.Generator
    ) -> Layer:
        """A block of a stage whose map has so many rows and columns, as far as that is known beforehand."""
        c = self.config
        window_size = c["window_size"]
        fits = grid is None or min(grid) > window_size
        return SwinTransformerBlock(
            self.channels[stage],
            c["num_heads"][stage],
            window_size if grid is None else min(window_size, *grid),
            rng,
            shift_size=window_size // 2 if shifted and fits else 0,
            mlp_ratio=c["mlp_ratio"],
            drop=c["drop_rate"],
            drop_path=drop_path,
            dtype=c["dtype"],
            qkv_bias=c["qkv_bias"],
            head_dim=c["head_dim"],
            position_bias=c["position_bias"],
            mask_value=float(c["mask_value"]),
            attn_drop=c["attn_drop_rate"],
        )

    def check_images(self, images: Array) -> None:
        """Raise a ValueError unless these are images (B, c, H, W) that the backbone can take."""
        check_images(images, self.config["in_chans"], self.trunk[0][1].own_params["proj.weight"])

    def activations(self, images: Array) -> Iterator[tuple[str, Array]]:
        """Inference step by step: the name and the output (B, H, W, C) of each layer of the trunk."""
        self.check_images(images)
        return self._activations(images)

    def _activations(self, x: Array) -> Iterator[tuple[str, Array]]:
        for name, layer in self.trunk:
            x = layer(x)
            yield name, x

    def __call__(self, images: Array) -> list[Array]:  # type: ignore[override]
        """The maps (B, Hᵢ, Wᵢ, C·2ⁱ) of images (B, c, H, W); nothing is dropped, nothing is kept."""
        maps = [x for place, (_, x) in enumerate(self.activations(images)) if place in self.stage_ends]
        return [norm(x) for norm, x in zip(self.norms, maps, strict=True)] if self.norms else maps

    def forward(self, images: Array, rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """The maps in training, with dropout and drop path.

        Args:
            images: (B, c, H, W); they may be changed before the backward pass, the maps may not.
            rng: draws what is dropped.

        Returns:
            A map (B, Hᵢ, Wᵢ, C·2ⁱ) for each stage i, and the cache for `backward`.
        """
        self.check_images(images)
        # A copy, since the first layer's cache may hold its input, and the images' memory is the caller's.
        maps, caches, norm_caches, x = [], [], [], images.copy()
        for place, (_, layer) in enumerate(self.trunk):
            x, cache = layer.forward(x, rng)
            caches.append(cache)
            if place in self.stage_ends:
                maps.append(x)
        if self.norms:
            normed = [norm.forward(one) for norm, one in zip(self.norms, maps, strict=True)]
            maps, norm_caches = [y for y, _ in normed], [cache for _, cache in normed]
        return maps, keep(self, maps, (caches, norm_caches))

    def backward(self, dmaps: Sequence[Array | None], cache: Any) -> Array:  # type: ignore[override]
        """The derivative by the images; adds to `grads`.

        A stage's map goes two ways, out and into the next stage: the two derivatives are added.

        Args:
            dmaps: the derivative by each stage's map, or None where the loss does not depend on it. Not all None.
            cache: from `forward`; used up, a layer at a time, so that its memory is free for the gradients.

        Returns:
            dimages (B, c, H, W).
        """
        cache = kept(self, cache)
        caches, norm_caches = cache.content
        check_cache_complete(caches, self.trunk)
        check_derivatives(dmaps, cache.outputs)
        douts = list(dmaps)
        for stage in reversed(range(len(norm_caches))):
            norm_cache, dmap = norm_caches.pop(), douts[stage]
            if dmap is not None:
                douts[stage] = self.norms[stage].backward(dmap, norm_cache)
        outputs = dict(zip(self.stage_ends, douts, strict=True))
        dx: Any = None
        for place in reversed(range(len(self.trunk))):
            layer_cache, dout = caches.pop(), outputs.pop(place, None)
            if dout is not None:
                dx = dout if dx is None else dx + dout
            if dx is not None:
                dx = self.trunk[place][1].backward(dx, layer_cache)
        return dx


def check_derivatives(dmaps: Any, outputs: Sequence[Any]) -> None:
    """Raise a ValueError unless these can be the derivatives by maps, of which a `LayerCache` knows `outputs`."""
    if not isinstance(dmaps, list | tuple):
        raise ValueError(f"dmaps: got {shown(dmaps)}, expected a list with a derivative or None for each stage")
    if len(dmaps) != len(outputs):
        raise ValueError(f"dmaps: got {len(dmaps)} derivatives, expected {len(outputs)}, one for each stage")
    for stage, (dmap, output) in enumerate(zip(dmaps, outputs, strict=True)):
        if dmap is not None:
            check_derivative(f"dmaps[{stage}]", dmap, output)
    if all(dmap is None for dmap in dmaps):
        raise ValueError("dmaps: got None for every stage, expected at least one derivative")


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def _ceil_divide(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    height, width = size
    return -(-height // divisor), -(-width // divisor)
