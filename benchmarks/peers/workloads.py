"""What is measured: models, batches, and who takes part."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

OWN = ("npswin", "captured")
EVERYONE = ("pytorch", "compiled", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Workload:
    """One model on one batch; a call is a training step or an inference.

    Attributes:
        name: for the command line.
        title: for the table.
        model: one of `npswin.CONFIGS`.
        batch: B.
        training: forward, backward and AdamW; otherwise inference.
        peers: who takes part beside npswin.
        needs: packages that its peers need beside those that they always do.
    """

    name: str
    title: str
    model: str
    batch: int
    training: bool
    peers: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """npswin's ways to take part: as it is, and its inference captured beforehand, as some peers compile theirs."""
        return ("npswin",) if self.training or type(self) is not Workload else OWN

    @property
    def full_title(self) -> str:
        """The title with the batch and what is done to it."""
        return f"{self.title}, batch {self.batch}, {'training step' if self.training else 'inference'}"

    def job(self, competitor: str, **more: Any) -> dict[str, Any]:
        """What a worker is told. Drop path is off, so that the losses of different implementations can be compared."""
        import npswin

        config = {**npswin.CONFIGS[self.model], "drop_path_rate": 0.0}
        return {"competitor": competitor, "config": config, "batch": self.batch, "training": self.training, **more}

    def smaller(self) -> "Workload":
        """An eighth of the batch, for a quick try."""
        return replace(self, batch=max(1, self.batch // 8))


@dataclass(frozen=True)
class ConvolutionWorkload(Workload):
    """One 3×3 convolution, forward, or forward and backward where it is training. `model` is not used.

    Attributes:
        channels: of x and of y.
        side: of the map.
        channels_last: whether PyTorch's maps have their channels last; it is faster with one or the other.
    """

    channels: int = 0
    side: int = 0
    channels_last: bool = False

    @property
    def full_title(self) -> str:
        """The title with the batch and what is done to it."""
        return f"{self.title}, batch {self.batch}, {'forward and backward' if self.training else 'forward'}"

    def job(self, competitor: str, **more: Any) -> dict[str, Any]:
        """What a worker is told."""
        sizes = self.batch, self.channels, self.side
        common = {"convolution": sizes, "channels_last": self.channels_last, "training": self.training}
        return {"competitor": competitor, **common, **more}


@dataclass(frozen=True)
class DenseWorkload(Workload):
    """A dense model on one batch; `model` is one of `npswin.list_models()`.

    Attributes:
        size: height and width of the images.
    """

    size: tuple[int, int] = (0, 0)

    @property
    def full_title(self) -> str:
        """The title with the images' size, the batch and what is done to it."""
        height, width = self.size
        what = "training step" if self.training else "inference"
        return f"{self.title} at {width}×{height}, batch {self.batch}, {what}"

    def job(self, competitor: str, **more: Any) -> dict[str, Any]:
        """What a worker is told. Nothing is dropped at random, as transformers' models drop by other random numbers."""
        common = {"config": _dense_config(self.model), "batch": self.batch, "size": self.size}
        return {"competitor": competitor, **common, "training": self.training, **more}

    def smaller(self) -> "DenseWorkload":
        """Images of a quarter of the width and height: batch norm needs two of them."""
        height, width = self.size
        return replace(self, size=(height // 4, width // 4))


@cache
def _dense_config(name: str) -> dict[str, Any]:
    """All arguments of a dense model, without dropout and drop path."""
    import npswin

    dropout = {"dropout": 0.0} if name.startswith("upernet") else {}
    config: dict[str, Any] = npswin.create_model(name, backbone={"drop_path_rate": 0.0}, **dropout).config
    return config


def _convolutions(channels: int, side: int) -> list[Workload]:
    """Forward and both passes, on each layout of PyTorch's maps."""
    return [
        ConvolutionWorkload(
            f"conv-{channels}{'-training' * training}{'-channels-last' * last}",
            f"3×3 convolution, {channels} channels at {side}×{side}{', PyTorch with channels last' * last}",
            *("", 2, training, ("pytorch",), (), channels, side, last),
        )
        for training in (False, True)
        for last in (False, True)
    ]


_SWIN_T = ("Swin-T at 224×224", "swin_tiny_patch4_window7_224")
_SMALL = ("Swin C 96, depths 2-6-2 at 32×32", "swin_tiny_patch2_window4_32")
_EXAMPLE = ("the example's model, C 48, depths 2-2-2 at 32×32", "swin_mini_patch2_window4_32")

_MASK_RCNN, _TORCHVISION = ("Mask R-CNN-Swin-T", "mask_rcnn_swin_tiny"), ("torchvision",)

WORKLOADS = [
    Workload("swin-t-training", *_SWIN_T, 8, True, ("pytorch", "compiled")),
    Workload("swin-t-inference", *_SWIN_T, 8, False, EVERYONE),
    Workload("swin-t-inference-1", *_SWIN_T, 1, False, EVERYONE),
    Workload("small-training", *_SMALL, 128, True, ("pytorch", "compiled")),
    Workload("small-inference", *_SMALL, 128, False, EVERYONE),
    Workload("small-inference-1", *_SMALL, 1, False, EVERYONE),
    Workload("example-training", *_EXAMPLE, 64, True, ("pytorch",)),
    DenseWorkload("upernet-training", "UPerNet-Swin-T", "upernet_swin_tiny", 2, True, ("pytorch",), (), (512, 512)),
    DenseWorkload("mask-rcnn-training", *_MASK_RCNN, 1, True, ("pytorch",), _TORCHVISION, (480, 640)),
    DenseWorkload("mask-rcnn-inference", *_MASK_RCNN, 1, False, ("pytorch",), _TORCHVISION, (480, 640)),
    *_convolutions(256, 64),
    *_convolutions(512, 56),
]

# What peak memory is measured with, by the name for the command line.
MEMORY = {
    "memory": "swin-t-training",
    "memory-upernet": "upernet-training",
    "memory-mask-rcnn": "mask-rcnn-training",
}

TITLES = {
    "npswin": "npswin",
    "captured": "npswin, captured",
    "pytorch": "PyTorch",
    "compiled": "PyTorch, torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "numpy-sgemm": "NumPy",
    "torch-sgemm": "PyTorch",
}

# What must be there to import; the exported models come from PyTorch.
_PYTORCH = ("torch", "transformers", "tqdm")
_EXPORT = (*_PYTORCH, "onnx", "onnxscript")
NEEDS = {
    "pytorch": _PYTORCH,
    "compiled": _PYTORCH,
    "onnxruntime": (*_EXPORT, "onnxruntime"),
    "openvino": (*_EXPORT, "openvino"),
    "numpy-sgemm": ("numpy",),
    "torch-sgemm": ("torch",),
}

LR, WEIGHT_DECAY = 1e-4, 0.05
PROOF_STEPS = 3  # whose losses are compared before a training step is timed


def make_model(job: dict[str, Any]) -> Any:
    """The npswin model, the same in each process: fresh weights with some noise, so that every term counts."""
    import numpy as np

    import npswin

    model = npswin.SwinTransformer(**job["config"], seed=0)
    rng = np.random.default_rng(2)
    for param in model.params.values():
        param += 0.02 * rng.standard_normal(param.shape, param.dtype)
    return model


def make_batch(job: dict[str, Any]) -> tuple[Any, Any]:
    """Images (B, 3, S, S) and labels (B,), the same in each process."""
    import numpy as np

    config, batch = job["config"], job["batch"]
    rng = np.random.default_rng(1)
    images = rng.standard_normal((batch, 3, config["img_size"], config["img_size"]), np.float32)
    return images, rng.integers(0, config["num_classes"], batch)
