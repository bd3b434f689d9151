"""npswin convert: writes weights of other programs as safetensors."""

import argparse
from pathlib import Path
from typing import Any

from npswin.cli.progress import ProgressBar
from npswin.files import listed
from npswin.weights.convert_file import convert_file

DESCRIPTION = """Convert a file of weights to safetensors, which npswin reads and which contains no code.

    npswin convert swin_tiny_patch4_window7_224.pth swin_tiny.safetensors
    npswin convert checkpoint.pth swin.safetensors --key model_ema
    npswin convert model.safetensors.index.json swin.safetensors

IN is a file of PyTorch (.pth, .pt, .bin, .ckpt) as the official code, timm, mmengine, Lightning and others write it; a
pickle of detectron2 (.pkl); a NumPy archive (.npz); or the index of a model in several files. The weights are found in
it, under whatever key they are, and keep their names: npswin.load_weights recognizes these.

PyTorch reads its own files, pip install 'npswin[convert]', by its safe reader: classes and functions that a file names
are neither imported nor called. Where that reader refuses a file, the message has the reason.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "convert",
        help="write weights of PyTorch and others as safetensors",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="IN", help="the file of weights")
    parser.add_argument("out", type=Path, metavar="OUT", help="the safetensors file; replaced if it exists")
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="where in the file the weights are, such as model_ema or state_dict; if not given, the dictionary with "
        "most names of Swin's parameters, and no average of the weights if they are there as well",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Convert the file and print what was in it."""
    with ProgressBar() as progress:
        done = convert_file(options.source, options.out, options.key, progress)
    where = f" from {done.key!r}" if done.key else ""
    layout = f"layout: {done.layout}" if done.layout else "no layout of Swin Transformer that npswin knows"
    layout = f"npswin cannot load them, {done.other_model}" if done.other_model else layout
    print(f"{options.out}: {done.count} tensors of {done.numbers:,} numbers{where}; {layout}")
    if done.others:
        print(f"the file has tensors at {listed(map(repr, done.others))} as well: --key chooses")
    if done.ignored:
        print(f"left out, and not run: objects of {listed(done.ignored)}")
    return 0
