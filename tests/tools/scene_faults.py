"""Single faults in what draws, augments, collects and shows samples of dense tasks; see `faults.py`."""

from tests.tools.faults import faults

# The published pixels would find any fault of a drawing.
SCENES = ("tests/data/test_scenes.py", "-k", "not published")
PICTURES = ("tests/training/test_dense_pictures.py",)

SCENE_FAULTS = [
    *faults(
        "data/scenes/drawing.py",
        SCENES,
        ("the mask has what is hidden", "        mask &= ~hidden\n", ""),
        (
            "rows for columns of a mask",
            "mask[rows[in_image].astype(np.int64), columns[in_image].astype(np.int64)]",
            "mask[columns[in_image].astype(np.int64), rows[in_image].astype(np.int64)]",
        ),
        ("what is mostly hidden stays", "max(FEWEST_PIXELS, LEAST_VISIBLE * silhouette.sum())", "1"),
    ),
    *faults(
        "data/scenes/objects.py",
        SCENES,
        (
            "painted two pixels lower",
            "u, v = placed.own_coordinates(columns, rows)\n",
            "u, v = placed.own_coordinates(columns, rows - 2)\n",
        ),
    ),
    *faults(
        "data/scenes/datasets.py",
        SCENES,
        ("train and test are the same", "key = (_SPLITS.index(self.split), index)", "key = (0, index)"),
        ("objects have the numbers of the ground", "labels[mask] = kind", "labels[mask] = kind + 1"),
        ("the checksum of any number", "tobytes(), scenes.length)", "tobytes(), 0)"),
    ),
    *faults(
        "data/tight_boxes.py",
        ("tests/data/test_scenes.py",),
        ("the last pixel is left out", "occupied.shape[1] - occupied", "occupied.shape[1] - 1 - occupied"),
        ("rows for columns", "((1, (0, 2)), (2, (1, 3)))", "((2, (0, 2)), (1, (1, 3)))"),
    ),
    *faults(
        "data/sample_transforms.py",
        ("tests/data/test_sample_transforms.py",),
        (
            "a mirrored box is one pixel off",
            "[width - x2, y1, width - x1, y2]",
            "[width - 1 - x2, y1, width - 1 - x1, y2]",
        ),
        (
            "a mirrored box has its corners exchanged",
            "[width - x2, y1, width - x1, y2]",
            "[width - x1, y1, width - x2, y2]",
        ),
        (
            "label maps are not mirrored",
            "lambda maps: maps[..., ::-1].copy(), mirror",
            "lambda maps: maps.copy(), mirror",
        ),
        ("boxes stay where they are", "(boxes - offset)", "(boxes - 0 * offset)"),
        ("boxes are scaled the wrong way", "boxes * new / old", "boxes * old / new"),
        ("labels from the pixels' corners", "(2 * np.arange(new) + 1) * old", "(2 * np.arange(new)) * old"),
        ("what the border cuts is not made tight", "boxes[is_cut] = tight_boxes(masks[is_cut])", "pass"),
        ("every box is made tight", "is_cut = (boxes != moved).any(axis=1)", "is_cut = is_left"),
        (
            "the labels of what is gone",
            "labels, crowd = sample.labels[is_left]",
            "labels, crowd = sample.labels[: is_left.sum()]",
        ),
        (
            "the longer side has no limit",
            "min(shorter / min(height, width), longer / max(height, width))",
            "shorter / min(height, width)",
        ),
        ("sizes are rounded down", "int(width * scale + 0.5)", "int(width * scale)"),
    ),
    *faults(
        "data/sample_augment.py",
        ("tests/data/test_sample_augment.py",),
        ("ignored pixels are a class", "labels[labels != IGNORED]", "labels"),
        ("a single class will do", "len(counts) > 1 and ", ""),
        ("crops are never at the end", "height + 1, sample", "height, sample"),
        ("one ratio for all", "(high - low) * float(rng.random())", "(high - low) * 0.5 * float(rng.random() < 2)"),
        ("all are flipped", "rng.random() < 0.5 else sample", "rng.random() < 2 else sample"),
    ),
    *faults(
        "data/colour_distortion.py",
        ("tests/data/test_sample_augment.py",),
        ("colours turn one way only", "hue = HUE * (2 * strengths[3] - 1)", "hue = HUE * strengths[3]"),
        ("values wrap around", "np.rint(np.clip(values, 0, 255))", "np.rint(values)"),
        ("brightness is only added", "BRIGHTNESS * (2 * strengths[0] - 1)", "BRIGHTNESS * strengths[0]"),
        ("contrast is changed twice", "if is_changed[1] and not contrast_comes_first", "if is_changed[1]"),
        ("a full turn has 360 steps", "hue * 256 / 360", "hue"),
    ),
    *faults(
        "data/padded_batch.py",
        ("tests/data/test_padded_batch.py",),
        ("padding has the first class", "height, width), IGNORED, np.int64)", "height, width), 0, np.int64)"),
        ("padding is not zero after normalization", "    inputs *= (is_row", "    inputs * (is_row"),
        ("a multiple more", "-(-sizes.max(axis=0) // divisor)", "(sizes.max(axis=0) // divisor + 1)"),
    ),
    *faults(
        "data/load_samples.py",
        ("tests/data/test_padded_batch.py",),
        ("the same numbers in each epoch", "sample_rng(seed, epoch, index)", "sample_rng(seed, 0, index)"),
        ("threads go on", "        executor.shutdown(cancel_futures=True)", "        pass"),
        ("all is loaded at once", "begin(AHEAD)", "begin(10**6)"),
    ),
    *faults(
        "data/sample_statistics.py",
        ("tests/data/test_padded_batch.py",),
        ("the last image alone", "counts + own", "own"),
    ),
    *faults(
        "training/pictures/detections.py",
        PICTURES,
        ("boxes are half a pixel off", "boxes[one] - 0.5", "boxes[one]"),
        ("low scores are drawn", "found.scores >= min_score", "found.scores >= 0 * min_score"),
        ("an object is found twice", "            overlap[:, best] = 0\n", ""),
        (
            "another class has the object's colour",
            "(found.labels[:, None] != truth.labels) | truth.crowd",
            "truth.crowd",
        ),
    ),
    *faults(
        "training/pictures/segmentation.py",
        PICTURES,
        ("ignored pixels count", "(prediction == labels)[is_counted]", "(prediction == labels)"),
        ("the legend has every class", " if counts[label]]", "]"),
        ("ignored pixels have a class's colour", "if label == IGNORED:", "if label == -1:"),
    ),
]
