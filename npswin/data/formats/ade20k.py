"""ADE20K's benchmark of 150 classes (Zhou et al. 2017, "Scene Parsing through ADE20K Dataset")."""

from os import PathLike

from npswin.checks import check_path, check_text
from npswin.data.errors import DataFileError
from npswin.data.formats.label_maps import load_label_maps
from npswin.data.sample_datasets import SegmentationDataset

ADE20K_CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet", "sidewalk",
    "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water", "painting", "sofa",
    "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp",
    "bathtub", "railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand",
    "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case", "pool table",
    "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind", "coffee table", "toilet", "flower",
    "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat", "bar",
    "arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight",
    "booth", "television receiver", "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator",
    "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer",
    "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven",
    "ball", "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher",
    "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier",
    "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip


def load_ade20k(
    folder: str | PathLike[str], split: str = "training", repair: bool = False, check_files: bool = True
) -> SegmentationDataset:
    """Load ADE20K: `images/SPLIT/*.jpg` and `annotations/SPLIT/*.png`, where 0 is ignored and 1 to 150 are classes.

    Another data set in this layout is loaded by `load_label_maps`, with the names of its classes.

    Args:
        folder: ADEChallengeData2016, with `images` and `annotations`.
        split: "training" or "validation".
        repair, check_files: see `load_label_maps`.

    Raises:
        AnnotationError, DataFileError, ValueError, ImportError: as `load_label_maps`.
    """
    root = check_path("folder", folder, DataFileError)
    check_path("split", check_text("split", split), DataFileError)
    return load_label_maps(
        root / "images" / split,
        root / "annotations" / split,
        ADE20K_CLASSES,
        split,
        name="ADE20K",
        reduce_zero_label=True,
        repair=repair,
        check_files=check_files,
    )
