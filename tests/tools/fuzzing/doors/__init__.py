"""The functions that read files which a user names, each with valid files to begin with and a check of its result."""

from collections.abc import Callable
from pathlib import Path

from tests.tools.fuzzing.doors import convert, data, dump, formats, golden, key, run, weights
from tests.tools.fuzzing.doors.door import Door


def doors(folder: Path) -> dict[str, Callable[[], Door]]:
    """Makers of all doors by name.

    Args:
        folder: for files that are made once.
    """
    makers: dict[str, Callable[[Path], Door]] = {
        "weights": weights.weights_door,
        "layouts": weights.layouts_door,
        "normalization": weights.normalization_door,
        "convert": convert.convert_door,
        "checkpoint": run.checkpoint_door,
        "run": run.run_door,
        "load-run": run.load_run_door,
        "key": key.key_door,
        "manifest": key.manifest_door,
        **{f"dump-{kind}": dump.dump_door(kind) for kind in ("safetensors", "npz", "npy", "raw")},
        "npy": dump.npy_door,
        "cifar10": data.cifar10_door,
        "archive": data.archive_door,
        "coco": formats.coco_door,
        "coco-results": formats.coco_results_door,
        "voc": formats.voc_door,
        "label-maps": formats.label_maps_door,
        "class-names": formats.class_names_door,
        "config": golden.config_door,
        "image": golden.image_door,
    }
    return {name: lambda make=make: make(folder) for name, make in makers.items()}
