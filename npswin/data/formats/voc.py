"""Data sets of objects in the format of Pascal VOC (Everingham et al. 2010, "The Pascal Visual Object Classes")."""

import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element

from npswin.checks import check_flag, check_path, check_text
from npswin.data.errors import DataFileError
from npswin.data.formats.boxes import box_in_image
from npswin.data.formats.entries import RANGE, is_coordinate
from npswin.data.formats.findings import EntryError, Findings
from npswin.data.formats.image_files import too_large
from npswin.data.formats.object_files import AnnotatedImage, Annotation, ObjectFiles, check_and_report
from npswin.data.formats.xml_file import only_child, parse_xml
from npswin.data.sample_datasets import DetectionDataset, check_class_names
from npswin.files import read_bytes, shown_path
from npswin.progress import with_progress

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
LARGEST_FILE = 2**24  # bytes


def load_voc(
    folder: str | PathLike[str],
    split: str = "train",
    class_names: Sequence[str] = VOC_CLASSES,
    name: str = "Pascal VOC",
    repair: bool = False,
    check_files: bool = True,
) -> DetectionDataset:
    """Load objects with boxes from Pascal VOC's folders.

    `ImageSets/Main/SPLIT.txt` has a name in each line, `JPEGImages/NAME.jpg` is the image, `Annotations/NAME.xml` has
    its objects. VOC counts pixels from 1 and includes the last: the box of its pixels xmin to xmax is from xmin - 1 to
    xmax in the samples. An object that is marked as difficult is a crowd there: it is not trained on and not counted.

    Images are read when they are asked for.

    Args:
        folder: such as VOCdevkit/VOC2012.
        split: name of the list of images, such as "train", "val" or "trainval".
        class_names: names in the annotations, in the order of labels.
        name: of the data.
        repair, check_files: see `load_coco`.

    Raises:
        AnnotationError: annotations are damaged: a file or a value is missing or wrong, a class has no name, a box is
            empty or reaches over the image's edge by more than a pixel; or an image is missing, damaged, or of another
            size than its annotations.
        DataFileError: the list of images cannot be read, or is empty; from the data set's samples, an image was damaged
            since.
        ValueError: an argument is of another type.
        ImportError: Pillow is not installed.
    """
    root = check_path("folder", folder, DataFileError)
    check_path("split", check_text("split", split), DataFileError)
    class_names = check_class_names(class_names)
    check_flag("repair", repair)
    check_flag("check_files", check_files)
    findings, images, checksum = Findings(root), [], 0
    stems = _read_list(root / "ImageSets" / "Main" / f"{split}.txt")
    for number, stem in enumerate(with_progress("checking annotations", stems, len(stems), "files")):
        path = root / "Annotations" / f"{stem}.xml"
        try:
            content = read_bytes(path, DataFileError, LARGEST_FILE)
            checksum = zlib.crc32(content, checksum)
            image = root / "JPEGImages" / f"{stem}.jpg"
            images.append(_read_annotation(parse_xml(content, path), number, image, class_names, findings))
        except EntryError as error:
            findings.add(error.kind, str(path), error.text)
        except DataFileError as error:
            kind = "missing file" if isinstance(error, FileNotFoundError) else "damaged file"
            findings.add(kind, str(path), str(error).partition(": ")[2])
    samples = ObjectFiles(images, has_masks=False)
    check_and_report(samples, findings, check_files, repair)
    return DetectionDataset(
        samples=samples,
        class_names=class_names,
        name=name,
        split=split,
        checksum=checksum,
        has_masks=False,
        image_ids=tuple(image.image_id for image in samples.images),
    )


def _read_list(path: Path) -> list[str]:
    """The names of the images of a split."""
    text = read_bytes(path, DataFileError, LARGEST_FILE).decode("utf-8", "replace")
    stems = [line.strip() for line in text.splitlines() if line.strip()]
    for stem in stems:
        if len(stem.split()) > 1 or "/" in stem or "\\" in stem or "\0" in stem:
            raise DataFileError(
                f"{shown_path(path)}: has the line {stem[:50]!r}, expected the name of an image in each"
            )
    if not stems or len(set(stems)) < len(stems):
        raise DataFileError(
            f"{shown_path(path)}: has {'a name twice' if stems else 'no name'}, expected names of images"
        )
    return stems


def _read_annotation(
    root: Element, number: int, image: Path, class_names: Sequence[str], findings: Findings
) -> AnnotatedImage:
    """The objects of an XML file; what is wrong with one of them is added to the findings, and it is left out."""
    if root.tag != "annotation":
        raise EntryError("damaged file", f"has <{root.tag[:50]}>, expected <annotation>")
    size = only_child(root, "size")
    height, width = (_side(size, name) for name in ("height", "width"))
    if reason := too_large(height, width):
        raise EntryError("too large", reason)
    found = AnnotatedImage(number, image, height, width)
    for index, entry in enumerate(root.findall("object")):
        where = f"{image.stem}.xml: object {index}"
        try:
            found.objects.append(_read_object(entry, found, class_names, findings, where))
        except EntryError as error:
            findings.add(error.kind, where, error.text)
    return found


def _read_object(
    entry: Element, image: AnnotatedImage, class_names: Sequence[str], findings: Findings, where: str
) -> Annotation:
    name = (only_child(entry, "name").text or "").strip()
    if name not in class_names:
        known = "Pascal VOC's; classes.txt, or class_names=, has others"
        known = known if class_names == VOC_CLASSES else "the class names"
        raise EntryError("unknown class", f"has the class {name[:50]!r}, which is not among {known}")
    box = only_child(entry, "bndbox")
    x1, y1, x2, y2 = (_number(box, name) for name in ("xmin", "ymin", "xmax", "ymax"))
    difficult = entry.find("difficult") is not None and _number(entry, "difficult") != 0
    corners = box_in_image((x1 - 1, y1 - 1, x2, y2), image.height, image.width, findings, where)
    return Annotation(corners, class_names.index(name), difficult)


def _side(size: Element, name: str) -> int:
    """The height or width of the image, in pixels."""
    number = _number(size, name)
    if number < 1 or number != int(number):
        raise EntryError("wrong type", f"<{name}> is {number:g}, expected an integer of at least 1")
    return int(number)


def _number(parent: Element, name: str) -> float:
    text = (only_child(parent, name).text or "").strip()
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not is_coordinate(number):
        raise EntryError("wrong type", f"<{name}> is {text[:50]!r}, expected a number {RANGE}")
    return number
