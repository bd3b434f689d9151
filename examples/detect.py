"""Train Mask R-CNN on Swin to find objects, with boxes and masks, by hand-written derivatives.

    python examples/detect.py                          the built-in data set scenes: minutes on a CPU
    python examples/detect.py --data-dir coco          one's own images and annotations
    python examples/detect.py --resume                 continue after Ctrl-C or a crash
    python examples/detect.py --epochs 1 --out runs/short

--data-dir is a folder with annotations/instances_train.json, instances_val.json (COCO's format) and the images in
train/ and val/; or Pascal VOC as it is downloaded. The run's folder gets its settings, a JSON line for each step,
checkpoints, curves.png and detections.png: the objects that are there beside those that were found.
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
    from npswin.data import DetectionDataset, load_detection_folder, load_detection_scenes
    from npswin.training import DetectionTask, TrainConfig, Trainer, draw_detections, predict_detections
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("*mask_rcnn_*")
# For two CPU cores: minutes on scenes. The official recipe, for a backbone with ImageNet's weights, has a learning rate
# of 1e-4, batches of 16 images, the schedule "steps" with decay_epochs (8, 11) of 12 or (27, 33) of 36 epochs.
RECIPE = {
    "epochs": 8,
    "batch_size": 4,
    "lr": 5e-4,
    "weight_decay": 0.05,
    "schedule": "poly",
    "warmup_epochs": 0.5,
    "clip_norm": 10.0,
    "checkpoint_every": 100,
}
SHOWN = 8  # images in detections.png


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="mask_rcnn_swin_nano", help="the model (default: %(default)s)")
    add("--data-dir", type=Path, help="folder with images and annotations, see above (default: the built-in scenes)")
    add("--repair-data", action="store_true", help="leave out damaged images and annotations, instead of stopping")
    add("--size", type=int, help="images are resized to a shorter side of at most so many pixels (default: 128)")
    add("--epochs", type=int, help=f"passes over the training images (default: {RECIPE['epochs']})")
    add("--batch-size", type=int, help=f"images per step (default: {RECIPE['batch_size']})")
    add("--lr", type=float, help=f"highest learning rate (default: {RECIPE['lr']})")
    add_run_options(parser, "runs/DATA-PRESET")
    return parser.parse_args()


def load_data(arguments: argparse.Namespace) -> tuple[DetectionDataset, DetectionDataset]:
    """Training images and test images."""
    if arguments.data_dir is not None:
        return load_detection_folder(arguments.data_dir, repair=arguments.repair_data)
    return load_detection_scenes(train=True), load_detection_scenes(train=False)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    options = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr", "seed")}
    recipe: dict[str, Any] = {**RECIPE, **{name: value for name, value in options.items() if value is not None}}
    recipe["warmup_epochs"] = min(recipe["warmup_epochs"], recipe["epochs"] / 5)
    config = TrainConfig(**recipe)
    train_data, test_data = load_data(arguments)
    size = 128 if arguments.size is None else arguments.size
    sides = tuple(dict.fromkeys(round(size * ratio) for ratio in (0.8, 0.9, 1.0, 1.1, 1.2)))
    task = DetectionTask(shorter_sides=sides, longer=4 * size, test_shorter=size, masks=train_data.has_masks)

    model = npswin.create_model(
        arguments.preset,
        num_classes=len(train_data.class_names),
        masks=train_data.has_masks,
        dtype=arguments.dtype,
        seed=arguments.seed,
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
    sizes = task.test_shorter, task.longer, task.masks
    predictions = [predict_detections(model, one.image, trainer.mean, trainer.std, *sizes) for one in samples]
    title = f"{arguments.preset} on {test_data.name}: box AP {100 * result.box_ap:.1f} %"
    images = [one.image for one in samples]
    draw_detections(images, predictions, test_data.class_names, out / "detections.png", samples, title=title)
    print(f"weights, metrics and pictures: {out}")
    masks = f", mask AP {100 * result.mask_ap:.2f} %" if task.masks else ""
    print(f"box AP: {100 * result.box_ap:.2f} %{masks} ({test_data.name}, {len(test_data)} images)")


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
