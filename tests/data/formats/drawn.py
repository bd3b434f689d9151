"""Small data sets in files of each format, drawn here; files are bytes by name."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

Files = dict[str, bytes]


def write(folder: Path, files: Files) -> Path:
    """Write files below a folder, which is returned."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(array: np.ndarray, suffix: str = "png", **options: Any) -> bytes:
    """An image file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix), **options)
    return stream.getvalue()


def run_lengths(mask: np.ndarray) -> list[int]:
    """The runs of a mask (H, W), column by column, zeros first: counted one pixel after the other."""
    counts, last = [0], False
    for column in mask.T.tolist():
        for value in column:
            if value != last:
                counts.append(0)
            counts[-1] += 1
            last = value
    return counts


def coco_text(counts: list[int]) -> str:
    """Run lengths as COCO's text, written one number after the other."""
    text = ""
    for index, count in enumerate(counts):
        number = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            group, number = number & 31, number >> 5
            more = number != (-1 if group & 16 else 0)
            text += chr(48 + group + 32 * more)
    return text


def rectangle(height: int, width: int, x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """A mask (H, W) bool, of the pixels from column x1 to before x2, and row y1 to before y2."""
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def coco_content() -> dict[str, Any]:
    """COCO's JSON of three images, in any order; the last has no object. The categories have gaps between their ids."""
    lines = run_lengths(rectangle(12, 10, 0, 1, 10, 3))
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 20, "file_name": "b.png", "width": 9, "height": 8},
            {"id": 7, "file_name": "more/a.jpg", "width": 10, "height": 12},
            {"id": 9, "file_name": "c.png", "width": 5, "height": 4},
        ],
        "categories": [{"id": 5, "name": "ring"}, {"id": 2, "name": "disc"}],
        "annotations": [
            annotation(31, 7, 5, [2, 3, 4, 5], [[2, 3, 6, 3, 6, 8, 2, 8]]),
            annotation(30, 20, 2, [1, 0, 3.5, 2], {"size": [8, 9], "counts": run_lengths(rectangle(8, 9, 1, 0, 4, 2))}),
            annotation(32, 7, 2, [0, 1, 10, 2], {"size": [12, 10], "counts": coco_text(lines)}, iscrowd=1),
        ],
    }


def annotation(number: int, image: int, category: int, box: list[float], segmentation: Any, **more: Any) -> dict:
    """One of COCO's annotations."""
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "segmentation": segmentation,
        "area": box[2] * box[3],
        "iscrowd": 0,
        **more,
    }


def without_masks(content: dict[str, Any]) -> dict[str, Any]:
    """The same with boxes alone."""
    for one in content["annotations"]:
        del one["segmentation"]
    return content


def coco_files(content: Any = None) -> Files:
    """The JSON, and its images."""
    return {
        "objects.json": json.dumps(coco_content() if content is None else content).encode(),
        "images/b.png": encoded(pixels(8, 9, 1)),
        "images/more/a.jpg": encoded(pixels(12, 10, 2), "jpg"),
        "images/c.png": encoded(pixels(4, 5, 3)),
    }


def voc_xml(objects: str = "", width: int = 10, height: int = 12) -> bytes:
    """An annotation of Pascal VOC."""
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><folder>VOC</folder>{size}<segmented>0</segmented>{objects}</annotation>".encode()


def voc_object(name: str, corners: tuple[float, float, float, float], more: str = "") -> str:
    """One object; xmin, ymin, xmax, ymax."""
    values = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{key}>{value}</{key}>" for key, value in values)
    return f"<object><name>{name}</name><bndbox>{box}</bndbox>{more}</object>"


def voc_files() -> Files:
    """Two images, the second without an object."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    objects = voc_object("dog", (2, 3, 6, 8), part) + voc_object("cat", (1, 1, 10, 12), "<difficult>1</difficult>")
    return {
        "ImageSets/Main/train.txt": b"000007\n000009\n",
        "Annotations/000007.xml": voc_xml(objects),
        "Annotations/000009.xml": voc_xml(width=5, height=4),
        "JPEGImages/000007.jpg": encoded(pixels(12, 10, 2), "jpg"),
        "JPEGImages/000009.jpg": encoded(pixels(4, 5, 3), "jpg"),
    }


def labels(height: int, width: int, largest: int, seed: int = 0, dtype: Any = np.uint8) -> np.ndarray:
    """Random labels (H, W) from 0 to the largest, which is there."""
    drawn = np.random.default_rng(seed).integers(0, largest, (height, width), endpoint=True).astype(dtype)
    drawn[0, 0] = largest
    return drawn


def label_map_files() -> Files:
    """Two images and their label images, with labels 0 to 2 and 255."""
    second = labels(4, 5, 2, 1)
    second[1, 2] = 255
    return {
        "images/a.jpg": encoded(pixels(12, 10, 2), "jpg"),
        "images/more/b.png": encoded(pixels(4, 5, 3)),
        "labels/a.png": encoded(labels(12, 10, 2)),
        "labels/more/b.png": encoded(second),
    }
