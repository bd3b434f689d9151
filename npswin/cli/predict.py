"""npswin predict: what the model of a training run finds in images."""

import argparse
from itertools import count
from pathlib import Path
from typing import Any

from npswin.cli.machine_options import add_machine_options, set_machine
from npswin.cli.progress import ProgressBar
from npswin.data import DataFileError
from npswin.files import counted, shown_path
from npswin.training.prediction.files import files_of_task
from npswin.training.prediction.folder import THRESHOLD, TOP
from npswin.training.prediction.image_paths import image_paths
from npswin.training.prediction.predict import Prediction, predict_files
from npswin.training.prediction.run import WEIGHTS, load_run

DESCRIPTION = """Predict on your own images with the model of a training run, finished or still running.

    npswin predict runs/scenes-mask_rcnn_swin_nano photos --out found
    npswin predict runs/shapes-swin_mini_patch2_window4_32 cat.jpg dog.png --out classes --top 3

RUN is the folder that a training wrote, of examples/train_cifar.py, segment.py, detect.py or of an npswin.Trainer. The
folder DIR gets

    pictures/NAME.png      for each image what was found, drawn
    predictions.json       a classifier: the most likely classes with their probabilities
                           a segmenter: the share of the pixels of each class
                           a detector: COCO's results, with the category ids of the training data
    images.json            a detector: the images and categories that these ids are of, each image with its picture
    annotations/NAME.png   a segmenter: the number of the class of each pixel, for npswin.data.load_label_maps, with
                           classes.txt

NAME is the image's; of several images with one name, the later ones get a number: cat, cat-2. A classifier gets images
resized to the size it was trained on, regardless of their aspect ratio; other models get them as in the run's
evaluations, and what they find is in the pixels of your images. Colours, grey and transparency are converted to what
the model takes, of 16 bits the upper 8 are used.

Nothing is replaced or deleted: DIR has to be new or empty, and is made with the first result. The exit status is 0 if
all images were predicted, 1 if some cannot be read, which does not stop the others, and 2 for any other error: there is
no run, no such image, another folder is needed, or a file cannot be written.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "predict",
        help="what the model of a training run finds in your images",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("training_run", type=Path, metavar="RUN", help="the run's folder")
    images = "an image file, or a folder whose image files are meant, without those in its subfolders"
    add("images", type=Path, nargs="+", metavar="IMAGE", help=images)
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to write, new or empty")
    add("--weights", choices=WEIGHTS, help="which weights of the run (default: best, or last if there is no best yet)")
    add("--top", type=int, metavar="N", help=f"classes per image, of a classifier (default: {TOP})")
    threshold = (
        f"score from which on an object is drawn, of a detector (default: {THRESHOLD}); predictions.json has all that "
        "the model keeps: above its score_threshold, at most `detections` of an image (arguments of the model)"
    )
    add("--threshold", type=float, metavar="S", help=threshold)
    add_machine_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Predict, print a line for each image, and return the exit status."""
    set_machine(options)
    paths = image_paths(options.images)
    trained = load_run(options.training_run, options.weights)
    folder = files_of_task(trained)(options.out, trained, paths, options.top, options.threshold)
    print(f"predicting {counted(len(paths), 'image')} with {shown_path(trained.weights)}", flush=True)
    if size := trained.model.config.get("img_size"):  # of a classifier
        height, width = (size, size) if isinstance(size, int) else size
        print(f"images are resized to {height}×{width} pixels, the model's size", flush=True)
    failed: list[DataFileError] = []
    done = count(1)
    with ProgressBar("images") as progress:

        def each(prediction: Prediction, line: str) -> None:
            progress.print(f"{shown_path(prediction.path)}: {line}")
            progress("predicting", next(done), len(paths))

        def on_error(error: DataFileError) -> None:
            failed.append(error)
            progress.print(f"npswin predict: {error}", is_error=True)
            progress("predicting", next(done), len(paths))

        progress("predicting", 0, len(paths))
        predict_files(trained, paths, folder, each, on_error)
    if closing_line := folder.closing_line():
        print(closing_line)
    print(f"{options.out}: {len(paths) - len(failed)} of {len(paths)} images, by {shown_path(trained.weights)}")
    return int(bool(failed))
