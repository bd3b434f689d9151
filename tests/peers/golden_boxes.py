"""What PyTorch and torchvision compute with boxes, in a file, so that it can be compared where they are not installed.

python -m tests.peers.golden_boxes     writes the file; needs pip install torch torchvision
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

FILE = Path(__file__).with_name("golden") / "torchvision-boxes.safetensors"
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
ROI_ALIGN = {"output_size": (3, 2), "spatial_scale": 0.25}
RATIOS = 0, 2  # sampling ratios
NMS_IOU, BETA, STRIDE, MAP_SIZE, IMAGE_SIZE = 0.5, 1 / 9, 8, (3, 4), (40, 50)


def boxes(rng, count, size=40):
    """Boxes of 4 to 30 pixels."""
    centres, sides = rng.uniform(0, size, (count, 2)), rng.uniform(4, 30, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def inputs():
    """What goes in, by name."""
    rng = np.random.default_rng(20)
    labels = rng.integers(0, 5, 30)
    labels[::7] = 255
    return {
        "x": rng.standard_normal((2, 9, 11, 3)),
        "rois": np.concatenate([rng.integers(0, 2, (12, 1)), np.clip(boxes(rng, 12), -6, None)], axis=1),
        "dy": rng.standard_normal((12, 3, 2, 3)),
        "boxes": boxes(rng, 60),
        "targets": boxes(rng, 60),
        "deltas": 3 * rng.standard_normal((60, 4)),
        "scores": rng.random(60),
        "groups": rng.integers(0, 3, 60),
        "logits": 3 * rng.standard_normal((30, 5)),
        "labels": labels,
        "soft": rng.random((30, 5)),
        "weights": rng.random((30, 5)),
        "true_boxes": boxes(rng, 4, 60),
        "masks": rng.random((5, 6, 6)),
        "true_masks": np.kron(rng.random((4, 9, 11)) > 0.5, np.ones((1, 5, 5), bool)),
    }


def outputs(given):
    """What PyTorch and torchvision make of it."""
    import torch
    import torch.nn.functional as F
    import torchvision.ops as tv
    from torchvision.models.detection._utils import BoxCoder, Matcher
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList

    t = {name: torch.from_numpy(value) for name, value in given.items()}
    found = {}
    for ratio in RATIOS:
        x = t["x"].permute(0, 3, 1, 2).contiguous().requires_grad_()
        y = tv.roi_align(x, t["rois"], **ROI_ALIGN, sampling_ratio=ratio, aligned=True)
        y.backward(t["dy"].permute(0, 3, 1, 2).contiguous())
        found[f"roi_align/{ratio}/y"] = y.detach().permute(0, 2, 3, 1)
        found[f"roi_align/{ratio}/dx"] = x.grad.permute(0, 2, 3, 1)

    def add_loss(name, function, inputs):
        inputs = inputs.clone().requires_grad_()
        loss = function(inputs)
        loss.backward()
        found[f"{name}/loss"], found[f"{name}/dx"] = loss.detach(), inputs.grad

    soft, weights = t["soft"], t["weights"]
    add_loss(
        "sigmoid",
        lambda x: (weights * F.binary_cross_entropy_with_logits(x, soft, reduction="none")).sum() / 7,
        t["logits"],
    )
    add_loss("pixel", lambda x: F.cross_entropy(x, t["labels"], ignore_index=255), t["logits"])
    add_loss("l1", lambda x: F.l1_loss(x, soft, reduction="sum") / 7, t["logits"])
    add_loss("smooth_l1", lambda x: F.smooth_l1_loss(x, soft, beta=BETA), t["logits"])
    add_loss("giou", lambda x: tv.generalized_box_iou_loss(x, t["targets"], reduction="mean"), t["boxes"])

    found["iou"] = tv.box_iou(t["boxes"], t["targets"])
    found["nms"] = tv.nms(t["boxes"], t["scores"], NMS_IOU)
    found["batched_nms"] = tv.batched_nms(t["boxes"], t["scores"], t["groups"], NMS_IOU)
    coder = BoxCoder(weights=tuple(1 / one for one in DEVIATIONS))
    found["encoded"] = coder.encode_single(t["targets"], t["boxes"])
    found["decoded"] = coder.decode_single(t["deltas"], t["boxes"])

    anchors = AnchorGenerator(sizes=((8 * STRIDE,),), aspect_ratios=((0.5, 1.0, 2.0),))
    image = ImageList(torch.zeros(1, 3, STRIDE * MAP_SIZE[0], STRIDE * MAP_SIZE[1]), [IMAGE_SIZE])
    (found["anchors"],) = anchors(image, [torch.zeros(1, 1, *MAP_SIZE)])
    iou = tv.box_iou(t["true_boxes"], t["boxes"])
    found["matched"] = Matcher(0.5, 0.3, allow_low_quality_matches=True)(iou)
    found["matched_without_low_quality"] = Matcher(0.5, 0.5, allow_low_quality_matches=False)(iou)

    found["pasted"] = pasted(torch, t["masks"], t["boxes"][:5])
    rois = torch.cat([torch.arange(8)[:, None] % 4, t["rois"][:8, 1:].clamp(min=0)], dim=1)
    cropped = tv.roi_align(t["true_masks"][:, None].double(), rois, 28, 1.0, 0, aligned=True)
    found["mask_targets"] = cropped[:, 0] >= 0.5
    return {name: value.contiguous().numpy() for name, value in found.items()}


def pasted(torch, masks, boxes):
    """As mmdetection's _do_paste_mask: `grid_sample` at the pixels' centres."""
    height, width = IMAGE_SIZE
    x0, y0, x1, y1 = torch.split(boxes, 1, dim=1)
    y = (torch.arange(height).double() + 0.5 - y0) / (y1 - y0) * 2 - 1
    x = (torch.arange(width).double() + 0.5 - x0) / (x1 - x0) * 2 - 1
    count = len(masks)
    grid = torch.stack([x[:, None].expand(count, height, width), y[:, :, None].expand(count, height, width)], dim=3)
    return torch.nn.functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0] >= 0.5


def read_golden():
    """The inputs and the peers' results, from the file."""
    tensors = load_file(FILE)
    parts = {part: {} for part in ("inputs", "outputs")}
    for name, value in tensors.items():
        part, _, own = name.partition("/")
        parts[part][own] = value
    return parts["inputs"], parts["outputs"]


if __name__ == "__main__":
    given = inputs()
    tensors = {f"inputs/{name}": value for name, value in given.items()}
    tensors |= {f"outputs/{name}": value for name, value in outputs(given).items()}
    save_file(tensors, FILE)
    print(FILE.name, FILE.stat().st_size, "bytes")
