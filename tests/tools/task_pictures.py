"""Draws the README's pictures of dense tasks, and that of a detector's steps, from runs of the examples on scenes.

    python -m tests.tools.task_pictures --segmentation runs/scenes-upernet_swin_nano \
        --instances runs/scenes-mask_rcnn_swin_nano --boxes runs/scenes-boxes

It writes segmentation.png, instances.png, boxes.png and detector.png in docs/images, for the runs that are given.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from PIL import Image

import npswin
from npswin.data import load_detection_scenes, load_segmentation_scenes
from npswin.training import draw_detections, draw_segmentation

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images"
SHOWN = (2, 6)  # test scenes
STEPS_SHOWN = 2  # the scene of which a detector's steps are drawn
COLOURS = 256


def draw_segmented(folder: Path) -> None:
    """Label maps beside predicted ones."""
    run, data = npswin.load_run(folder), load_segmentation_scenes(train=False)
    samples = [data[place] for place in SHOWN]
    images, labels = [one.image for one in samples], [one.labels for one in samples]
    predictions = [run.predict(image) for image in images]
    path = PICTURES / "segmentation.png"
    draw_segmentation(images, predictions, data.class_names, path, labels, title="UPerNet on Swin")


def draw_found(folder: Path, path: Path) -> None:
    """Objects beside those that were found."""
    run, data = npswin.load_run(folder), load_detection_scenes(train=False)
    samples = [data[place] for place in SHOWN]
    images = [one.image for one in samples]
    title = f"{'Mask' if run.task.masks else 'Faster'} R-CNN on Swin"
    if not run.task.masks:
        samples = [type(one)(one.image, one.boxes, one.labels, None, one.crowd) for one in samples]
    draw_detections(images, [run.predict(image) for image in images], data.class_names, path, samples, title=title)


def main() -> None:
    """Draw what was asked for, with few colours, so that the files are small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--segmentation", "--instances", "--boxes"):
        parser.add_argument(name, type=Path, metavar="RUN")
    arguments = parser.parse_args()
    drawn = []
    if arguments.segmentation:
        draw_segmented(arguments.segmentation)
        drawn.append("segmentation.png")
    if arguments.instances:
        draw_found(arguments.instances, PICTURES / "instances.png")
        script, steps = ROOT / "examples" / "explain_detector.py", PICTURES / "detector.png"
        options = ["--index", str(STEPS_SHOWN), "--out", str(steps)]
        subprocess.run([sys.executable, str(script), str(arguments.instances), *options], check=True)
        drawn += ["instances.png", "detector.png"]
    if arguments.boxes:
        draw_found(arguments.boxes, PICTURES / "boxes.png")
        drawn.append("boxes.png")
    for name in drawn:
        with Image.open(PICTURES / name) as image:
            smaller = image.convert("RGB").quantize(COLOURS)
        smaller.save(PICTURES / name, optimize=True)
        print(PICTURES / name)


if __name__ == "__main__":
    main()
