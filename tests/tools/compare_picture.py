"""Draws docs/images/compare.png: the page of `npswin compare` for a port whose cyclic shift rolls the other way.

    python -m tests.tools.compare_picture        writes the picture, and prints what compare and diagnose say

The port is the answer key's own computation in float32 with this mistake in one block of each of the key's two models.
Needs Chromium or Chrome, and Pillow.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from npswin.cli import main as npswin_command
from npswin.verify.graph import GRADIENT_PREFIX, Arithmetic, Run
from npswin.verify.key import AnswerKey
from npswin.verify.mistakes import CATALOGUE
from npswin.weights import save_tensors
from tests.verify.page.browser import open_page

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "compare.png"
MISTAKE, PLACE = "roll-direction", "layers.0.blocks.1.attn.shifted"
COLOURS = 256


def tensors_of_port(key: AnswerKey) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor that a port in float32 with the mistake computes, forward and backward."""
    mistake = next(one for one in CATALOGUE if one.name == MISTAKE)
    changes = next(iter(mistake.plant(key.graph, PLACE)))[1]
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic("float32", 1))
    yield from ((name, run.value(name)) for name in key.graph.computed)
    yield from ((GRADIENT_PREFIX + name, run.gradient(name)) for name in key.graph.backward_order())


def main() -> None:
    """Write the key, the dump, the page and the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key, dump, page, picture = (folder / one for one in ("key", "dump.safetensors", "page.html", "page.png"))
        npswin_command(["golden", str(key), "--backward"])
        tensors = {
            prefix + name: array.astype(np.float32)
            for prefix in ("", "even/")
            for name, array in tensors_of_port(AnswerKey(key / prefix))
        }
        save_tensors(dump, tensors)
        npswin_command(["compare", str(key), str(dump), "--html", str(page)])
        npswin_command(["diagnose", str(key), str(dump)])
        open_page(page, folder / "profile", f"--screenshot={picture}")
        with Image.open(picture) as image:
            image.convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)
    print(PICTURE)


if __name__ == "__main__":
    main()
