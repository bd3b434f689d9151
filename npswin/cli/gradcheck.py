"""npswin gradcheck: checks whether a layer's backward pass is the derivative of its forward pass."""

import argparse
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from npswin.data import DataFileError
from npswin.files import shown_path
from npswin.types import Array
from npswin.verify import gradcheck
from npswin.verify.port.npy import read_npy

LARGEST_INPUT = 2**30  # bytes

DESCRIPTION = """Check the gradient of your own layer, from its file.

    npswin gradcheck layer.py:Swish --input 5x4
    npswin gradcheck layer.py:swish_forward,swish_backward --input 5x4 --method complex

NAME is an object, or a class without arguments, with y, cache = forward(x) and dx = backward(dy, cache), parameters in
a dictionary `params` and their gradients in `grads`, to which backward adds; or two functions, of which the second
returns the derivatives by the first one's inputs. Inputs and parameters are float64. The file is executed.

The exit status is 0 if every gradient is correct, 1 if one is not, 2 if it could not be checked.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "gradcheck",
        help="check the gradient of your own layer",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layer", metavar="FILE.py:NAME", help="or FILE.py:FORWARD,BACKWARD")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="SHAPE",
        help="such as 5x4, drawn from a normal distribution; or a .npy file; once for each argument of forward",
    )
    parser.add_argument("--method", choices=("central", "complex"), default="central", help="(default central)")
    parser.add_argument(
        "--along",
        choices=("coordinates", "directions", "joint"),
        help="coordinates or directions by the tensor's size if not given; joint takes the fewest calls",
    )
    parser.add_argument(
        "--directions", type=int, default=16, metavar="N", help="number of random directions (default 16)"
    )
    parser.add_argument("--step", type=float, help="the longest step")
    parser.add_argument("--tolerance", type=float, help="the largest relative error that passes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of inputs and directions (default 0)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, print the report, and return the exit status."""
    path, _, names = options.layer.rpartition(":")
    if not path.endswith(".py") or not names:
        raise ValueError(f"FILE.py:NAME: got {options.layer!r}, expected such as layer.py:Swish")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    rng = np.random.default_rng([options.seed, 6])
    inputs = [_input(text, rng) for text in options.input]
    try:
        report = gradcheck(
            _layer(path, names),
            inputs,
            method=options.method,
            along=options.along,
            step=options.step,
            tolerance=options.tolerance,
            directions=options.directions,
            seed=options.seed,
            raise_on_failure=False,
        )
    except SystemExit as error:
        raise ValueError(
            f"{path}: ends the program ({error}), expected a file that can be imported and called"
        ) from error
    except Exception as error:
        where = _raised_at(error, path)
        if where is None:
            raise
        raise ValueError(f"{where}: {type(error).__name__}: {error}") from error
    print(report)
    return 0 if report.ok else 1


def _raised_at(error: Exception, path: str) -> str | None:
    """The line of the user's file that raised the error; None if none of its lines is in the traceback."""
    if isinstance(error, SyntaxError):
        return f"{path}, line {error.lineno}"
    own = Path(path).resolve()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).resolve() == own]
    return f"{path}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else None


def _layer(path: str, names: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[0]
    found = []
    for name in names.split(","):
        if not hasattr(module, name):
            own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            raise ValueError(f"{path}: has no {name}; it has {', '.join(own) or 'neither functions nor classes'}")
        found.append(getattr(module, name))
    if len(found) == 1:
        return found[0]() if inspect.isclass(found[0]) else found[0]
    return tuple(found)


def _input(text: str, rng: np.random.Generator) -> Array:
    if text.endswith(".npy"):
        array = read_npy(text, DataFileError, LARGEST_INPUT).astype(np.float64)
        if not np.isfinite(array).all():
            raise DataFileError(f"{shown_path(text)}: has NaN or infinite numbers, expected finite ones")
        return array
    try:
        shape = tuple(int(side) for side in text.split("x"))
    except ValueError:
        raise ValueError(f"--input: got {text!r}, expected a shape such as 5x4, or a .npy file") from None
    return rng.standard_normal(shape)
