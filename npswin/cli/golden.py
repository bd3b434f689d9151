"""npswin golden: writes an answer key."""

import argparse
import inspect
from collections.abc import Mapping, Sequence
from errno import EEXIST
from math import prod
from pathlib import Path
from typing import Any

from npswin.checks import shown
from npswin.cli.golden_cases import GoldenCase, draw_weights, golden_cases, patterns_of_cases
from npswin.cli.progress import ProgressBar
from npswin.files import FileError, read_json, shortened, shown_path
from npswin.models import CONFIGS, SwinTransformer
from npswin.models.checks import checked_arguments
from npswin.verify.key.golden import MINIATURE
from npswin.verify.key.trace import trace
from npswin.verify.key.write import FORMAT, write_key
from npswin.weights import TensorFile, load_weights

LONGEST_CONFIG = 2**20  # bytes
MOST_BLOCKS = 1000
MOST_WEIGHTS = 4e9
LONGEST_SIDE = 2**16  # pixels, of images and windows

DESCRIPTION = """Write an answer key: the folder OUT with key.safetensors (weights, image, every intermediate tensor,
and with --backward every gradient) and manifest.json (for each tensor its operation and inputs). docs/answer_key.md
describes both.

    npswin golden key --backward
        a miniature Swin, and in key/even one with even windows; the two have every case that ports get wrong, in less
        than a megabyte each
    npswin golden key --batch 2 1 --size 10 14 --size 13 9 --backward
        the miniature for images of two sizes, two images and one; the second case is in key/1x13x9
    npswin golden key --model swin_tiny_patch4_window7_224 --weights model.safetensors --image cat.jpg --sample 1000
        Swin-T with official weights; a thousand numbers of each tensor
    npswin golden key --config mine.json --only 'layers.0.*' 'grad/layers.0.*' --backward
        a model of your own, the first stage's tensors
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "golden",
        help="write the answer key",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the key's folder; a key in it is replaced")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME", help=f"one of {', '.join(CONFIGS)}; a miniature if not given")
    which.add_argument("--config", type=Path, metavar="FILE", help="JSON: the arguments of npswin.SwinTransformer")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="safetensors in any known layout; if not given, random weights, each of which changes the result",
    )
    parser.add_argument(
        "--image",
        "--images",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="images, read by Pillow; random pixels if not given",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        action="append",
        metavar=("H", "W"),
        help="of the images; the model's if not given. Given several times, there is a case for each, in a subfolder",
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        metavar="N",
        help="number of images (default: the files of --image, or 2); if there are fewer files, random images follow "
        "them. Several numbers are a case each, or those of the sizes",
    )
    parser.add_argument(
        "--labels", type=int, nargs="+", metavar="CLASS", help="one class for each image; random if not given"
    )
    parser.add_argument(
        "--stress",
        action="store_true",
        help="weights that a port in half precision fails on: large activations, long tails and near-ties",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all random numbers (default 0)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="(default float64)")
    parser.add_argument("--backward", action="store_true", help="the gradient of the loss by each tensor as well")
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="store the values of these tensors only, such as 'layers.0.*'",
    )
    parser.add_argument(
        "--sample", type=int, metavar="N", help="at most N numbers of each tensor, with their positions"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the key and print what is in it."""
    model = _model(options)
    if options.seed < 0:
        raise ValueError(f"--seed: got {options.seed}, expected 0 or more")
    if options.weights is not None and options.stress:
        raise ValueError("--stress: draws the weights, expected no --weights")
    if options.weights is None:
        draw_weights(options, model)
    else:
        print(load_weights(model, _weights(options.weights)))
    cases = golden_cases(options, model)
    patterns = patterns_of_cases(options.only, cases, options.backward)
    if options.out.exists() and not options.out.is_dir():
        raise FileExistsError(EEXIST, "File exists", str(options.out))
    for case in reversed(cases):  # the key itself comes last, since it lists the others
        further = [one.name for one in cases[1:]] if not case.name else []
        _write(options, case, patterns[case.name], further)
    if not options.backward:
        print("without the backward pass; --backward adds it")
    names = {case.name for case in cases}
    for other in sorted(path.parent for path in options.out.glob("*/manifest.json") if path.parent.name not in names):
        print(f"{other}: a key from before, no case of this one; it can be deleted")
    return 0


