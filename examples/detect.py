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
    from npswin.data import DetectionDataset, load_detection_folder, load_detection_scenes
    from npswin.training import DetectionTask, Trainer, draw_detections, predict_detections
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

PRESETS = npswin.list_models("*mask_rcnn_*")
# For two CPU cores: minutes on scenes. The official recipe, for a backbone with ImageNet's weights, has a learning rate
# of 1e-4, batches of 16 images, the schedule "steps" with decay_epochs (8, 11) of 12 or (27, 33) of 36 epochs.
RECIPE = {
    "epochs": 10,
    "batch_size": 2,
    "lr": 1e-3,
    "weight_decay": 0.05,
    "schedule": "poly",
    "warmup_epochs": 0.5,
    "clip_norm": 10.0,
    "ema_decay": 0.998,
    "checkpoint_every": 200,
}
SHOWN = 8  # images in detections.png


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_dense_options(parser, PRESETS, "mask_rcnn_swin_nano", RECIPE, "annotations")
    parser.add_argument("--boxes", action="store_true", help="find boxes alone; data without masks need no option")
    add_run_options(parser)
    return parser.parse_args()


def load_data(arguments: argparse.Namespace) -> tuple[DetectionDataset, DetectionDataset]:
    """Training images and test images."""
    if arguments.data_dir is not None:
        return load_detection_folder(arguments.data_dir, repair=arguments.repair_data)
    return load_detection_scenes(train=True), load_detection_scenes(train=False)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    config = training_config(RECIPE, arguments)
    train_data, test_data = load_data(arguments)
    size, masks = arguments.size, train_data.has_masks and not arguments.boxes
    sides = tuple(dict.fromkeys(round(size * ratio) for ratio in (0.8, 0.9, 1.0, 1.1, 1.2)))
    task = DetectionTask(shorter_sides=sides, longer=4 * size, test_shorter=size, masks=masks)
    model = model_to_train(arguments, len(train_data.class_names), masks=masks)

    out = begin_run(arguments, model, train_data, config)
    trainer = Trainer(model, train_data, test_data, config, out, normalization_file(arguments), task)
    result = fit(trainer, arguments)

    samples = [test_data[place] for place in range(min(SHOWN, len(test_data)))]
    sizes = task.test_shorter, task.longer, masks
    predictions = [predict_detections(model, one.image, trainer.mean, trainer.std, *sizes) for one in samples]
    title = f"{arguments.preset} on {test_data.name}: box AP {100 * result.box_ap:.1f} %"
    images = [one.image for one in samples]
    draw_detections(images, predictions, test_data.class_names, out / "detections.png", samples, title=title)
    print(f"weights, metrics and pictures: {out}")
    mask_ap = f", mask AP {100 * result.mask_ap:.2f} %" if masks else ""
    print(f"box AP: {100 * result.box_ap:.2f} %{mask_ap} ({test_data.name}, {len(test_data)} images)")


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
