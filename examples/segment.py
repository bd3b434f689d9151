"""Train UPerNet on Swin to find the class of each pixel, with hand-written derivatives.

    python examples/segment.py                          the built-in data set scenes: minutes on a CPU
    python examples/segment.py --data-dir camvid        one's own images and label images
    python examples/segment.py --resume                 continue after Ctrl-C or a crash
    python examples/segment.py --epochs 1 --out runs/short

--data-dir is a folder with images/train, annotations/train (label images of the same names), images/val,
annotations/val and classes.txt, a name in each line; or ADE20K or Cityscapes as they are downloaded. The run's folder
gets its settings, a JSON line for each step, checkpoints, curves.png and segmentation.png: images, truth, prediction.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    import time
    from pathlib import Path
    from typing import Any

    import numpy as np

    import npswin
    from npswin.cli.training_program import add_run_options, run_program, set_machine
    from npswin.data import SegmentationDataset, load_segmentation_folder, load_segmentation_scenes
    from npswin.training import SegmentationTask, TrainConfig, Trainer, draw_segmentation, predict_segmentation
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("upernet_*")
# For two CPU cores: minutes on scenes. The official recipe, for a backbone with ImageNet's weights, has a learning rate
# of 6e-5, a weight decay of 0.01, 1500 steps of warm-up and batches of 16 crops.
RECIPE = {
    "epochs": 24,
    "batch_size": 4,
    "lr": 2e-3,
    "weight_decay": 0.05,
    "schedule": "poly",
    "warmup_epochs": 0.5,
    "clip_norm": 1.0,
    "checkpoint_every": 100,
}
SHOWN = 8  # images in segmentation.png


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="upernet_swin_nano", help="the model (default: %(default)s)")
    add("--data-dir", type=Path, help="folder with images and label images, see above (default: the built-in scenes)")
    add("--repair-data", action="store_true", help="leave out damaged images and labels, instead of stopping")
    add("--size", type=int, help="images are resized to a shorter side of at most so many pixels (default: 128)")
    add("--crop", type=int, help="side of the square crops of training (default: that of --size)")
    add("--epochs", type=int, help=f"passes over the training images (default: {RECIPE['epochs']})")
    add("--batch-size", type=int, help=f"images per step (default: {RECIPE['batch_size']})")
    add("--lr", type=float, help=f"highest learning rate (default: {RECIPE['lr']})")
    add_run_options(parser, "runs/DATA-PRESET")
    return parser.parse_args()


def load_data(arguments: argparse.Namespace) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Training images and test images."""
    if arguments.data_dir is not None:
        return load_segmentation_folder(arguments.data_dir, repair=arguments.repair_data)
    return load_segmentation_scenes(train=True), load_segmentation_scenes(train=False)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    options = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr", "seed")}
    recipe: dict[str, Any] = {**RECIPE, **{name: value for name, value in options.items() if value is not None}}
    recipe["warmup_epochs"] = min(recipe["warmup_epochs"], recipe["epochs"] / 5)
    config = TrainConfig(**recipe)
    size = 128 if arguments.size is None else arguments.size
    crop = size if arguments.crop is None else arguments.crop
    # Milder than the official augmentation, which is for ten times as many steps.
    task = SegmentationTask((crop, crop), shorter=size, longer=4 * size, ratios=(0.75, 1.5), colours=False)
    train_data, test_data = load_data(arguments)

    model = npswin.create_model(
        arguments.preset, num_classes=len(train_data.class_names), dtype=arguments.dtype, seed=arguments.seed
    )
    if arguments.weights is not None:
        head = np.random.default_rng(arguments.seed) if arguments.new_head else "load"
        print(npswin.load_weights(model, arguments.weights, head=head), flush=True)
    out = arguments.out or Path("runs") / f"{train_data.name}-{arguments.preset}"
    parameters = sum(param.size for param in model.params.values())
    print(
        f"{arguments.preset}, {parameters:,} parameters, on {train_data.name}: "
        f"{len(train_data):,} images × {config.epochs} epochs, run folder {out}",
        flush=True,
    )
    started = time.monotonic()
    trainer = Trainer(model, train_data, test_data, config, out, normalization=arguments.weights, task=task)
    result = trainer.fit(arguments.resume, arguments.repair)
    print(f"trained for {time.monotonic() - started:.0f} s")
    samples = [test_data[place] for place in range(min(SHOWN, len(test_data)))]
    predictions = [
        predict_segmentation(model, one.image, trainer.mean, trainer.std, task.shorter, task.longer) for one in samples
    ]
    title = f"{arguments.preset} on {test_data.name}: mean IoU {100 * result.mean_iou:.1f} %"
    images, labels = [one.image for one in samples], [one.labels for one in samples]
    draw_segmentation(images, predictions, test_data.class_names, out / "segmentation.png", labels, title)
    print(f"weights, metrics and pictures: {out}")
    print(
        f"mean IoU: {100 * result.mean_iou:.2f} %, pixel accuracy {100 * result.pixel_accuracy:.2f} % "
        f"({test_data.name}, {len(test_data)} images)"
    )


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
