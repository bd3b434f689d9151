"""Faults in what training computes besides the ops: learning rates, weights of micro-batches, losses of the tasks."""

from tests.tools.faults import faults

_TASKS = ("tests/training/test_tasks.py",)
_DETECTION = ("tests/training/test_detection_task.py",)
_SEGMENTATION = ("tests/training/test_segmentation_task.py",)
_PREDICTION = ("tests/training/prediction",)

TRAINING_FAULTS = [
    *faults(
        "training/schedules.py",
        ("tests/training/test_schedules.py",),
        ("the line ends a step early", "(1 - step / self.total_steps)", "(1 - (step + 1) / self.total_steps)"),
        ("the line without its end", "(config.lr - config.min_lr) * (1 - step", "config.lr * (1 - step"),
        ("steps an epoch late", "epoch >= decay_epoch", "epoch > decay_epoch"),
        ("no warm-up", "rate * min(1.0, (step + 1) / (warmup_steps + 1))", "rate"),
    ),
    *faults(
        "training/gradients.py",
        _TASKS,
        (
            "micro-batches weighted by their images",
            "task.size(part_targets) / max(task.size(targets), 1)",
            "1 / pieces",
        ),
        ("gradients of micro-batches without their share", "rng, share * loss_scale)", "rng, loss_scale)"),
        (
            "losses of micro-batches without their share",
            "losses[name] += share * found[name]",
            "losses[name] += found[name]",
        ),
    ),
    *faults(
        "training/learner.py",
        _TASKS,
        ("buffers are not restored", "model_tensors(self.model).items():\n", "self.model.params.items():\n"),
    ),
    *faults(
        "training/tasks/metric.py",
        _TASKS,
        ("a higher error is better", "value < best", "value > best"),
    ),
    *faults(
        "training/tasks/classification.py",
        ("tests/training/test_classification_task.py",),
        ("labels are not smoothed", "self.config.label_smoothing, scale)", "0.0, scale)"),
        (
            "labels of a captured step are not smoothed",
            "self.config.label_smoothing, model.dtype)",
            "0.0, model.dtype)",
        ),
    ),
    *faults(
        "training/tasks/segmentation.py",
        _SEGMENTATION,
        ("ignored pixels count", "(targets != IGNORED).sum()", "targets.size"),
        ("the gradient without its scale", "model.loss_backward(cache, scale)", "model.loss_backward(cache)"),
        (
            "padding is normalized",
            "normalize_padded(batch.images, batch.sizes, ",
            "normalize_padded(batch.images, 0 * batch.sizes + 9999, ",
        ),
    ),
    *faults(
        "training/tasks/segmentation_evaluation.py",
        _SEGMENTATION,
        (
            "predictions at another size",
            "image.shape[1:], shorter, longer)).image",
            "image.shape[1:], longer, longer)).image",
        ),
    ),
    *faults(
        "training/tasks/detection.py",
        _DETECTION,
        ("images are not cropped", "if self.crop_size is not None:\n", "if False:\n"),
        ("images are not mirrored", "random_flip_sample(sample, rng) if self.flip", "sample if self.flip"),
        ("the gradient without its scale", "model.loss_backward(cache, scale)", "model.loss_backward(cache)"),
        ("sizes with their padding", "DetectionTargets(batch.sizes, ", "DetectionTargets(batch.sizes * 0 + 64, "),
    ),
    *faults(
        "training/tasks/detection_evaluation.py",
        _DETECTION,
        ("boxes at the model's size", "(limits / [own_width, own_height", "(limits / [width, height"),
        ("images in their own size", "size_within((height, width), shorter, longer)", "(height, width)"),
    ),
    *faults(
        "training/tasks/classification_evaluation.py",
        _PREDICTION,
        ("height and width exchanged", "else tuple(size)\n", "else tuple(size)[::-1]\n"),
        ("images are not resized", "image if size == image.shape[1:] else resize_image(image, size)", "image"),
    ),
    *faults(
        "training/tasks/segmentation.py",
        _PREDICTION,
        ("predictions at the default size", "*normalization, self.shorter, self.longer)\n", "*normalization)\n"),
    ),
    *faults(
        "training/tasks/detection.py",
        _PREDICTION,
        (
            "predictions in the size of training",
            "*normalization, self.test_shorter, self.longer, self.masks)\n",
            "*normalization, 24, self.longer, self.masks)\n",
        ),
    ),
    *faults(
        "training/checkpoint.py",
        _PREDICTION,
        ("runs without category ids are others", "    if _CATEGORY_IDS not in found:\n", "    if False:\n"),
    ),
    *faults(
        "training/pictures/labels.py",
        ("tests/training/test_dense_pictures.py",),
        ("labels cover each other", "covered.argmin()", "0"),
        (
            "labels leave the image",
            "np.clip([*above_and_below, *inside, *beside], 0, farthest)",
            "np.array([*above_and_below, *inside, *beside])",
        ),
    ),
    *faults(
        "training/prediction/run.py",
        _PREDICTION,
        ("the last weights before the best", '("best", "last")', '("last", "best")'),
        ("a changed config.json is not noticed", "        check_run(file, description)\n", ""),
        ("weights of two checkpoints", "if TensorFile(path).checksum != before.checksum:", "if False:"),
    ),
    *faults(
        "training/prediction/files.py",
        _PREDICTION,
        ("results without the data's category ids", "check_category_ids(run.category_ids,", "check_category_ids((),"),
        ("a highest score that is not one", "math.floor(share", "math.ceil(share"),
        ("shares of pixels as counts", " / result.size\n", "\n"),
        ("least likely classes first", "np.argsort(-result", "np.argsort(result"),
        ("label images begin with 1", "labels.astype(np.uint8)", "(labels + 1).astype(np.uint8)"),
    ),
    *faults(
        "training/prediction/folder.py",
        _PREDICTION,
        ("ids by the order of what was read", "return self._ids[path]", "return len(self.entries) + 1"),
        ("a folder with files is taken", "is_folder and not any(self.path.iterdir())", "is_folder"),
        ("JSON only after all images", "if self._has_images:", "if self._has_images and _[0] is None:"),
        ("no JSON where nothing was found", "if self._has_images:", "if self.entries:"),
    ),
    *faults(
        "training/prediction/image_paths.py",
        _PREDICTION,
        ("names differ in case alone", "taken.add(name.casefold())", "taken.add(name)"),
        ("a file twice", "os.path.realpath(file), file)", "str(file) + str(len(found)), file)"),
    ),
]
