"""Show how a trained detector comes from an image to its objects, step by step.

    python examples/explain_detector.py runs/scenes-mask_rcnn_swin_nano
    python examples/explain_detector.py runs/coco-mask_rcnn_swin_nano --data-dir coco --index 3

The run is one of `examples/detect.py`; the image is one of its test images, by default one of the data set scenes. The
picture has anchors, the anchors and the proposals on which the two stages would be trained, RoIs as the heads see them,
masks, and what is found: docs/detector.md explains it. Of a cascade the RoIs are those of its first stage.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    import warnings
    from dataclasses import replace
    from pathlib import Path
    from typing import Any

    import numpy as np

    import npswin
    from npswin.checks import check_integer
    from npswin.cli.machine_options import add_machine_options, set_machine
    from npswin.cli.training_program import new_parser
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
    from npswin.files import listed, message_of, shown_path
    from npswin.models.detection import DetectorOutput
    from npswin.models.detection.checks import check_objects
    from npswin.models.detection.proposals import propose
    from npswin.models.detection.samples import RoISamples, RPNSamples
    from npswin.models.detection.two_stage import TwoStageDetector
    from npswin.training import Run
    from npswin.training.pictures.labels import draw_labels
    from npswin.training.pictures.palette import colours
    from npswin.training.pictures.style import (
        GREEN,
        GREY,
        RED,
        check_picture_path,
        new_figure,
        save_figure,
        show_image,
    )
    from npswin.training.prediction.folder import THRESHOLD
    from npswin.training.tasks.detection_evaluation import PADDED_TO, check_detection_data
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

NAME = "explain_detector.py"
SHOWN_PROPOSALS, SHOWN_BACKGROUND = 40, 24  # boxes in a picture
SHOWN_ROIS = 4  # the surest of what is found
WIDTH, STEPS_HEIGHT, ROI_HEIGHT = 10, 6.5, 2.5  # in inches: of the picture, of the steps, of a row of RoIs
CONTEXT = 1.6  # sides of the image's part around a RoI, in sides of the RoI
SCORE = f"a score of at least {100 * THRESHOLD:.0f} %"


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("run", type=Path, help="the folder of a run of examples/detect.py")
    add("--data-dir", type=Path, help="folder with images and annotations (default: the built-in scenes)")
    repair = "leave out damaged images and annotations, instead of stopping"
    add("--repair-data", action="store_true", help=repair)
    add("--index", type=int, default=0, help="the test image, from 0 (default: %(default)s)")
    add_machine_options(parser)
    add("--out", type=Path, default=Path("detector.png"), help="the picture (default: %(default)s)")
    return parser.parse_args()


class Steps:
    """All that a detector computes for one image, from anchors to objects.

    Args:
        model: the detector; its first stage is shown, if it is a cascade.
        sample: the image, at the size that the model takes, and its objects.
        normalization: mean and deviation of each channel.

    Attributes:
        anchors: (Nᵢ, 4) of each map of the pyramid.
        rpn_samples: the anchors on which the region proposal network would be trained.
        proposals: (n, 4), those of inference.
        roi_samples: the RoIs on which the heads would be trained; they are drawn from the proposals of training.
        found: the objects with a score of at least THRESHOLD.
    """

    def __init__(self, model: TwoStageDetector, sample: DetectionSample, normalization: tuple[Any, Any]) -> None:
        batch = padded_batch([sample], PADDED_TO)
        images, sizes = normalize_padded(batch.images, batch.sizes, *normalization, model.dtype), batch.sizes
        objects = check_objects(batch.samples, sizes, model.num_classes, model.dtype, model.roi_head.finds_masks)
        rng, stage = np.random.default_rng(0), model.roi_head.stages[0]
        self.num_classes = model.num_classes
        self.pyramid = model.neck(model.backbone(images))
        self.anchors = model.rpn_head.anchors(self.pyramid)
        outputs = model.rpn_head(self.pyramid)
        self.rpn_samples: RPNSamples = model.rpn_head.draw_samples(self.pyramid, objects, sizes, rng)
        self.proposals = propose(outputs, self.anchors, sizes, model.inference_proposals)[0]
        in_training = propose(outputs, self.anchors, sizes, model.training_proposals)
        self.roi_samples: RoISamples = stage.draw_samples(in_training, objects, rng)
        self.found = surest(model.detect(images, sizes)[0])


def surest(found: DetectorOutput) -> DetectorOutput:
    """The objects with a score of at least THRESHOLD."""
    count = int((found.scores >= THRESHOLD).sum())  # they are sorted by score
    masks = None if found.mask_probabilities is None else found.mask_probabilities[:count]
    return replace(
        found,
        boxes=found.boxes[:count],
        scores=found.scores[:count],
        labels=found.labels[:count],
        mask_probabilities=masks,
    )


def show_anchors(axes: Any, steps: Steps) -> None:
    """Of each map of the pyramid, the three anchors at its middle; smaller maps have larger ones."""
    palette = colours(len(steps.anchors)) / 255
    for level, (anchors, x) in enumerate(zip(steps.anchors, steps.pyramid, strict=True)):
        height, width = x.shape[1:3]
        middle = anchors.reshape(height, width, -1, 4)[height // 2, width // 2]
        show_boxes(axes, middle, palette[level], 1.6)
    count = sum(map(len, steps.anchors))
    axes.set_title(f"anchors: those at one place of each map, of {count:,}")


def show_rpn_samples(axes: Any, steps: Steps) -> None:
    """The anchors on which the region proposal network would be trained."""
    boxes = np.concatenate(steps.anchors)[steps.rpn_samples.anchors]
    is_object = steps.rpn_samples.is_object.astype(bool)
    show_boxes(axes, boxes[~is_object][:SHOWN_BACKGROUND], GREY, 0.5)
    show_boxes(axes, boxes[is_object], GREEN, 1.4)
    axes.set_title(f"sampled anchors: {is_object.sum()} with an object, {(~is_object).sum()} without")


def show_proposals(axes: Any, steps: Steps) -> None:
    """The boxes in which an object is most likely."""
    shown = steps.proposals[:SHOWN_PROPOSALS]
    show_boxes(axes, shown, RED, 0.9)
    axes.set_title(f"proposals: the {len(shown)} surest of {len(steps.proposals)}")


def show_roi_samples(axes: Any, steps: Steps) -> None:
    """The RoIs on which the heads would be trained, each with an object in the colour of its class."""
    rois, labels = steps.roi_samples.rois[:, 1:], steps.roi_samples.labels
    is_object = labels < steps.num_classes
    palette = colours(steps.num_classes) / 255
    show_boxes(axes, rois[~is_object][:SHOWN_BACKGROUND], GREY, 0.5)
    for box, label in zip(rois[is_object], labels[is_object], strict=True):
        show_boxes(axes, box[None], palette[label], 1.2)
    axes.set_title(f"sampled RoIs: {is_object.sum()} with an object, {(~is_object).sum()} without")


def show_found(axes: Any, steps: Steps) -> None:
    """The boxes that are found."""
    palette, found = colours(steps.num_classes) / 255, steps.found
    for box, label in zip(found.boxes, found.labels, strict=True):
        show_boxes(axes, box[None], palette[label], 1.6)
    axes.set_title(f"found: {len(found.scores)} objects with {SCORE}")


def names_of(found: DetectorOutput, class_names: tuple[str, ...]) -> list[str]:
    """Class and score of each object."""
    return [
        f"{class_names[label]} {100 * score:.0f} %" for label, score in zip(found.labels, found.scores, strict=True)
    ]


def show_roi(column: Any, image: np.ndarray[Any, Any], steps: Steps, index: int, name: str) -> None:
    """The part of the image around a box that is found, and below it the mask in the box as the mask head gives it."""
    found = steps.found
    box = found.boxes[index]
    x, y, half = box[[0, 2]].mean(), box[[1, 3]].mean(), CONTEXT / 2 * (box[2:] - box[:2]).max()
    show_image(column[0], image)
    show_boxes(column[0], box[None], RED, 1.4)
    column[0].set_title(name, parse_math=False)
    if found.mask_probabilities is not None:
        place = box[[0, 2, 3, 1]] - 0.5
        column[1].imshow(found.mask_probabilities[index], cmap="viridis", vmin=0, vmax=1, extent=place)
        column[1].set(xticks=[], yticks=[])
        column[1].set_title("its mask: {1}×{2} probabilities".format(*found.mask_probabilities.shape))
    for axes in column:
        axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half), facecolor="white")


def show_boxes(axes: Any, boxes: np.ndarray[Any, Any], colour: Any, width: float) -> None:
    """Boxes (n, 4) as lines."""
    from matplotlib.patches import Rectangle

    for x1, y1, x2, y2 in boxes - 0.5:  # matplotlib's pixel centres have whole coordinates
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def show_steps(image: np.ndarray[Any, Any], steps: Steps, class_names: tuple[str, ...], path: Path) -> None:
    """The whole picture: three columns of steps, and below the surest objects, with their masks where there are any."""
    names, found = names_of(steps.found, class_names), steps.found
    count = min(SHOWN_ROIS, len(names))
    rows = 0 if not count else 1 if steps.found.mask_probabilities is None else 2
    heights = (STEPS_HEIGHT, *([rows * ROI_HEIGHT] if rows else []))
    figure = new_figure(WIDTH, sum(heights))
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    panels = parts[0].subplots(2, 3)
    for axes in panels.flat:
        show_image(axes, image)
    panels[0, 0].set_title("image")
    show_anchors(panels[0, 1], steps)
    show_rpn_samples(panels[0, 2], steps)
    show_proposals(panels[1, 0], steps)
    show_roi_samples(panels[1, 1], steps)
    show_found(panels[1, 2], steps)
    if rows:
        columns = parts[1].subplots(rows, count, squeeze=False).T
        for index, column in enumerate(columns):
            show_roi(column, image, steps, index, names[index])
    for axes in figure.axes:
        axes.set_title(axes.get_title(), fontsize=9, color=GREY)
    figure.draw_without_rendering()
    draw_labels(panels[1, 2], found.boxes - 0.5, names, colours(steps.num_classes)[found.labels], image.shape[1:])
    save_figure(figure, path)


def load_data(arguments: argparse.Namespace) -> DetectionDataset:
    """The test images."""
    if arguments.data_dir is not None:
        return load_detection_folder(arguments.data_dir, repair=arguments.repair_data)[1]
    return load_detection_scenes(train=False)


def check_data(data: DetectionDataset, run: Run) -> None:
    """Raise a ValueError unless channels, classes and masks are those that a run was trained on."""
    if data.class_names != run.class_names:
        ours, theirs = (listed(names) for names in (data.class_names, run.class_names))
        raise ValueError(f"--data-dir: the data set has the classes {ours}; expected those of the run, {theirs}")
    check_detection_data("--data-dir", data, run.model, run.model.roi_head.finds_masks)


def explain(arguments: argparse.Namespace) -> None:
    """Load, compute, write the picture."""
    set_machine(arguments)
    check_picture_path("--out", arguments.out)
    run = npswin.load_run(arguments.run)
    if not isinstance(run.model, TwoStageDetector):
        raise ValueError(f"{shown_path(arguments.run)}: is not a run of a detector")
    data = load_data(arguments)
    check_data(data, run)
    sample = data[check_integer("--index", arguments.index, 0, len(data) - 1)]
    resized = resize_sample(sample, size_within(sample.image.shape[1:], run.task.test_shorter, run.task.longer))
    steps = Steps(run.model, resized, (run.mean, run.std))
    show_steps(resized.image, steps, data.class_names, arguments.out)
    count = len(steps.found.scores)
    print(f"{arguments.out}: image {arguments.index} of {data.name}, {count} objects found with {SCORE}")


def main() -> int:
    """The exit status: 0, or 2 for a mistake."""
    arguments = parse_arguments()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"{NAME}: warning: {message}", file=sys.stderr)
            explain(arguments)
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"{NAME}: error: {message_of(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
