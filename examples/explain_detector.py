"""Draw how a trained detector comes from an image to its objects, step by step.

    python examples/explain_detector.py runs/scenes-mask_rcnn_swin_nano
    python examples/explain_detector.py runs/coco-mask_rcnn_swin_nano --data-dir coco --index 3

The run is one of `examples/detect.py`; the image is one of its test images, by default one of the data set scenes. The
picture has anchors, the anchors and the proposals on which the two stages would be trained, RoIs as the heads see them,
masks, and what is found: docs/detector.md explains it.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    from pathlib import Path
    from typing import Any

    import numpy as np

    import npswin
    from npswin.checks import check_integer
    from npswin.data import (
        DetectionDataset,
        DetectionSample,
        load_detection_folder,
        load_detection_scenes,
        normalize_padded,
        padded_batch,
        resize_sample,
        size_within,
    )
    from npswin.models.detection.checks import check_objects
    from npswin.models.detection.proposals import propose
    from npswin.models.detection.samples import RoISamples, RPNSamples
    from npswin.models.detection.two_stage import TwoStageDetector
    from npswin.training.pictures.palette import colours
    from npswin.training.pictures.style import GREEN, GREY, RED, new_figure, save_figure, show_image
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

SHOWN_PROPOSALS, SHOWN_BACKGROUND = 40, 24  # boxes in a picture
SHOWN_ROIS = 4  # the surest of what is found
CONTEXT = 1.6  # sides of the image's part around a RoI, in sides of the RoI


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("run", type=Path, help="the folder of a run of examples/detect.py")
    add("--data-dir", type=Path, help="folder with images and annotations (default: the built-in scenes)")
    add("--index", type=int, default=0, help="the test image, from 0 (default: %(default)s)")
    add("--out", type=Path, default=Path("detector.png"), help="the picture (default: %(default)s)")
    return parser.parse_args()


class Steps:
    """All that a detector computes for one image, from anchors to objects.

    Args:
        model: the detector; its first stage is shown, if it is a cascade.
        sample: the image, at the size that the model takes, and its objects.
        normalization: mean and deviation of each channel.
    """

    def __init__(self, model: TwoStageDetector, sample: DetectionSample, normalization: tuple[Any, Any]) -> None:
        batch = padded_batch([sample], divisor=32)
        images, sizes = normalize_padded(batch.images, batch.sizes, *normalization, model.dtype), batch.sizes
        objects = check_objects(batch.samples, sizes, model.num_classes, model.dtype, model.roi_head.finds_masks)
        rng, stage = np.random.default_rng(0), model.roi_head.stages[0]
        self.num_classes = model.num_classes
        self.pyramid = model.neck(model.backbone(images))
        self.anchors = model.rpn_head.anchors(self.pyramid)
        outputs = model.rpn_head(self.pyramid)
        self.rpn_samples: RPNSamples = model.rpn_head.draw_samples(self.pyramid, objects, sizes, rng)
        self.proposals = propose(outputs, self.anchors, sizes, model.inference_proposals)[0]
        self.roi_samples: RoISamples = stage.draw_samples([self.proposals], objects, rng)
        self.found = model.detect(images, sizes)[0]


def draw_anchors(axes: Any, steps: Steps) -> None:
    """Of each map of the pyramid, the three anchors at its middle; smaller maps have larger ones."""
    palette = colours(len(steps.anchors)) / 255
    for level, (anchors, x) in enumerate(zip(steps.anchors, steps.pyramid, strict=True)):
        height, width = x.shape[1:3]
        middle = anchors.reshape(height, width, -1, 4)[height // 2, width // 2]
        draw_boxes(axes, middle, palette[level], 1.6)
    count = sum(map(len, steps.anchors))
    axes.set_title(f"anchors: those at one place of each map, of {count:,}")


def draw_rpn_samples(axes: Any, steps: Steps) -> None:
    """The anchors on which the region proposal network would be trained."""
    boxes = np.concatenate(steps.anchors)[steps.rpn_samples.anchors]
    is_object = steps.rpn_samples.is_object.astype(bool)
    draw_boxes(axes, boxes[~is_object][:SHOWN_BACKGROUND], GREY, 0.5)
    draw_boxes(axes, boxes[is_object], GREEN, 1.4)
    axes.set_title(f"sampled anchors: {is_object.sum()} with an object, {(~is_object).sum()} without")


def draw_proposals(axes: Any, steps: Steps) -> None:
    """The boxes in which an object is most likely."""
    shown = steps.proposals[:SHOWN_PROPOSALS]
    draw_boxes(axes, shown, RED, 0.9)
    axes.set_title(f"proposals: the {len(shown)} surest of {len(steps.proposals)}")


def draw_roi_samples(axes: Any, steps: Steps) -> None:
    """The RoIs on which the heads would be trained, each with an object in the colour of its class."""
    rois, labels = steps.roi_samples.rois[:, 1:], steps.roi_samples.labels
    is_object = labels < steps.num_classes
    palette = colours(steps.num_classes) / 255
    draw_boxes(axes, rois[~is_object][:SHOWN_BACKGROUND], GREY, 0.5)
    for box, label in zip(rois[is_object], labels[is_object], strict=True):
        draw_boxes(axes, box[None], palette[label], 1.2)
    axes.set_title(f"sampled RoIs: {is_object.sum()} with an object, {(~is_object).sum()} without")


def draw_found(axes: Any, steps: Steps, class_names: tuple[str, ...]) -> None:
    """The boxes that are found with a score of at least one half."""
    palette, found = colours(steps.num_classes) / 255, steps.found
    for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
        if score >= 0.5:
            draw_boxes(axes, box[None], palette[label], 1.6)
            axes.text(box[0], box[1] - 1, f"{class_names[label]} {100 * score:.0f}", fontsize=7, color="white",
                      bbox={"facecolor": palette[label], "edgecolor": "none", "pad": 0.8})  # fmt: skip
    axes.set_title(f"found: {(found.scores >= 0.5).sum()} objects with a score of at least 50 %")


def draw_roi(axes: Any, image: np.ndarray[Any, Any], steps: Steps, index: int, class_names: tuple[str, ...]) -> None:
    """The part of the image around a box that is found, and in the box its mask as the mask head gives it."""
    found = steps.found
    box = found.boxes[index]
    x, y, half = box[[0, 2]].mean(), box[[1, 3]].mean(), CONTEXT / 2 * (box[2:] - box[:2]).max()
    show_image(axes[0], image)
    draw_boxes(axes[0], box[None], RED, 1.4)
    axes[0].set_title(f"{class_names[found.labels[index]]} {100 * found.scores[index]:.0f}")
    if found.mask_probabilities is not None:
        place = box[[0, 2, 3, 1]] - 0.5
        axes[1].imshow(found.mask_probabilities[index], cmap="viridis", vmin=0, vmax=1, extent=place)
        axes[1].set(xticks=[], yticks=[])
        axes[1].set_title("its mask: {1}×{2} probabilities".format(*found.mask_probabilities.shape))
    for one in axes:
        one.set(xlim=(x - half, x + half), ylim=(y + half, y - half), facecolor="white")


def draw_boxes(axes: Any, boxes: np.ndarray[Any, Any], colour: Any, width: float) -> None:
    """Boxes (n, 4) as lines."""
    from matplotlib.patches import Rectangle

    for x1, y1, x2, y2 in boxes - 0.5:  # matplotlib's pixel centres have whole coordinates
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def draw_steps(image: np.ndarray[Any, Any], steps: Steps, class_names: tuple[str, ...], path: Path) -> None:
    """The whole picture: three columns of steps, and below a row of RoIs."""
    figure = new_figure(10, 11.5)
    above, below = figure.subfigures(2, 1, height_ratios=(1.28, 1.0))
    panels = above.subplots(2, 3)
    for axes in panels.flat:
        show_image(axes, image)
    panels[0, 0].set_title("image")
    draw_anchors(panels[0, 1], steps)
    draw_rpn_samples(panels[0, 2], steps)
    draw_proposals(panels[1, 0], steps)
    draw_roi_samples(panels[1, 1], steps)
    draw_found(panels[1, 2], steps, class_names)
    count = min(SHOWN_ROIS, len(steps.found.scores))
    if count:
        rows = below.subplots(2, count, squeeze=False)
        for index in range(count):
            draw_roi(rows[:, index], image, steps, index, class_names)
    for axes in figure.axes:
        axes.set_title(axes.get_title(), fontsize=9, color=GREY)
    save_figure(figure, path)


def explain(arguments: argparse.Namespace) -> None:
    """Load, compute, draw."""
    run = npswin.load_run(arguments.run)
    if not isinstance(run.model, TwoStageDetector):
        raise ValueError(f"{arguments.run}: is not a run of a detector")
    data: DetectionDataset = (
        load_detection_scenes(train=False)
        if arguments.data_dir is None
        else load_detection_folder(arguments.data_dir)[1]
    )
    if data.class_names != run.class_names:
        raise ValueError(f"the data set has the classes {', '.join(data.class_names)}, the run {run.class_names}")
    sample = data[check_integer("index", arguments.index, 0, len(data) - 1)]
    resized = resize_sample(sample, size_within(sample.image.shape[1:], run.task.test_shorter, run.task.longer))
    steps = Steps(run.model, resized, (run.mean, run.std))
    draw_steps(resized.image, steps, data.class_names, arguments.out)
    print(f"{arguments.out}: image {arguments.index} of {data.name}, {len(steps.found.scores)} objects found")


def main() -> int:
    """The exit status: 0, or 2 for a mistake."""
    try:
        explain(parse_arguments())
    except (ValueError, OSError, ImportError) as error:
        print(f"explain_detector.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
