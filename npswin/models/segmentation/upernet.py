"""UPerNet (Xiao et al. 2018, "Unified Perceptual Parsing for Scene Understanding") on Swin: a class for each pixel."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_generator, check_number, check_scale, check_size, shown
from npswin.layers import Layer
from npswin.layers.layer import check_derivative, keep, kept
from npswin.models.backbone import SwinBackbone
from npswin.models.checks import check_image_shape
from npswin.models.saving import save_model
from npswin.models.segmentation.checks import check_labels, checked_pool_scales
from npswin.models.segmentation.heads import FCNHead, UPerHead
from npswin.models.swin import backbone_arguments
from npswin.types import Array


class UPerNet(Layer):
    """images -> Swin -> norm of each stage's map -> UPerHead -> a class for each pixel.

        logits = model(images)                                      inference: (B, H, W, K)

        losses, cache = model.loss_forward(images, labels, rng)     a step of training
        model.zero_grad()
        model.loss_backward(cache)                                  adds to model.grads

    In training an auxiliary head on the last map but one has a loss of its own. `forward` and `backward` are the same
    up to the logits, for losses of one's own.

    Images (B, c, H, W) may have any size. Parameters have the names of the official dense-prediction code: backbone,
    decode_head and auxiliary_head.

    Args:
        num_classes: K.
        backbone: arguments of `SwinTransformer` that differ from its defaults; its images' size is left open.
        channels: of the decoder's maps.
        auxiliary_channels: of the auxiliary head's map; 0 for no auxiliary head.
        auxiliary_weight: of its loss.
        pool_scales: bins a side of each map of the pyramid pooling.
        dropout: rate before both classifiers.
        dtype: "float32" to work, "float64" to verify.
        seed: of the initial weights, and of what `forward` drops when it is given no generator.

    Attributes:
        config: the arguments above, as JSON can hold them.
        rng: the generator that `forward` uses when it is given none.

    Raises:
        ValueError: an argument that does not fit, named.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: Mapping[str, Any] | None = None,
        channels: int = 512,
        auxiliary_channels: int = 256,
        auxiliary_weight: float = 0.4,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes = check_size("num_classes", num_classes)
        arguments = backbone_arguments(backbone, dtype, seed)
        self.config: dict[str, Any] = {
            "architecture": "upernet",
            "num_classes": self.num_classes,
            "backbone": arguments,
            "channels": check_size("channels", channels),
            "auxiliary_channels": check_size("auxiliary_channels", auxiliary_channels, 0),
            "auxiliary_weight": check_number(
                "auxiliary_weight", auxiliary_weight, at_least=0, dtype=arguments["dtype"]
            ),
            "pool_scales": checked_pool_scales(pool_scales),
            "dropout": check_number("dropout", dropout, at_least=0, below=1),
            "dtype": arguments["dtype"],
            "seed": arguments["seed"],
        }
        self.dtype, self.in_chans = np.dtype(arguments["dtype"]), arguments["in_chans"]
        self.rng = np.random.default_rng([arguments["seed"], 1])
        init = np.random.default_rng([arguments["seed"], 0])
        self.backbone = SwinBackbone(arguments, init, stage_norms=True)
        sizes, c = self.backbone.channels, self.config
        self.decode_head = UPerHead(
            sizes, c["channels"], self.num_classes, c["pool_scales"], c["dropout"], init, self.dtype
        )
        self.add_child("backbone", self.backbone)
        self.add_child("decode_head", self.decode_head)
        self.auxiliary_head: FCNHead | None = None
        if c["auxiliary_channels"]:
            self.auxiliary_head = FCNHead(
                sizes[-2], c["auxiliary_channels"], self.num_classes, c["dropout"], init, self.dtype
            )
            self.add_child("auxiliary_head", self.auxiliary_head)

    def extra_repr(self) -> str:
        """The classes, the dtype and the number of parameters."""
        parameters = sum(param.size for param in self.params.values())
        return f"num_classes={self.num_classes}, dtype={self.dtype.name!r}, {parameters:,} parameters"

    @property
    def smallest_batch(self) -> int:
        """The number of images that a step of training needs: 2 where the pyramid pooling makes one pixel of an image.

        Of a single pixel there is no variance, which batch norm needs unless it is frozen.
        """
        pyramid = self.decode_head.pyramid
        trained = [scale for scale, conv in zip(pyramid.scales, pyramid.convs, strict=True) if not conv.bn.frozen]
        return 2 if 1 in trained else 1

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names of the losses of `loss_forward`."""
        return tuple(self._weights)

    def __call__(self, images: Array) -> Array:
        """Logits (B, H, W, K) for each pixel of images (B, c, H, W); nothing is dropped, nothing is kept."""
        return dispatch.resize_bilinear(self.decode_head(self.backbone(images)), images.shape[2:])

    def forward(self, images: Array, rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """Logits for training at the size of the maps that they are computed from, with dropout and drop path.

        Args:
            images: (B, c, H, W).
            rng: draws what is dropped; the model's own generator where it is None.

        Returns:
            logits (B, ⌈H/p⌉, ⌈W/p⌉, K) where p is the patches' size; with an auxiliary head, its logits, at the size of
            the last map but one; and the cache for `backward`.
        """
        rng = self.rng if rng is None else check_generator("rng", rng)
        maps, backbone_cache = self.backbone.forward(images, rng)
        if len(images) < self.smallest_batch:
            raise ValueError("images: got 1 image, expected two or more in training, as pool_scales has 1")
        logits, head_cache = self.decode_head.forward(maps, rng)
        outputs, auxiliary_cache = [logits], None
        if self.auxiliary_head is not None:
            auxiliary, auxiliary_cache = self.auxiliary_head.forward(maps[-2], rng)
            outputs.append(auxiliary)
        return outputs, keep(self, outputs, (backbone_cache, head_cache, auxiliary_cache))

    def backward(self, dlogits: Sequence[Array], cache: Any) -> Array:  # type: ignore[override]
        """The derivative by the images; adds to `grads`.

        Args:
            dlogits: the derivative by each of the outputs of `forward`.
            cache: from `forward`; used up.

        Returns:
            dimages (B, c, H, W).
        """
        cache = kept(self, cache)
        if not isinstance(dlogits, list | tuple) or len(dlogits) != len(cache.outputs):
            raise ValueError(f"dlogits: got {shown(dlogits)}, expected a list of {len(cache.outputs)} derivatives")
        for place, (derivative, output) in enumerate(zip(dlogits, cache.outputs, strict=True)):
            check_derivative(f"dlogits[{place}]", derivative, output)
        backbone_cache, head_cache, auxiliary_cache = cache.content
        dmaps = self.decode_head.backward(dlogits[0], head_cache)
        if self.auxiliary_head is not None:
            dmaps[-2] = dmaps[-2] + self.auxiliary_head.backward(dlogits[1], auxiliary_cache)
        return self.backbone.backward(dmaps, backbone_cache)

    def loss_forward(
        self, images: Array, labels: Array, rng: np.random.Generator | None = None
    ) -> tuple[dict[str, Any], Any]:
        """The losses of a batch.

        Args:
            images: (B, c, H, W).
            labels: (B, H, W) integers, 0 … K − 1, or 255 where the pixel does not count: the losses are means over the
                others. MMSegmentation's default, and so the official recipe, divides by the number of all pixels.
            rng: see `forward`.

        Returns:
            "loss_segmentation" and, with an auxiliary head, "loss_auxiliary", which its weight is a factor of; the loss
            is their sum. And the cache for `loss_backward`.
        """
        check_image_shape(images, self.in_chans, "images")
        check_labels(labels, images)
        outputs, cache = self.forward(images, rng)
        losses, loss_caches = {}, []
        for (name, weight), logits in zip(self._weights.items(), outputs, strict=True):
            loss, loss_cache = dispatch.resized_cross_entropy_forward(logits, labels)
            losses[name] = weight * loss
            loss_caches.append((np.full_like(loss, weight), loss_cache))
        return losses, keep(self, (), (loss_caches, cache), "loss_forward")

    def loss_backward(self, cache: Any, scale: float = 1.0) -> Array:
        """The derivative of the sum of the losses by the images; adds to `grads`.

        Args:
            cache: from `loss_forward`; used up.
            scale: factor on the derivative.

        Returns:
            dimages (B, c, H, W).
        """
        loss_caches, cache = kept(self, cache, "loss_forward").content
        scale = check_scale(scale, self.dtype)
        dlogits = [dispatch.resized_cross_entropy_backward(scale * weight, one) for weight, one in loss_caches]
        return self.backward(dlogits, cache)

    @property
    def _weights(self) -> dict[str, float]:
        """The weight of each loss."""
        auxiliary = {} if self.auxiliary_head is None else {"loss_auxiliary": float(self.config["auxiliary_weight"])}
        return {"loss_segmentation": 1.0, **auxiliary}

    def save(self, path: str | PathLike[str]) -> None:
        """Write parameters and buffers to a safetensors file, with `config` in its metadata.

        Raises:
            ValueError: this is no path.
            OSError: the file could not be written.
        """
        save_model(self, path)
