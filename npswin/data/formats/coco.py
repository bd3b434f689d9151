"""Data sets of objects in COCO's format (Lin et al. 2014, "Microsoft COCO: Common Objects in Context")."""

import zlib
from os import PathLike

from npswin.checks import check_flag, check_path
from npswin.data.errors import DataFileError
from npswin.data.formats.coco_entries import check_sections, read_annotations, read_categories, read_images
from npswin.data.formats.findings import Findings
from npswin.data.formats.object_files import ObjectFiles, check_and_report
from npswin.data.sample_datasets import DetectionDataset
from npswin.files import parse_json, read_bytes

LARGEST_FILE = 2**31  # bytes


def load_coco(
    annotation_file: str | PathLike[str],
    image_folder: str | PathLike[str],
    split: str,
    name: str = "COCO",
    repair: bool = False,
    check_files: bool = True,
) -> DetectionDataset:
    """Load objects with boxes, and masks where the annotations have them, from COCO's JSON.

    Boxes are x, y, width and height in the file, and corners in the samples. Classes are the categories in the order of
    their ids, of which some may be missing. A segmentation is a list of polygons, which pycocotools draws, or run
    lengths, as a list or as text. What has iscrowd 1 is a crowd.

    Images are read when they are asked for.

    Args:
        annotation_file: such as instances_train2017.json.
        image_folder: with the images.
        split: the part of the data, such as "train".
        name: of the data.
        repair: whether to leave out what is damaged, and to cut boxes at the image's edge, with a warning, instead of
            raising an error.
        check_files: whether to read each image once, which for large data sets takes minutes; else what is wrong with
            one is an error when the sample is read.

    Returns:
        The data set, with the ids of images and categories. Images without objects are in it as well.

    Raises:
        AnnotationError: annotations are damaged: a value is missing or of a wrong type, an id is there twice, an image
            or a category is unknown, a box is empty or reaches over the image's edge by more than a pixel, a mask is
            empty, mostly outside of its box, or not of the image's size; or an image is missing, damaged, too large, or
            of another size than its annotations.
        DataFileError: the file cannot be read, is not JSON or not COCO's, or has no image or no category; from the data
            set's samples, an image was damaged since.
        ValueError: an argument is of another type.
        ImportError: Pillow is not installed, or there are masks, and pycocotools is not.
    """
    path = check_path("annotation_file", annotation_file, DataFileError)
    folder = check_path("image_folder", image_folder, DataFileError)
    check_flag("repair", repair)
    check_flag("check_files", check_files)
    text = read_bytes(path, DataFileError, LARGEST_FILE)
    content = parse_json(text, path, DataFileError, finite=False)  # NaN is looked for in each entry
    sections, findings = check_sections(content, path), Findings(path)
    categories = read_categories(sections["categories"], findings)
    if findings.fatal:
        findings.raise_or_warn(repair)
    labels = {category: label for label, category in enumerate(categories)}
    images, wrong_images = read_images(sections["images"], folder, findings)
    has_masks = read_annotations(sections["annotations"], images, wrong_images, labels, findings)
    samples = ObjectFiles(list(images.values()), has_masks)
    check_and_report(samples, findings, check_files, repair)
    return DetectionDataset(
        samples=samples,
        class_names=tuple(categories.values()),
        name=name,
        split=split,
        checksum=zlib.crc32(text),
        has_masks=has_masks,
        image_ids=tuple(image.image_id for image in samples.images),
        category_ids=tuple(categories),
    )
