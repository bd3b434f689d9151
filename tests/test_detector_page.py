"""The numbers of docs/detector.md are those of the configurations."""

import re
from pathlib import Path

import numpy as np
import pytest

from npswin import MaskRCNN, create_model
from npswin.detection import grid_anchors
from npswin.training.tasks.detection_evaluation import PADDED_TO

PAGE = Path(__file__).parents[1] / "docs/detector.md"
SIZES = {"official": (800, 1333), "small": (128, 128)}


def numbers(text):
    return [int(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*", text)]


@pytest.mark.parametrize("name", SIZES)
def test_two_sizes(name):
    official = MaskRCNN(80, {"depths": (1, 1, 1, 1)})
    config = (official if name == "official" else create_model("mask_rcnn_swin_nano")).config
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    start = rows.index(["argument", "what it is", "official", "small"]) + 2
    column = ["official", "small"].index(name) - 2
    table = rows[start : start + 8]
    found = {row[0].strip("`"): numbers(row[column]) for row in table if row[0].startswith("`")}
    assert found == {argument: list(np.atleast_1d(config[argument])) for argument in found}
    assert len(found) == 6
    strides = [config["backbone"]["patch_size"] * 2**level for level in range(5)]
    sides, counts = (numbers(row[column]) for row in table if not row[0].startswith("`"))
    assert sides == [config["anchor_scale"] * stride for stride in strides]
    height, width = (-(-side // PADDED_TO) * PADDED_TO for side in SIZES[name])
    maps = [(-(-height // stride), -(-width // stride)) for stride in strides]
    assert counts == [sum(len(grid_anchors(size, 1)) for size in maps)]