def _write(options: argparse.Namespace, case: GoldenCase, only: Sequence[str], further: Sequence[str]) -> None:
    with ProgressBar() as progress:
        traced = trace(
            case.model,
            case.pixels,
            case.labels,
            backward=options.backward,
            normalization=case.normalization,
            progress=progress,
        )
    folder = write_key(traced, options.out / case.name, only, options.sample, options.seed, further)
    size = sum(file.stat().st_size for file in (folder / "key.safetensors", folder / "manifest.json"))
    halves = f"{len(traced.graph.computed)} tensors" + (f" and {len(traced.grads)} gradients" if traced.grads else "")
    batch, _, height, width = case.pixels.shape
    images = f"{batch} image{'s' * (batch > 1)} of {height}×{width}"
    print(f"{folder}: {halves} of {images}, loss {traced.loss:.9g}, {size / 1e6:.2f} MB")


def _model(options: argparse.Namespace) -> SwinTransformer:
    if options.config is not None:
        return _model_of(options.config, options.dtype)
    if options.model is not None and options.model not in CONFIGS:
        raise ValueError(f"--model: got {options.model!r}, expected one of {', '.join(CONFIGS)}")
    arguments = MINIATURE if options.model is None else CONFIGS[options.model]
    return SwinTransformer(**{**arguments, "dtype": options.dtype})


def _weights(path: Path) -> Any:
    """The weights' source: the file; for a key.safetensors its parameters by name."""
    tensors = TensorFile(path)
    if not tensors.metadata.get("format", "").startswith(FORMAT):
        return path
    return {
        name: tensors[name]
        for name in tensors
        if name.endswith((".weight", ".bias", "_table", "_embed")) and "/" not in name
    }


def _model_of(path: Path, dtype: str) -> SwinTransformer:
    """The model of a file with its arguments as JSON, which are checked before it is made."""
    arguments = read_json(path, FileError, LONGEST_CONFIG)
    defaults = {name: one.default for name, one in inspect.signature(SwinTransformer).parameters.items()}
    if not isinstance(arguments, dict):
        raise FileError(f'{shown_path(path)}: expected an object such as {{"embed_dim": 96, "depths": [2, 2]}}')
    for name in arguments:
        if name not in defaults:
            raise FileError(
                f"{shown_path(path)}: {shown(name)} is not an argument of the model; it has {', '.join(defaults)}"
            )
    try:
        _check_size(checked_arguments({**defaults, **arguments, "dtype": dtype}))
        return SwinTransformer(**{**arguments, "dtype": dtype})
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FileError(f"{shown_path(path)}: {shortened(str(error), 1000)}") from error


def _check_size(config: Mapping[str, Any]) -> None:
    """Raise a ValueError for a model that no memory holds: too many blocks, or too many numbers in its weights."""
    dim, window = config["embed_dim"], config["window_size"]
    if sum(config["depths"]) > MOST_BLOCKS:
        raise ValueError(f"depths: got {shown(config['depths'])}, expected at most {MOST_BLOCKS} blocks")
    size = config["img_size"]
    sides = [size, size] if isinstance(size, int) else size or []
    if max([window, *sides]) > LONGEST_SIDE:
        raise ValueError(
            f"img_size, window_size: got {shown(size)} and {shown(window)}, expected at most {LONGEST_SIDE}"
        )
    grid = prod(-(-side // config["patch_size"]) for side in sides)
    total = dim * config["in_chans"] * config["patch_size"] ** 2 + (dim * grid if config["ape"] else 0)
    for stage, (depth, heads) in enumerate(zip(config["depths"], config["num_heads"], strict=True)):
        width = dim * 2**stage
        inner = heads * config["head_dim"] if config["head_dim"] else width
        table = {"per_head": 4 * window**2 * heads, "shared": 4 * window**2, "full": window**4, "none": 0}
        block = 4 * width * inner + 2 * width * int(width * config["mlp_ratio"]) + table[config["position_bias"]]
        total += depth * block + 8 * width**2
    total += width * config["num_classes"]
    if total > MOST_WEIGHTS:
        raise ValueError(f"a model of {total:.1e} weights, expected at most {MOST_WEIGHTS:.0e}")
