"""Train UPerNet on Swin to find the class of each pixel, with hand-written derivatives.

    python examples/segment.py                          the built-in data set scenes: minutes on a CPU
    python examples/segment.py --data-dir camvid        one's own images and label images
    python examples/segment.py --backbone classifier.safetensors        begin with the weights of a classifier
    python examples/segment.py --resume                 continue after Ctrl-C or a crash
    python examples/segment.py --epochs 1 --out runs/short

--data-dir is a folder with images/train, annotations/train (label images of the same names), images/val,
annotations/val and classes.txt, a name in each line; or ADE20K or Cityscapes as they are downloaded. The run's folder
gets its settings, a JSON line for each step, checkpoints, curves.png and segmentation.png: images, truth, prediction.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    from typing import Any

    import npswin
    from npswin.cli.dense_program import (
        Recipes,
        add_dense_options,
        data_name,
        dense_recipe,
        is_small,
        load_dense_data,
    )
    from npswin.cli.machine_options import set_machine
    from npswin.cli.normalization import chosen_normalization
    from npswin.cli.training_program import (
        add_run_options,
        fit,
        model_to_train,
        new_parser,
        predict_first,
        print_run,
        run_folder,
        run_program,
        training_config,
        with_short_warmup,
    )
    from npswin.data import load_segmentation_folder, load_segmentation_scenes
    from npswin.files import counted
    from npswin.training import SegmentationTask, Trainer, draw_segmentation
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("upernet_*")
RECIPES = Recipes(
    # For two CPU cores: minutes on scenes.
    small={
        "size": 128,
        "epochs": 18,
        "batch_size": 4,
        "lr": 2e-3,
        "weight_decay": 0.05,
        "schedule": "poly",
        "warmup_epochs": 0.5,
        "clip_norm": 1.0,
        "ema_decay": 0.998,
        "checkpoint_every": 100,
    },
    # For a backbone with ImageNet's weights, and 160,000 steps on ADE20K: Liu et al. 2021, section 4.3.
    official={
        "size": 512,
        "epochs": 127,
        "batch_size": 16,
        "lr": 6e-5,
        "weight_decay": 0.01,
        "schedule": "poly",
        "warmup_steps": 1500,
        "checkpoint_every": 100,
    },
)
TRAINING_SIZES = "0.75 to 1.5 times that, for the official presets 0.5 to 2 times, of which crops are taken"


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_dense_options(parser, PRESETS, RECIPES, "label images", TRAINING_SIZES)
    crop = "side of the square crops of training (default: that of --size)"
    parser.add_argument("--crop", type=int, metavar="N", help=crop)
    add_run_options(parser)
    return parser.parse_args()


def segmentation_task(arguments: argparse.Namespace) -> SegmentationTask:
    """The sizes and the augmentation: the official one, or a milder one for a tenth of the steps."""
    size = arguments.size
    crop = size if arguments.crop is None else arguments.crop
    augmentation: dict[str, Any] = {"ratios": (0.75, 1.5), "colours": False} if is_small(arguments.preset) else {}
    return SegmentationTask((crop, crop), shorter=size, longer=4 * size, **augmentation)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    config = training_config(dense_recipe(RECIPES, arguments), arguments)
    out = run_folder(arguments, data_name(arguments))
    normalization = chosen_normalization(arguments)
    train_data, test_data = load_dense_data(arguments, load_segmentation_folder, load_segmentation_scenes)
    config = with_short_warmup(config, len(train_data))
    model = model_to_train(arguments, len(train_data.class_names))

    print_run(arguments, model, train_data, config, out)
    task = segmentation_task(arguments)
    trainer = Trainer(model, train_data, test_data, config, out, normalization, task)
    result = fit(trainer, arguments)

    samples, predictions = predict_first(trainer)
    title = f"{arguments.preset} on {test_data.name}: mean IoU {100 * result.mean_iou:.1f} %"
    images, labels = [one.image for one in samples], [one.labels for one in samples]
    draw_segmentation(images, predictions, test_data.class_names, out / "segmentation.png", labels, title)
    print(f"weights, metrics and pictures: {out}")
    print(
        f"mean IoU: {100 * result.mean_iou:.2f} %, pixel accuracy {100 * result.pixel_accuracy:.2f} % "
        f"({test_data.name}, {counted(len(test_data), 'image')})"
    )


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
