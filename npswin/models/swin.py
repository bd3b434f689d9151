"""Swin Transformer, whole: the hierarchy of Figure 3a of Liu et al. 2021."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from npswin.checks import check_generator, check_instance, shown
from npswin.deprecation import RenamedKeys, renamed_function
from npswin.files import listed
from npswin.layers import Layer, LayerNorm, Linear, MeanPool, SwinTransformerBlock
from npswin.layers.layer import check_derivative, keep, kept
from npswin.models.backbone import SwinBackbone, check_derivatives
from npswin.models.checks import check_cache_complete, checked_arguments
from npswin.models.flops import Flops, count_flops
from npswin.models.saving import save_model
from npswin.types import Array


class SwinTransformer(Layer):
    """patch embedding -> stages of blocks with patch merging between them -> norm -> mean over the map -> head.

    Images (B, c, H, W) of any size: a stage pads its map where it has to, as the official dense-prediction code does.

        logits = model(images)                                  inference

        logits, cache = model.forward(images)                   a step of training
        loss, dlogits = npswin.cross_entropy(logits, labels)
        model.zero_grad()
        dimages = model.backward(dlogits, cache)                adds to model.grads
        optimizer.step()                                        an npswin.AdamW(model)

    Args:
        img_size: side of the images, or (H, W). Where it makes a stage's map no larger than the window, that stage's
            window shrinks to the map's shorter side and is not shifted. None: windows and shifts stay as given.
        patch_size: p, side of a patch in pixels.
        in_chans: c.
        num_classes: K; 0 for no head, the pooled features being the output.
        embed_dim: C of the first stage; each stage doubles it.
        depths: blocks in each stage; every second one is shifted.
        num_heads: h in each stage.
        window_size: M.
        mlp_ratio: hidden channels of an MLP over C.
        qkv_bias: whether q, k, v have a bias.
        ape: whether an absolute position embedding is added to the patches.
        patch_norm: whether the patch embedding is normalized.
        drop_rate: dropout on patches, projections and MLPs.
        attn_drop_rate: dropout on attention probabilities.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0 at the first.
        dtype: "float32" to work, "float64" to verify.
        seed: of the initial weights, and of what `forward` drops when it is given no generator.
        position_bias: "per_head" (the official model), "shared" by the heads, "full" M²×M², or "none".
        head_dim: channels a head; C/h where it is None.
        mask_value: added to the scores of pairs of tokens that are neighbours only because of the cyclic shift.
        merge_norm, merge_bias: whether patch merging has a norm (official: yes), a bias (official: no).
        norm_after_pool: whether the last norm comes after the mean over the map (official: before).

    Attributes:
        config: the arguments above, as JSON can hold them.
        backbone: from the images to each stage's map.
        tail: (name, layer) of the norm, the pool and the head.
        rng: the generator that `forward` uses when it is given none.

    Raises:
        ValueError: an argument that does not fit, named.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] | None = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        ape: bool = False,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        dtype: str = "float32",
        seed: int = 0,
        position_bias: str = "per_head",
        head_dim: int | None = None,
        mask_value: float = -100.0,
        merge_norm: bool = True,
        merge_bias: bool = False,
        norm_after_pool: bool = False,
    ) -> None:
        super().__init__()
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.config: dict[str, Any] = checked_arguments(arguments)
        self.dtype = np.dtype(self.config["dtype"])
        self.in_chans, self.num_classes = self.config["in_chans"], self.config["num_classes"]
        self.rng = np.random.default_rng([self.config["seed"], 1])
        init = np.random.default_rng([self.config["seed"], 0])

        self.backbone = SwinBackbone(self.config, init)
        self.add_child("", self.backbone)
        dim = self.backbone.channels[-1]
        norm, pool = ("norm", LayerNorm(dim, self.dtype)), ("pool", MeanPool())
        self.tail: list[tuple[str, Layer]] = [pool, norm] if self.config["norm_after_pool"] else [norm, pool]
        if self.num_classes:
            self.tail.append(("head", Linear(dim, self.num_classes, init, dtype=self.dtype)))
        for name, layer in self.tail:
            self.add_child(name, layer)

    def extra_repr(self) -> str:
        """The images' size and channels, the classes, the dtype and the number of parameters."""
        shown = ", ".join(f"{name}={self.config[name]!r}" for name in ("img_size", "in_chans", "num_classes", "dtype"))
        return f"{shown}, {sum(param.size for param in self.params.values()):,} parameters"

    @property
    def trunk(self) -> list[tuple[str, Layer]]:
        """(name, layer) from the patch embedding to the last block, in order."""
        return self.backbone.trunk

    @property
    def stage_ends(self) -> list[int]:
        """Places in the trunk of each stage's last block."""
        return self.backbone.stage_ends

    def activations(self, images: Array) -> Iterator[tuple[str, Array]]:
        """Inference step by step: the name and the output of each layer, the last being ("head", logits).

        Args:
            images: (B, c, H, W).

        Returns:
            An iterator: maps (B, H, W, C) up to the pool, then (B, C), then logits (B, K).
        """
        return self._with_tail(self.backbone.activations(images))

    def _with_tail(self, trunk: Iterator[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
        for name, x in trunk:
            yield name, x
        for name, layer in self.tail:
            x = layer(x)
            yield name, x

    def __call__(self, images: Array) -> Array:
        """Logits (B, K) of images (B, c, H, W); nothing is dropped, nothing is kept."""
        for _, x in self.activations(images):
            logits = x
        return logits

    def feature_maps(self, images: Array) -> list[Array]:
        """The output of each stage's last block, before patch merging and without norm, as dense tasks use it.

        This is inference; `feature_maps_forward` and `feature_maps_backward` are the same maps in training.

        Args:
            images: (B, c, H, W).

        Returns:
            A map (B, C·2ⁱ, Hᵢ, Wᵢ) for each stage i.
        """
        return [_channels_first(x) for x in self.backbone(images)]

    def feature_maps_forward(self, images: Array, rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:
        """The maps of `feature_maps` in training, with dropout and drop path, and the cache for the backward pass.

        Args:
            images: (B, c, H, W).
            rng: draws what is dropped; the model's own generator where it is None.

        Returns:
            A map (B, C·2ⁱ, Hᵢ, Wᵢ) for each stage i, and the cache for `feature_maps_backward`. Images and maps may be
            changed before that.
        """
        maps, cache = self.backbone.forward(images, self._generator(rng))
        # Copies, since the next stage's cache may hold the map.
        maps = [_channels_first(x) for x in maps]
        return maps, keep(self, maps, cache, "feature_maps_forward")

    def _generator(self, rng: np.random.Generator | None) -> np.random.Generator:
        return self.rng if rng is None else check_generator("rng", rng)

    def feature_maps_backward(self, dmaps: Sequence[Array | None], cache: Any) -> Array:
        """The derivative by the images; adds to `grads`.

        A stage's map goes two ways, out and into the next stage: the two derivatives are added.

        Args:
            dmaps: the derivative by each stage's map, or None where the loss does not depend on it. Not all None.
            cache: from `feature_maps_forward`; used up, a layer at a time, so that its memory is free for the
                gradients.

        Returns:
            dimages (B, c, H, W).
        """
        cache = kept(self, cache, "feature_maps_forward")
        check_derivatives(dmaps, cache.outputs)
        dmaps = [None if dmap is None else dmap.transpose(0, 2, 3, 1) for dmap in dmaps]
        return self.backbone.backward(dmaps, cache.content)

    def forward(self, images: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """Logits for training, with dropout and drop path.

        Args:
            images: (B, c, H, W).
            rng: draws what is dropped; the model's own generator where it is None.

        Returns:
            logits (B, K) and the cache for `backward`. Images and logits may be changed before that, the weights may
            not.
        """
        maps, backbone_cache = self.backbone.forward(images, self._generator(rng))
        x, caches = maps[-1], []
        for _, layer in self.tail:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, keep(self, (x,), (backbone_cache, caches))

    def backward(self, dlogits: Array, cache: Any) -> Array:
        """The derivative by the images; adds to `grads`.

        Args:
            dlogits: (B, K).
            cache: from `forward`; used up, a layer at a time, so that its memory is free for the gradients.

        Returns:
            dimages (B, c, H, W).
        """
        cache = kept(self, cache)
        backbone_cache, caches = cache.content
        check_cache_complete(caches, self.tail)
        check_derivative("dlogits", dlogits, cache.outputs[0])
        dx = dlogits
        for _, layer in reversed(self.tail):
            dx = layer.backward(dx, caches.pop())
        earlier = [None] * (len(self.stage_ends) - 1)
        return self.backbone.backward([*earlier, dx], backbone_cache)

    forward_features = renamed_function("forward_features", feature_maps)
    features = renamed_function("features", feature_maps_forward)
    features_backward = renamed_function("features_backward", feature_maps_backward)

    def attention_maps(self, images: Array) -> list[dict[str, Any]]:
        """Attention probabilities of each window, block by block.

        Args:
            images: (B, c, H, W).

        Returns:
            A dictionary for each block: "name", "shift_size", "window_size", "grid" (rows and columns of windows) and
            "probabilities" (B, nW, h, N, N), with window number row·columns + column of the shifted, padded map.
        """
        self.backbone.check_images(images)
        found: list[dict[str, Any]] = []
        x = images
        for name, layer in self.trunk:
            if isinstance(layer, SwinTransformerBlock):
                probabilities, grid = layer.attn.probabilities(layer.norm1(x))
                block = {
                    "name": name,
                    "shift_size": layer.attn.shift_size,
                    "window_size": layer.attn.window_size,
                    "grid": grid,
                    "probabilities": probabilities,
                }
                found.append(RenamedKeys(block, {"shift": "shift_size"}))
            x = layer(x)
        return found

    def flops(self, image_size: int | Sequence[int] | None = None, *, training: bool = False) -> Flops:
        """Floating-point operations for one image: those of the matrix products, see `npswin.models.flops`.

            model.flops().total                    operations; a multiply-add is two
            model.flops().multiply_adds            half of that: what the paper calls FLOPs
            model.flops().within("layers.2")       operations of one stage, one layer, one product

        Args:
            image_size: side of the image, or (H, W); where it is None, the `img_size` that the model was built for.
            training: forward and backward pass, not the forward pass alone.

        Returns:
            The total, and its parts by the official names.

        Raises:
            ValueError: an argument that does not fit, named; or no size here and none at construction.
        """
        size = self.config["img_size"] if image_size is None else image_size
        return count_flops(self.trunk + self.tail, size, training)

    def save(self, path: str | PathLike[str]) -> None:
        """Write parameters and buffers to a safetensors file, with `config` in its metadata.

        Raises:
            ValueError: this is no path.
            OSError: the file could not be written.
        """
        save_model(self, path)


def backbone_arguments(given: Mapping[str, Any] | None, dtype: Any, seed: Any) -> dict[str, Any]:
    """The arguments of a dense model's backbone: the defaults of `SwinTransformer`, but for images of any size.

    Args:
        given: those that differ.
        dtype, seed: of the whole model.

    Raises:
        ValueError: an argument that `SwinTransformer` does not have, or that does not fit.
    """
    given = {} if given is None else check_instance("backbone", given, Mapping, "arguments of SwinTransformer by name")
    defaults = {name: one.default for name, one in inspect.signature(SwinTransformer).parameters.items()}
    defaults |= {"img_size": None, "num_classes": 0, "dtype": dtype, "seed": seed}
    if unknown := [name for name in given if name not in defaults]:
        raise ValueError(f"backbone: got {listed(map(shown, unknown))}, expected arguments of SwinTransformer")
    try:
        return checked_arguments({**defaults, **given, "dtype": dtype, "seed": seed})
    except ValueError as error:
        raise ValueError(f"backbone: {error}") from error


def _channels_first(x: Array) -> Array:
    """A copy (B, C, H, W) of a map (B, H, W, C)."""
    return x.transpose(0, 3, 1, 2).copy()
