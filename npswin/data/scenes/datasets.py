"""`scenes`: pictures with many objects, drawn by a seeded generator when they are asked for.

Four to eleven objects of eight classes, from a sixteenth to about half of the picture wide, stand, lie or float before
a ground of sky, grass, water and road. They partly hide each other, some are cut off by the border, and colours,
patterns, light, shadows and textures differ. Stones, sticks and flat figures are clutter, of the class of the ground
they are on. An object that is mostly hidden is left out of the picture.

A scene depends on seed, split, its number and its size alone, and has the same pixels on every machine.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from npswin.checks import check_flag, check_integer
from npswin.data.sample_datasets import DetectionDataset, SegmentationDataset
from npswin.data.samples import DetectionSample, SegmentationSample
from npswin.data.scenes.drawing import Scene, draw_scene
from npswin.data.scenes.ground import STUFF
from npswin.data.scenes.things import THINGS
from npswin.data.tight_boxes import tight_boxes

SCENE_THINGS: tuple[str, ...] = tuple(thing.__name__ for thing in THINGS)
SCENE_CLASSES: tuple[str, ...] = (*SCENE_THINGS, *STUFF)  # an object's class has the same number in label maps
SMALLEST_SIZE, LARGEST_SIZE = 32, 2048  # pixels
LARGEST_COUNT = 1_000_000

_COUNTS = {"train": 1000, "test": 200}
_SPLITS = tuple(_COUNTS)

Sample = TypeVar("Sample", SegmentationSample, DetectionSample, covariant=True)


def load_segmentation_scenes(
    train: bool = True, size: int = 128, count: int | None = None, seed: int = 0
) -> SegmentationDataset:
    """Scenes with the class of each pixel: an object where one is seen, and otherwise the ground.

    Args:
        train: scenes to train on, or others to test on.
        size: height and width in pixels, 32 to 2048.
        count: number of scenes, up to a million; None for 1000 to train on and 200 to test on.
        seed: 0 or more; different seeds give independent scenes. The first scenes are the same for each `count`.

    Returns:
        Samples with images (3, size, size) uint8 and label maps (size, size) uint8. Each is drawn when it is asked
        for, in some 10 ms for 128 pixels, and is the same each time.

    Raises:
        ValueError: an argument is out of range.
    """
    scenes = _Scenes(*_check(train, size, count, seed), _with_labels)
    return SegmentationDataset(
        samples=scenes, class_names=SCENE_CLASSES, name="scenes", split=scenes.split, checksum=_checksum(scenes)
    )


def load_detection_scenes(
    train: bool = True, size: int = 128, count: int | None = None, seed: int = 0
) -> DetectionDataset:
    """Scenes with box, class and mask of each object; the pictures are those of `load_segmentation_scenes`.

    Masks have the visible pixels alone, boxes fit tightly around them.

    Args:
        train, size, count, seed: as those of `load_segmentation_scenes`.

    Returns:
        Samples with images (3, size, size) uint8, boxes (n, 4) float32, labels (n,) int64, masks (n, size, size) and
        no crowds. n may be 0, though hardly ever.

    Raises:
        ValueError: an argument is out of range.
    """
    scenes = _Scenes(*_check(train, size, count, seed), _with_objects)
    return DetectionDataset(
        samples=scenes,
        class_names=SCENE_THINGS,
        name="scenes",
        split=scenes.split,
        checksum=_checksum(scenes),
        has_masks=True,
    )


@dataclass(frozen=True)
class _Scenes(Sequence[Sample], Generic[Sample]):
    """Draws each sample when it is asked for."""

    split: str
    size: int
    length: int
    seed: int
    as_sample: Callable[[Scene], Sample]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # no slices
        if not 0 <= index < self.length:
            raise IndexError(index)
        key = (_SPLITS.index(self.split), index)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        return self.as_sample(draw_scene(rng, self.size))


def _with_labels(scene: Scene) -> SegmentationSample:
    labels = scene.stuff + np.uint8(len(SCENE_THINGS))
    for kind, mask in zip(scene.kinds, scene.masks, strict=True):
        labels[mask] = kind
    return SegmentationSample(scene.image, labels)


def _with_objects(scene: Scene) -> DetectionSample:
    crowd = np.zeros(len(scene.kinds), dtype=bool)
    return DetectionSample(scene.image, tight_boxes(scene.masks), scene.kinds, scene.masks, crowd)


def _check(train: bool, size: int, count: int | None, seed: int) -> tuple[str, int, int, int]:
    """The split, and the other arguments as Python's integers."""
    split = "train" if check_flag("train", train) else "test"
    size = check_integer("size", size, SMALLEST_SIZE, LARGEST_SIZE)
    count = _COUNTS[split] if count is None else check_integer("count", count, 1, LARGEST_COUNT)
    return split, size, count, check_integer("seed", seed, 0)


def _checksum(scenes: _Scenes[Sample]) -> int:
    """A number of all that scenes depend on: of how many there are, and of the pixels of the first one."""
    return zlib.crc32(scenes[0].image.tobytes(), scenes.length)
