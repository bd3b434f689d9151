"""Train Mask R-CNN on Swin to find objects, with boxes and masks, by hand-written derivatives.

    python examples/detect.py                          the built-in data set scenes: minutes on a CPU
    python examples/detect.py --boxes                  boxes alone, without masks: Faster R-CNN
    python examples/detect.py --data-dir coco          one's own images and annotations
    python examples/detect.py --backbone classifier.safetensors        begin with the weights of a classifier
    python examples/detect.py --resume                 continue after Ctrl-C or a crash
    python examples/detect.py --epochs 1 --out runs/short

--data-dir is a folder with annotations/instances_train.json, instances_val.json (COCO's format) and the images in
train/ and val/; or Pascal VOC as it is downloaded. The run's folder gets its settings, a JSON line for each step,
checkpoints, curves.png and detections.png: the objects that are there beside those that were found.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse

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
    from npswin.data import load_detection_folder, load_detection_scenes
    from npswin.data.sample_augment import SHORTER_SIDES
    from npswin.files import counted, shown_path
    from npswin.training import DetectionTask, Trainer, draw_detections
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("*mask_rcnn_*")
RECIPES = Recipes(
    # For two CPU cores: minutes on scenes.
    small={
        "size": 128,
        "epochs": 10,
        "batch_size": 2,
        "lr": 1e-3,
        "weight_decay": 0.05,
        "schedule": "poly",
        "warmup_epochs": 0.5,
        "clip_norm": 10.0,
        "ema_decay": 0.998,
        "checkpoint_every": 200,
    },
    # For a backbone with ImageNet's weights, on COCO: Liu et al. 2021, section 4.2.
    official={
        "size": 800,
        "epochs": 12,
        "batch_size": 16,
        "lr": 1e-4,
        "weight_decay": 0.05,
        "decay_epochs": (8, 11),
        "warmup_steps": 500,
        "checkpoint_every": 200,
    },
)
SMALL_RATIOS = (0.8, 0.9, 1.0, 1.1, 1.2)  # of an image's shorter side in training to --size
TRAINING_SIZES = "0.8 to 1.2 times that, for the official presets 0.6 to 1 times"


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_dense_options(parser, PRESETS, RECIPES, "annotations", TRAINING_SIZES)
    parser.add_argument("--boxes", action="store_true", help="find boxes alone; data without masks need no option")
    detections = "most objects that are found in an image (default: the preset's, 20 for *_nano, 100 for the others)"
    parser.add_argument("--detections", type=int, metavar="N", help=detections)
    add_run_options(parser)
    return parser.parse_args()


def detection_task(arguments: argparse.Namespace, masks: bool) -> DetectionTask:
    """The sizes of the images, which for the official presets are in proportion to the official ones."""
    size = arguments.size
    if is_small(arguments.preset):
        sides, longer = [ratio * size for ratio in SMALL_RATIOS], 4 * size
    else:
        sides, longer = [side / 800 * size for side in SHORTER_SIDES], size * 1333 / 800
    return DetectionTask(
        shorter_sides=tuple(dict.fromkeys(round(side) for side in sides)),
        longer=round(longer),
        test_shorter=size,
        masks=masks,
        max_detections=max(DetectionTask.max_detections, arguments.detections or 0),
    )


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    config = training_config(dense_recipe(RECIPES, arguments), arguments)
    out = run_folder(arguments, data_name(arguments))
    normalization = chosen_normalization(arguments)
    train_data, test_data = load_dense_data(arguments, load_detection_folder, load_detection_scenes)
    masks = train_data.has_masks and not arguments.boxes
    if masks and not test_data.has_masks:
        found = f"{test_data.split} has boxes without masks, {train_data.split} has masks"
        raise ValueError(f"{shown_path(arguments.data_dir)}: {found}; use --boxes")
    config = with_short_warmup(config, len(train_data))
    detections = {} if arguments.detections is None else {"detections": arguments.detections}
    model = model_to_train(arguments, len(train_data.class_names), masks=masks, **detections)

    print_run(arguments, model, train_data, config, out)
    task = detection_task(arguments, masks)
    trainer = Trainer(model, train_data, test_data, config, out, normalization, task)
    result = fit(trainer, arguments)

    found = f"box AP {100 * result.box_ap:.2f} %"
    if masks:
        found += f", mask AP {100 * result.mask_ap:.2f} %"
    samples, predictions = predict_first(trainer)
    title = f"{arguments.preset} on {test_data.name}: {found}"
    images = [one.image for one in samples]
    draw_detections(images, predictions, test_data.class_names, out / "detections.png", samples, title=title)
    print(f"weights, metrics and pictures: {out}")
    print(f"{found} ({test_data.name}, {counted(len(test_data), 'image')})")


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
