"""Single faults in readers of data sets and in the measures of dense tasks: see `faults.py`."""

from tests.tools.faults import faults

FORMATS = ("tests/data/formats",)

DATA_FAULTS = [
    *faults(
        "data/samples.py",
        ("tests/data/test_samples.py",),
        ("exchanged corners pass", "boxes[:, :2] > boxes[:, 2:]", "boxes[:, :2] > boxes[:, 2:] + 9"),
        ("masks of another size pass", "(count, height, width), (", '(count, "H", "W"), ('),
    ),
    *faults(
        "data/sample_datasets.py",
        ("tests/data/test_samples.py",),
        ("the checksum is the last sample's", "np.ascontiguousarray(array).data, checksum)", "array.tobytes())"),
        ("ids of categories from 0", "ids, num_classes, 1)", "ids, num_classes, 0)"),
    ),
    *faults(
        "data/formats/boxes.py",
        FORMATS,
        ("a box at the edge is outside", "x1 >= width", "x1 + 4 >= width"),
        ("not cut at the left edge", "max(x1, 0.0)", "x1"),
        ("width and height exchanged", "width - x2, height - y2", "height - x2, width - y2"),
        ("no box is rounded", "< -ROUNDING", "< 0"),
    ),
    *faults(
        "data/formats/image_files.py",
        FORMATS,
        ("the orientation is ignored", "image = ImageOps.exif_transpose(image)\n", "ImageOps\n"),
        ("the orientation of labels is ignored", "np.asarray(ImageOps.exif_transpose(image))", "np.asarray(image)"),
        ("the lower 8 of 16 bits", "np.asarray(image) >> 8", "np.asarray(image) & 255"),
        ("grey of 4 bits is stretched", '"L;4": 17', '"L;4": 1'),
        (
            "a palette's colours instead of its indices",
            "numbers = np.asarray(ImageOps.exif_transpose(image))\n",
            'numbers = np.asarray(ImageOps.exif_transpose(image.convert("L")))\n',
        ),
        ("checksums are not compared", "            image.verify()", "            image.getbands()"),
        ("images of any size", "if height * width > MOST_PIXELS:", "if width > MOST_PIXELS:"),
        ("sides of any length", "if max(height, width) > LARGEST_SIDE:", "if max(height, width) > 99 * LARGEST_SIDE:"),
        ("blue, green and red", ".transpose(2, 0, 1))", ".transpose(2, 0, 1)[::-1])"),
    ),
    *faults(
        "data/formats/run_lengths.py",
        FORMATS,
        (
            "row by row",
            "columns.reshape(len(codes), width, height).transpose(0, 2, 1)",
            "columns.reshape(len(codes), height, width)",
        ),
        ("ones first", "% 2 == 1, counts)", "% 2 == 0, counts)"),
        ("differences of odd counts are not added", "    numbers[1::2] = np.cumsum(numbers[1::2])\n", ""),
        (
            "the third count is a difference, too",
            "numbers[2::2] = np.cumsum(numbers[2::2])",
            "numbers[::2] = np.cumsum(numbers[::2])",
        ),
        ("no negative differences", "    numbers -= (groups[last] >> 4 & 1) << (5 * lengths)\n", ""),
        ("wrong sums pass", "or total != pixels", "or total > pixels"),
        ("height and width of the size exchanged", "size != [height, width]", "size != [width, height]"),
    ),
    *faults(
        "data/formats/folders.py",
        FORMATS,
        ("any label images are ADE20K's", "elif _is_ade20k(root):", "elif True:"),
        ("ADE20K by its splits alone", "    own_files = any(", "    own_files = True or any("),
    ),
    *faults(
        "data/formats/coco_entries.py",
        FORMATS,
        ("categories in the order of the file", "return dict(sorted(names.items()))", "return names"),
        ("width and height as corners", "(x, y, x + box_width, y + box_height)", "(x, y, box_width, box_height)"),
        ("one of the images that share an id stays", " if image_id not in wrong}", "}"),
        ("crowds are objects", "    crowd = bool(", "    crowd = False and bool("),
        (
            "the first class, where there are no masks",
            "labels[category], crowd)\n    if not entry",
            "0, crowd)\n    if not entry",
        ),
        ("an id twice passes", "            if number in seen:", "            if False:"),
        ("masks elsewhere pass", "left >= box[2] or top >= box[3]", "False"),
    ),
    *faults(
        "data/formats/coco_results.py",
        FORMATS,
        ("corners instead of width and height", "found.boxes[:, 2:] - found.boxes[:, :2]", "found.boxes[:, 2:]"),
        ("labels instead of the categories' ids", "category_ids[label], ", "int(label), "),
    ),
    *faults(
        "data/formats/object_files.py",
        FORMATS,
        ("images of another size pass", "if image.shape[1:] != (about.height, about.width):", "if image.ndim < 3:"),
    ),
    *faults(
        "data/formats/voc.py",
        FORMATS,
        ("pixels counted from 0", "(x1 - 1, y1 - 1, x2, y2)", "(x1, y1, x2, y2)"),
        ("difficult objects count", '_number(entry, "difficult") != 0', '_number(entry, "difficult") < 0'),
    ),
    *faults(
        "data/formats/xml_file.py",
        FORMATS,
        ("entities are allowed", "    parser.StartDoctypeDeclHandler = _refuse\n", ""),
    ),
    *faults(
        "data/formats/label_maps.py",
        FORMATS,
        ("the first label is the class 0", "number - first for", "number for"),
        ("255 is a class", "{0: IGNORED, IGNORED: IGNORED} if", "{0: IGNORED} if"),
        ("labels without a class pass", "if labels.min() == _UNKNOWN:", "if labels.max() == _UNKNOWN:"),
        (
            "label images of another size pass",
            "if numbers.shape != image.shape[1:]:",
            "if numbers.size != image[0].size:",
        ),
        ("the city is not part of the name", "relative_to(root).as_posix()", "name"),
    ),
    *faults(
        "data/formats/cityscapes.py",
        FORMATS,
        ("one class left out", "(7, 8, 11, 12, 13, 17,", "(7, 8, 11, 12, 13, 18,"),
    ),
    *faults(
        "data/formats/findings.py",
        FORMATS,
        ("what cannot be left out is left out", "if repair and not self.fatal:", "if repair:"),
    ),
    *faults(
        "training/segmentation_metric.py",
        ("tests/training/test_segmentation_metric.py",),
        ("labels and predictions exchanged", "rows * num_classes + columns", "columns * num_classes + rows"),
        ("the union counts what is in both twice", "of_label + of_prediction - right", "of_label + of_prediction"),
        ("absent classes have no overlap", "np.maximum(whole, 1), np.nan)", "np.maximum(whole, 1), 0)"),
        ("ignored pixels are counted", "counted = labels != ignore_index", "counted = labels < num_classes + 99"),
    ),
    *faults(
        "training/detection_metric.py",
        ("tests/training/test_detection_metric.py",),
        ("the first object stands for no match", "in enumerate(entries, 1)]", "in enumerate(entries)]"),
        ("crowds are objects", '{**entry, "iscrowd": value}', '{**entry, "iscrowd": 0}'),
        ("the threshold 0.7", "_mean(every[5])", "_mean(every[4])"),
        ("classes without objects count", "values[values >= 0]", "values.clip(0)"),
        ("always 100 detections", "[self.max_detections]", "[100]"),
        ("corners instead of width and height", "np.hstack([corners[:, :2], sizes])", "corners"),
    ),
    *faults(
        "training/tasks/detection_evaluation.py",
        ("tests/training/test_detection_task.py",),
        ("100 detections in every evaluation", "model.num_classes, max_detections)", "model.num_classes)"),
    ),
]
