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

    import npswin
    from npswin.cli.training_program import (
        add_dense_options,
        add_run_options,
        begin_run,
        fit,
        model_to_train,
        new_parser,
        normalization_file,
        run_program,
        set_machine,
        training_config,
    )
    from npswin.data import SegmentationDataset, load_segmentation_folder, load_segmentation_scenes
    from npswin.training import SegmentationTask, Trainer, draw_segmentation, predict_segmentation
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("upernet_*")
# For two CPU cores: minutes on scenes. The official recipe, for a backbone with ImageNet's weights, has a learning rate
# of 6e-5, a weight decay of 0.01, 1500 steps of warm-up and batches of 16 crops.
RECIPE = {
    "epochs": 18,
    "batch_size": 4,
    "lr": 2e-3,
    "weight_decay": 0.05,
    "schedule": "poly",
    "warmup_epochs": 0.5,
    "clip_norm": 1.0,
    "ema_decay": 0.998,
    "checkpoint_every": 100,
}
SHOWN = 8  # images in segmentation.png


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_dense_options(parser, PRESETS, "upernet_swin_nano", RECIPE, "label images")
    parser.add_argument("--crop", type=int, help="side of the square crops of training (default: that of --size)")
    add_run_options(parser)
    return parser.parse_args()


def load_data(arguments: argparse.Namespace) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Training images and test images."""
    if arguments.data_dir is not None:
        return load_segmentation_folder(arguments.data_dir, repair=arguments.repair_data)
    return load_segmentation_scenes(train=True), load_segmentation_scenes(train=False)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    config = training_config(RECIPE, arguments)
    size = arguments.size
    crop = size if arguments.crop is None else arguments.crop
    # Milder than the official augmentation, which is for ten times as many steps.
    task = SegmentationTask((crop, crop), shorter=size, longer=4 * size, ratios=(0.75, 1.5), colours=False)
    train_data, test_data = load_data(arguments)
    model = model_to_train(arguments, len(train_data.class_names))

    out = begin_run(arguments, model, train_data, config)
    trainer = Trainer(model, train_data, test_data, config, out, normalization_file(arguments), task)
    result = fit(trainer, arguments)

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
