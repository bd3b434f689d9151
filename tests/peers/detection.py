"""torchvision's parts of Mask R-CNN in float64, put together on drawn maps: losses, every gradient, and detections.

python -m tests.peers.detection     writes the golden files; needs torch, torchvision and safetensors

The samples of both stages are drawn here, since the two packages sample by their own random numbers. Where their
conventions differ, torchvision's are changed to those of mmdetection, which npswin follows:

- its smooth L1 loss is linear beyond 1/9, where it differs from the L1 loss by a constant: all targets of an L1 loss
  lie there;
- its background is class 0, and has box deltas, which nothing reads;
- its RoIAlign is called with aligned=True, and with as many points as a bin has pixels;
- its masks are not rounded: drawn ones of zeros and ones take their place.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from npswin.weights.layout_heads import convert_heads, head_names

FOLDER = Path(__file__).with_name("golden")
BETA = 1 / 9  # of torchvision's smooth L1 loss
RPN_DISTANCES = {"l1": (0.2, 2.0), "smooth_l1": (0.0, 3 * BETA)}  # of targets from what is predicted
STRIDES = (1, 2, 4, 8, 16)
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
IN_CHANNELS = (1, 2, 1, 2)
BEFORE_NMS, AFTER_NMS, DETECTIONS = 60, 40, 20


@dataclass
class Case:
    """One comparison: the box head, the images' heights and widths without padding, the region proposals' box loss."""

    name: str
    convs: int
    linears: int
    sizes: tuple[tuple[int, int], ...]
    rpn_box_loss: str
    num_classes: int = 3
    channels: int = 4
    width: int = 6

    @property
    def file(self) -> Path:
        """Where the peer's results are."""
        return FOLDER / f"detection-{self.name}.safetensors"

    @property
    def map_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each map, from the finest to the pyramid's last."""
        height, width = (max(sides) for sides in zip(*self.sizes, strict=True))
        return [(-(-height // stride), -(-width // stride)) for stride in STRIDES]


CASES = [
    Case("linear", 0, 2, ((58, 63), (61, 50)), "l1"),
    Case("convolutional", 2, 1, ((34, 66),), "smooth_l1"),
]


def parts(case: Case) -> Any:
    """The modules, by the names that their parameters begin with in npswin."""
    import torch
    from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

    c, classes = case.channels, case.num_classes + 1
    if case.convs:
        box_head = FastRCNNConvFCHead((c, 7, 7), [c] * case.convs, [case.width], norm_layer=torch.nn.BatchNorm2d)
    else:
        box_head = TwoMLPHead(c * 49, case.width)
    modules = {
        "neck": FeaturePyramidNetwork(IN_CHANNELS, c, LastLevelMaxPool()),
        "rpn_head": RPNHead(c, 3),
        "box_head": box_head,
        "box_predictor": FastRCNNPredictor(case.width, classes),
        "mask_head": MaskRCNNHeads(c, [c] * 4, 1),
        "mask_predictor": MaskRCNNPredictor(c, c, classes),
    }
    made = torch.nn.ModuleDict(modules).double()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in made.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim == 1:
            is_gain = name.endswith(".1.weight")
            parameter.data = is_gain + 0.1 * drawn
        else:
            gain = {"rpn_head.bbox_pred.weight": 0.02, "box_predictor.bbox_pred.weight": 0.3}.get(name, 1.2)
            parameter.data = drawn * gain / parameter[0].numel() ** 0.5
    return made


def run(case: Case) -> dict[str, np.ndarray]:
    """What is drawn, and what the peer computes from it, by name.

    "params/NAME" and "grads/NAME" are under npswin's names, "maps/I" and "dmaps/I" have channels first.
    """
    import torch
    from torchvision.models.detection import roi_heads
    from torchvision.ops import MultiScaleRoIAlign, generalized_box_iou_loss, poolers, roi_align

    poolers.roi_align = partial(roi_align, aligned=True)
    modules, rng = parts(case), np.random.default_rng(1)
    params = converted({name: value.clone() for name, value in modules.state_dict().items()})
    maps = [
        torch.tensor(rng.standard_normal((len(case.sizes), channels, *size), np.float32).astype(np.float64))
        for channels, size in zip(IN_CHANNELS, case.map_sizes, strict=False)
    ]
    found = {f"maps/{level}": x.numpy().astype(np.float32) for level, x in enumerate(maps)}
    found |= {"sizes": np.array(case.sizes)}
    maps = [x.requires_grad_() for x in maps]
    pyramid = modules["neck"]({str(level): x for level, x in enumerate(maps)})
    pool = partial(MultiScaleRoIAlign, ["0", "1", "2", "3"], sampling_ratio=0)
    box_pool, mask_pool = pool(output_size=7), pool(output_size=14)

    objectness, deltas = rpn_outputs(modules["rpn_head"], pyramid)
    rpn_samples = draw_rpn_samples(objectness, deltas, RPN_DISTANCES[case.rpn_box_loss], rng)
    rpn_cls, rpn_box = rpn_losses(objectness, deltas, rpn_samples)
    if case.rpn_box_loss == "l1":
        rpn_box = rpn_box + BETA / 2 * rpn_samples["rpn/deltas"].size / len(rpn_samples["rpn/places"])

    samples = draw_roi_samples(case, rng)
    rois = [torch.tensor(samples["roi/rois"][samples["roi/rois"][:, 0] == i, 1:]) for i in range(len(case.sizes))]
    features = modules["box_head"](box_pool(pyramid, rois, list(case.sizes)))
    logits, regression = modules["box_predictor"](features)
    labels, positive = torch.tensor(samples["roi/labels"]), samples["roi/labels"] < case.num_classes
    coder = roi_heads.det_utils.BoxCoder([1 / deviation for deviation in DEVIATIONS])
    true_boxes, positive_rois = torch.tensor(samples["roi/boxes"]), torch.cat(rois)[positive]
    targets = torch.zeros(len(labels), 4, dtype=torch.float64)
    targets[positive] = coder.encode_single(true_boxes, positive_rois)
    shifted = (labels + 1) % (case.num_classes + 1)  # the background first
    cls_loss, box_loss = roi_heads.fastrcnn_loss(logits, regression, [shifted], [targets])
    chosen = regression.reshape(len(labels), -1, 4)[positive, shifted[positive]]
    if case.convs:
        decoded = coder.decode_single(chosen, positive_rois)
        box_loss = 10 * generalized_box_iou_loss(decoded, true_boxes, "sum", eps=0.0) / len(labels)
    else:
        assert (chosen - targets[positive]).abs().min() > BETA
        box_loss = box_loss + BETA / 2 * chosen.numel() / len(labels)

    images = torch.tensor(samples["roi/rois"][positive, 0])
    mask_rois = [positive_rois[images == image] for image in range(len(case.sizes))]
    mask_logits = modules["mask_predictor"](modules["mask_head"](mask_pool(pyramid, mask_rois, list(case.sizes))))
    masks = torch.tensor(samples["roi/masks"].astype(np.float64))
    roi_heads.project_masks_on_boxes = lambda gt_masks, boxes, matched, side: masks
    positive_labels = shifted[positive]
    mask_loss = roi_heads.maskrcnn_loss(
        mask_logits, [positive_rois], [masks], [positive_labels], [torch.arange(len(positive_labels))]
    )

    losses = {"loss_rpn_cls": rpn_cls, "loss_rpn_bbox": rpn_box, "loss_cls": cls_loss, "loss_bbox": box_loss}
    losses["loss_mask"] = mask_loss
    sum(losses.values()).backward()
    found |= rpn_samples | samples
    found |= {f"losses/{name}": loss.detach().numpy() for name, loss in losses.items()}
    found |= {f"dmaps/{level}": x.grad.numpy() for level, x in enumerate(maps)}
    found |= {f"params/{name}": value for name, value in params.items()}
    grads = {name: value.grad.clone() for name, value in modules.named_parameters()}
    found |= {f"grads/{name}": value for name, value in converted(grads).items()}
    buffers = {name: value for name, value in modules.state_dict().items() if name not in grads}
    found |= {f"after/{name}": value for name, value in converted(buffers).items()}
    with torch.no_grad():
        found |= inference(case, modules.eval(), maps, box_pool, mask_pool)
    return {name: np.array(value, order="C") for name, value in found.items()}


def rpn_outputs(head: Any, pyramid: Any) -> Any:
    """Objectness (B·N, 1) and deltas (B·N, 4) of all anchors."""
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    return concat_box_prediction_layers(*head(list(pyramid.values())))


def draw_rpn_samples(
    objectness: Any, deltas: Any, distances: tuple[float, float], rng: np.random.Generator, batch_samples: int = 14
) -> dict[str, Any]:
    """Some anchors, the first third of them positive, whose targets are in these distances from what is predicted."""
    chosen = rng.choice(len(objectness), batch_samples, replace=False)
    positive = batch_samples // 3
    away = rng.uniform(*distances, (positive, 4)) * rng.choice([-1, 1], (positive, 4))
    return {
        "rpn/places": chosen,
        "rpn/is_object": (np.arange(batch_samples) < positive).astype(np.float64),
        "rpn/deltas": deltas.detach().numpy()[chosen[:positive]] + away,
    }


def rpn_losses(objectness: Any, deltas: Any, samples: dict[str, Any]) -> Any:
    """Those of `RegionProposalNetwork.compute_loss`."""
    import torch
    from torchvision.models.detection.rpn import RegionProposalNetwork

    network = RegionProposalNetwork.__new__(RegionProposalNetwork)
    torch.nn.Module.__init__(network)
    places, is_object = samples["rpn/places"], samples["rpn/is_object"]
    chosen = [torch.zeros(len(objectness), dtype=torch.bool) for _ in range(2)]
    for mask, kind in zip(chosen, (1, 0), strict=True):
        mask[places[is_object == kind]] = True
    network.fg_bg_sampler = lambda labels: ([chosen[0]], [chosen[1]])
    labels, targets = torch.zeros(len(objectness), dtype=torch.float64), torch.zeros_like(deltas)
    labels[places] = torch.tensor(is_object)
    targets[places[is_object == 1]] = torch.tensor(samples["rpn/deltas"])
    return network.compute_loss(objectness, deltas, [labels], [targets])


def draw_roi_samples(case: Case, rng: np.random.Generator) -> dict[str, Any]:
    """RoIs of all sizes, some of which reach beyond the image as proposals never do, half of them positive."""
    rois, true_boxes = [], []
    for image, (height, width) in enumerate(case.sizes):
        for side in (0.1, 0.3, 0.5, 0.8, 1.0, 0.6, 0.05):
            w, h = side * width * rng.uniform(0.5, 1), side * height * rng.uniform(0.5, 1)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            rois.append((image, x, y, x + w, y + h))
            true_boxes.append((x + w / 4, y - h / 5, x + w * 0.6, y + h * 1.4))
    labels = rng.integers(0, case.num_classes, len(rois))
    labels[rng.random(len(rois)) < 0.5] = case.num_classes
    positive = labels < case.num_classes
    return {
        "roi/rois": np.array(rois),
        "roi/labels": labels,
        "roi/boxes": np.array(true_boxes)[positive],
        "roi/masks": (rng.random((positive.sum(), 28, 28)) < 0.5).astype(np.uint8),
    }


def inference(case: Case, modules: Any, maps: Any, box_pool: Any, mask_pool: Any) -> dict[str, Any]:
    """Proposals and detections from the same weights, after the step of training changed batch norm's buffers."""
    import torch
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.models.detection.rpn import RegionProposalNetwork

    pyramid = modules["neck"]({str(level): x for level, x in enumerate(maps)})
    objectness, deltas = rpn_outputs(modules["rpn_head"], pyramid)
    anchors = [
        torch.tensor(grid_of_anchors(size, stride)) for size, stride in zip(case.map_sizes, STRIDES, strict=True)
    ]
    network = RegionProposalNetwork(
        None,
        modules["rpn_head"],
        0.7,
        0.3,
        256,
        0.5,
        dict.fromkeys(("training", "testing"), BEFORE_NMS),
        dict.fromkeys(("training", "testing"), AFTER_NMS),
        0.7,
    ).eval()
    network.min_size = 1e-9  # mmdetection keeps boxes of any size but 0
    batch = len(case.sizes)
    boxes = network.box_coder.decode(deltas, [torch.cat(anchors)] * batch).reshape(batch, -1, 4)
    counts = [len(level) for level in anchors]
    proposals, _ = network.filter_proposals(boxes, objectness, list(case.sizes), counts)
    heads = RoIHeads(
        box_pool,
        modules["box_head"],
        modules["box_predictor"],
        0.5,
        0.5,
        512,
        0.25,
        None,
        0.05,
        0.5,
        DETECTIONS,
        mask_pool,
        modules["mask_head"],
        modules["mask_predictor"],
    ).eval()
    results, _ = heads(pyramid, proposals, list(case.sizes))
    found = {}
    for image, (boxes, result) in enumerate(zip(proposals, results, strict=True)):
        found[f"proposals/{image}"] = boxes.numpy()
        for name, value in result.items():
            found[f"{name}/{image}"] = value.numpy() - (name == "labels")
    return {name: value[:, 0] if name.startswith("masks/") else value for name, value in found.items()}


def grid_of_anchors(size: tuple[int, int], stride: int) -> np.ndarray:
    """(H·W·3, 4): boxes of area (8 stride)² around the corner of each pixel, with sides in the ratios 1/2, 1, 2."""
    height, width = size
    half = np.array([(-w, -h, w, h) for h, w in ((r**0.5, r**-0.5) for r in (0.5, 1, 2))]) * 4 * stride
    y, x = np.meshgrid(np.arange(height) * stride, np.arange(width) * stride, indexing="ij")
    return (np.stack([x, y, x, y], axis=-1)[:, :, None] + half).reshape(-1, 4)


# What the names of the parts begin with, and what those of torchvision's Mask R-CNN do.
OF_WHOLE_MODEL = (
    ("neck.", "backbone.fpn."),
    ("rpn_head.", "rpn.head."),
    ("box_", "roi_heads.box_"),
    ("mask_", "roi_heads.mask_"),
)


def converted(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    """torchvision's tensors under npswin's names, with the background last, and without it where nothing reads it."""
    found = {}
    for name, tensor in tensors.items():
        part, whole = next(pair for pair in OF_WHOLE_MODEL if name.startswith(pair[0]))
        found[whole + name.removeprefix(part)] = tensor.detach().numpy()
    return convert_heads(found, head_names(found))


def read_golden(case: Case) -> dict[str, np.ndarray]:
    """What `run` returned, from the case's file."""
    return load_file(case.file)


if __name__ == "__main__":
    for each in CASES:
        save_file(run(each), each.file)
        print(each.file.name, each.file.stat().st_size, "bytes")
