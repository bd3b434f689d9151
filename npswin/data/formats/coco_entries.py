"""The entries of COCO's JSON: categories, images and annotations, each checked."""

from pathlib import Path
from typing import Any

from npswin.data.errors import DataFileError
from npswin.data.formats.boxes import box_in_image, most_is_in_box
from npswin.data.formats.entries import check_object, coordinates_of, file_name_of, integer_of, text_of
from npswin.data.formats.findings import EntryError, Findings
from npswin.data.formats.image_files import too_large
from npswin.data.formats.object_files import AnnotatedImage, Annotation
from npswin.data.formats.run_lengths import encode_segmentation, mask_codes
from npswin.files import shown_path
from npswin.progress import with_progress

SECTIONS = ("categories", "images", "annotations")


def check_sections(content: Any, path: Path) -> dict[str, list[Any]]:
    """The three lists of entries, or a DataFileError; there may be no annotation, but not no image or no category."""
    for name in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataFileError(f"{shown_path(path)}: has no list {name!r}, expected COCO's annotations of objects")
    for name in ("categories", "images"):
        if not content[name]:
            raise DataFileError(f"{shown_path(path)}: its list {name!r} is empty")
    return {name: content[name] for name in SECTIONS}


def read_categories(entries: list[Any], findings: Findings) -> dict[int, str]:
    """Names of categories by id, in the order of ids; what is wrong with one is fatal, since labels are places here."""
    names: dict[int, str] = {}
    for index, entry in enumerate(entries):
        try:
            category, name = integer_of(check_object(entry), "id"), text_of(entry, "name")
            if category in names or name in names.values():
                raise EntryError("category twice", f"has the id {category} or the name {name!r} of another category")
            names[category] = name
        except EntryError as error:
            findings.add(error.kind, f"categories[{index}]", error.text, fatal=True)
    return dict(sorted(names.items()))


def read_images(entries: list[Any], folder: Path, findings: Findings) -> tuple[dict[int, AnnotatedImage], set[int]]:
    """Images by id, in the order of the file, and the ids of others, with which something is wrong.

    Images that share an id are among the others, since it does not say whose an object is.
    """
    images: dict[int, AnnotatedImage] = {}
    wrong: set[int] = set()
    for index, entry in enumerate(entries):
        where, image_id = f"images[{index}]", None
        try:
            image_id = integer_of(check_object(entry), "id")
            where = f"image {image_id}"
            name = file_name_of(entry, "file_name")
            where = f"image {image_id} ({name})"
            height, width = (integer_of(entry, key, 1) for key in ("height", "width"))
            if reason := too_large(height, width):
                raise EntryError("too large", reason)
        except EntryError as error:
            findings.add(error.kind, where, error.text)
            if image_id is not None:
                wrong.add(image_id)
            continue
        if image_id in images:
            other = images[image_id].path.name
            findings.add("image id twice", where, f"has the id of {other}, too")
            wrong.add(image_id)
        images[image_id] = AnnotatedImage(image_id, folder / name, height, width)
    return {image_id: image for image_id, image in images.items() if image_id not in wrong}, wrong


def read_annotations(
    entries: list[Any],
    images: dict[int, AnnotatedImage],
    wrong_images: set[int],
    labels: dict[int, int],
    findings: Findings,
) -> bool:
    """Add the objects to their images.

    Args:
        entries: of the annotations.
        images: by id.
        wrong_images: ids of images that are left out; their objects are, too, without a finding of their own.
        labels: by the id of the category.
        findings: what is wrong is added; the object is then left out.

    Returns:
        Whether the objects have masks; those without one are then wrong.
    """
    has_masks = any(isinstance(entry, dict) and entry.get("segmentation") for entry in entries)
    seen: set[int] = set()
    for index, entry in enumerate(with_progress("checking annotations", entries, len(entries), "annotations")):
        where = f"annotations[{index}]"
        try:
            number = integer_of(check_object(entry), "id")
            where = f"annotation {number}"
            if number in seen:
                raise EntryError("annotation id twice", "has the id of another annotation")
            seen.add(number)
            image_id = integer_of(entry, "image_id")
            if image_id in wrong_images:
                continue
            if image_id not in images:
                raise EntryError("unknown image", f"is of image {image_id}, which is not among the images")
            where = f"annotation {number} of image {image_id}"
            image = images[image_id]
            image.objects.append(_read_object(entry, image, labels, has_masks, findings, where))
        except EntryError as error:
            findings.add(error.kind, where, error.text)
    return has_masks


def _read_object(
    entry: dict[str, Any],
    image: AnnotatedImage,
    labels: dict[int, int],
    has_masks: bool,
    findings: Findings,
    where: str,
) -> Annotation:
    category = integer_of(entry, "category_id")
    if category not in labels:
        raise EntryError("unknown category", f"has category {category}, which is not among the categories")
    crowd = bool(integer_of(entry, "iscrowd", 0, 1)) if "iscrowd" in entry else False
    x, y, box_width, box_height = coordinates_of(entry, "bbox", 4)
    box = box_in_image((x, y, x + box_width, y + box_height), image.height, image.width, findings, where)
    if not has_masks:
        return Annotation(box, labels[category], crowd)
    if not entry.get("segmentation"):
        raise EntryError("no mask", "has no segmentation, as others have")
    mask = encode_segmentation(entry["segmentation"], image.height, image.width)
    left, top, width, height = mask_codes().toBbox(mask).tolist()
    if not most_is_in_box((left, top, left + width, top + height), box):
        found = f"has a mask of {width:g}×{height:g} pixels at ({left:g}, {top:g})"
        raise EntryError("mask outside of the box", f"{found}, most of it outside of bbox {entry['bbox']}")
    return Annotation(box, labels[category], crowd, mask)
