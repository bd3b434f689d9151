"""The same training of a dense model on real data in npswin and in PyTorch: how good is it, and how long does it take?

    python benchmarks/dense_training.py camvid DATA_DIR --framework npswin --out runs/camvid-npswin
    python benchmarks/dense_training.py camvid DATA_DIR --framework pytorch --out runs/camvid-pytorch
    python benchmarks/dense_training.py bccd DATA_DIR --framework pytorch --steps 3 --out runs/try

Needs pip install 'npswin[bench-detect]'. DATA_DIR has images and annotations as `examples/segment.py` (camvid) or
`examples/detect.py` (nuclei, bccd) reads them; the recipes are in `dense_recipes.py`. The same initial weights, images,
augmentation, order and recipe, and the same code computes the metrics of what is found. In PyTorch it is transformers'
UPerNet, or torchvision's Mask R-CNN on transformers' Swin, with the conventions of mmdetection (`peers/`); the first
steps are timed with each of transformers' implementations of attention, and the faster one is taken.

What differs is what is drawn within a step: dropout, drop path, and which anchors and proposals a detector is trained
on. npswin evaluates after each epoch, PyTorch at the end; the time of training is that of the steps alone, with their
batches and a line for each in metrics.jsonl: neither evaluations nor npswin's checkpoints and curves are in it. Kernels
that were not yet compiled are in npswin's: try a few steps before.

--out gets result.json, with the machine and the versions, a picture, and metrics.jsonl, with the losses of each step.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from benchmarks.dense_recipes import RECIPES
from benchmarks.peers.machine import describe, versions
from npswin.backends import thread_count
from npswin.checks import check_integer
from npswin.data import load_detection_folder, load_segmentation_folder, steps_per_epoch
from npswin.training import (
    DetectionTask,
    SegmentationTask,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    draw_detections,
    draw_segmentation,
    predict_detections,
    predict_segmentation,
    set_threads,
)

SHOWN = 8  # images in the picture


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("data", choices=RECIPES, help="the data set")
    add("data_dir", type=Path, metavar="DATA_DIR", help="its folder")
    add("--framework", choices=["npswin", "pytorch"], required=True)
    add("--threads", type=int, help="number of threads (default: one per core)")
    add("--steps", type=int, help="a try: so many steps, and as many batches of test images")
    add("--out", type=Path, required=True, help="an empty or new folder for the results")
    return parser.parse_args()


class TimedTrainer(Trainer):
    """A trainer that knows how long its steps and its evaluations took."""

    step_seconds = evaluation_seconds = 0.0
    evaluations = 0

    def _train_epoch(self) -> None:
        started = time.perf_counter()
        super()._train_epoch()
        self.step_seconds += time.perf_counter() - started

    def _evaluate(self) -> Any:
        started = time.perf_counter()
        result = super()._evaluate()
        self.evaluations += 1
        self.evaluation_seconds += time.perf_counter() - started
        return result


def in_npswin(model: Any, task: Any, train_data: Any, test_data: Any, config: TrainConfig, out: Path) -> dict[str, Any]:
    """Train and evaluate; the trained model, its evaluation, and the times."""
    trainer = TimedTrainer(model, train_data, test_data, config, out, task=task)
    evaluation = trainer.fit()
    return {
        "model": model,
        "evaluation": evaluation,
        "normalization": (trainer.mean, trainer.std),
        "training_seconds": trainer.step_seconds,
        "seconds_per_evaluation": trainer.evaluation_seconds / trainer.evaluations,
        "threads": thread_count(),
    }


def in_pytorch(
    model: Any, task: Any, train_data: Any, test_data: Any, config: TrainConfig, out: Path
) -> dict[str, Any]:
    """The same in PyTorch."""
    import torch
    from tqdm import tqdm

    from benchmarks.peers.dense_run import DenseRun, faster_attention, train_and_log

    task.check(model, train_data, test_data, config)
    out.mkdir(parents=True, exist_ok=True)
    normalization = task.channel_statistics(train_data)
    attention = faster_attention(model, task, train_data, config, normalization)
    run = DenseRun(model, task, train_data, config, normalization, attention)
    seconds = train_and_log(run, out / "metrics.jsonl")
    trained, started = run.trained(), time.perf_counter()
    with tqdm(total=len(test_data), unit="image", desc="evaluation") as progress:
        evaluation = task.evaluate(trained, test_data, normalization, "full", progress.update)
    return {
        "model": trained,
        "evaluation": evaluation,
        "normalization": normalization,
        "training_seconds": seconds,
        "seconds_per_evaluation": time.perf_counter() - started,
        "threads": torch.get_num_threads(),
        "attention": attention,
    }


def first_samples(data: Any, count: int) -> Any:
    """A data set of the first samples of one."""
    samples = [data[place] for place in range(min(count, len(data)))]
    ids = {"image_ids": data.image_ids[: len(samples)]} if hasattr(data, "image_ids") else {}
    return dataclasses.replace(data, samples=samples, checksum=None, **ids)


def draw(trained: dict[str, Any], task: Any, data: Any, path: Path, title: str) -> None:
    """Truth beside what the trained model says of the first test images."""
    samples = [data[place] for place in range(min(SHOWN, len(data)))]
    images, common = [one.image for one in samples], (trained["model"], trained["normalization"])
    if isinstance(task, SegmentationTask):
        found = [predict_segmentation(common[0], image, *common[1], task.shorter, task.longer) for image in images]
        draw_segmentation(images, found, data.class_names, path, [one.labels for one in samples], title)
    else:
        sizes = task.test_shorter, task.longer, task.masks
        objects = [predict_detections(common[0], image, *common[1], *sizes) for image in images]
        draw_detections(images, objects, data.class_names, path, samples, title=title)


def run(arguments: argparse.Namespace) -> None:
    """Train, report, draw."""
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise ValueError(f"--out: {arguments.out} is not empty")
    if arguments.threads is not None:
        set_threads(arguments.threads)
        if arguments.framework == "pytorch":
            import torch

            torch.set_num_threads(arguments.threads)
    recipe = RECIPES[arguments.data]
    is_segmentation = recipe["preset"].startswith("upernet")
    load = load_segmentation_folder if is_segmentation else load_detection_folder
    train_data, test_data = load(arguments.data_dir)
    config = TrainConfig(**recipe["training"])
    if arguments.steps is not None:
        count = check_integer("--steps", arguments.steps, 1) * config.batch_size
        train_data, test_data = first_samples(train_data, count), first_samples(test_data, count)
        config = dataclasses.replace(
            config, epochs=1, warmup_epochs=0.0, warmup_steps=0, schedule="poly", decay_epochs=()
        )
    masks = {} if is_segmentation else {"masks": train_data.has_masks}
    task = SegmentationTask(**recipe["task"]) if is_segmentation else DetectionTask(**recipe["task"], **masks)
    model = npswin.create_model(
        recipe["preset"], **recipe["model"], **masks, num_classes=len(train_data.class_names), seed=config.seed
    )
    train = in_npswin if arguments.framework == "npswin" else in_pytorch
    trained = train(model, task, train_data, test_data, config, arguments.out)

    metrics = {metric.name: float(getattr(trained["evaluation"], metric.name)) for metric in task.metrics}
    steps = config.epochs * steps_per_epoch(len(train_data), config.batch_size)
    result = {"data": arguments.data, "framework": arguments.framework, "steps": steps, **metrics}
    names = ("training_seconds", "seconds_per_evaluation", "threads", "attention")
    result |= {name: trained[name] for name in names if name in trained}
    result |= {"machine": describe(), "versions": versions(), "model": model.config, "training": config.as_dict()}
    (arguments.out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    shown = ", ".join(f"{metric.label} {metric.shown(metrics[metric.name])}" for metric in task.metrics)
    title = f"{recipe['preset']} in {arguments.framework} on {arguments.data}"
    draw(trained, task, test_data, arguments.out / "found.png", f"{title}: {shown}")
    print(
        f"{title}: {shown}; {steps} steps in {trained['training_seconds']:.1f} s, "
        f"an evaluation of {len(test_data)} images in {trained['seconds_per_evaluation']:.1f} s"
    )


def main() -> int:
    """The exit status: 0, 2 for a mistake, 130 where it was stopped."""
    try:
        run(parse_arguments())
    except (KeyboardInterrupt, TrainingInterrupted):
        print("aborted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"dense_training.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
