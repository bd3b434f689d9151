"""What the dense models are measured on: weights, images, label maps and objects, the same in each process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.workloads import PROOF_STEPS

OBJECTS = 50  # in an image
NOISE = 0.01  # on all weights


@dataclass(frozen=True)
class Objects:
    """The objects of an image, with the attributes of an `npswin.data.DetectionSample`."""

    boxes: Any
    labels: Any
    masks: Any
    crowd: Any


def fresh_model(job: dict[str, Any]) -> Any:
    """The npswin model with fresh weights."""
    from npswin import MaskRCNN, UPerNet

    kind = {"upernet": UPerNet, "mask_rcnn": MaskRCNN}[job["config"]["architecture"]]
    return kind(**{name: value for name, value in job["config"].items() if name != "architecture"})


def make_model(job: dict[str, Any]) -> Any:
    """The npswin model: fresh weights with some noise, so that every term counts, and scores are those of a detector.

    At 640×480 Mask R-CNN then has 1000 proposals, some 700 scores above the threshold and 100 detections of 10 to 20
    classes.
    """
    import numpy as np

    model = fresh_model(job)
    rng = np.random.default_rng(2)
    for param in model.params.values():
        param += np.float32(NOISE) * rng.standard_normal(param.shape, param.dtype)
    return model


def make_batch(job: dict[str, Any]) -> tuple[Any, ...]:
    """Images (B, 3, H, W) of noise, and labels (B, H, W), or sizes (B, 2) and the objects of each image.

    A fresh detector has hardly another positive RoI than the true boxes: there are as many as its mask head shall have.
    """
    import numpy as np

    config, batch, (height, width) = job["config"], job["batch"], job["size"]
    rng = np.random.default_rng(1)
    images = rng.standard_normal((batch, 3, height, width), np.float32)
    if config["architecture"] == "upernet":
        return images, rng.integers(0, config["num_classes"], (batch, height, width))
    objects = [_draw_objects(rng, height, width, config["num_classes"]) for _ in images]
    return images, np.array([[height, width]] * batch), objects


def _draw_objects(rng: Any, height: int, width: int, num_classes: int) -> Objects:
    """Ellipses, from a sixteenth to half of the image wide and high."""
    import numpy as np

    sides = np.exp(rng.uniform(np.log(1 / 16), np.log(1 / 2), (OBJECTS, 2))) * (width, height)
    corners = rng.uniform(0, 1, (OBJECTS, 2)) * ((width, height) - sides)
    y, x = np.mgrid[:height, :width]
    masks = np.stack(
        [
            ((x - left) / w - 0.5) ** 2 + ((y - top) / h - 0.5) ** 2 < 0.25
            for (left, top), (w, h) in zip(corners, sides, strict=True)
        ]
    )
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    return Objects(boxes, rng.integers(0, num_classes, OBJECTS), masks, np.zeros(OBJECTS, bool))


def prove(job: dict[str, Any], step: Callable[[], list[float]], gradient_norm: Callable[[], float]) -> dict[str, Any]:
    """The gradients' norm in a first step, and its losses; of UPerNet, those of more steps.

    A detector's first step alone can be compared: AdamW gives weights whose gradient is 0 but for rounding a step of
    full length, to either side, and then boxes of nearly the same score change places, and other ones are sampled.

    Args:
        job: what the worker is told.
        step: a step of training; it returns the loss and, of a detector, its terms.
        gradient_norm: of the last step.
    """
    losses, norm = [step()], gradient_norm()
    if job["config"]["architecture"] == "upernet":
        losses += [step() for _ in range(PROOF_STEPS - 1)]
    return {"losses": losses, "gradient_norm": norm}
