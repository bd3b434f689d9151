"""What programs that train have in common: options, recipe, model and run, and how they end."""

import argparse
import io
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_integer, check_size
from npswin.cli.machine_options import add_machine_options
from npswin.cli.normalization import add_normalization_options, normalization_of_options
from npswin.data import steps_per_epoch
from npswin.data.sample_transforms import LARGEST_SIDE
from npswin.files import counted, message_of
from npswin.models import create_model
from npswin.training import NonFiniteError, TrainConfig, Trainer, TrainingInterrupted
from npswin.training.run_folder import check_run_folder
from npswin.weights import WeightMismatchError, load_weights

RECIPE_OPTIONS = ("epochs", "batch_size", "lr", "seed", "precision")  # which are fields of TrainConfig, too
SHOWN = 8  # images in a picture of samples
# What of weights fits the model -> the option that takes it.
_OPTIONS_THAT_FIT = {
    None: "",
    "all but the head": "\nfor other classes, --new-head draws the head anew",
    "backbone": "\nto begin with the backbone of another kind of model, use --backbone instead of --weights",
}


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of options, whose --help begins with a program's docstring as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options that any run has."""
    add = parser.add_argument
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of the weights, the order of the images and the augmentation (default: 0)",
    )
    add("--dtype", choices=["float32", "float64"], default="float32", help="dtype of the model (default: float32)")
    add_machine_options(parser)
    weights = "start from these weights, of any layout that load_weights knows (default: weights are drawn)"
    add("--weights", type=Path, metavar="FILE", help=weights)
    add("--new-head", action="store_true", help="with --weights: draw the head anew, as for other classes")
    add_normalization_options(parser)
    add("--out", type=Path, help="the run's folder (default: runs/DATA-PRESET)")
    add("--resume", action="store_true", help="continue the run in its folder; needs the same model, data and recipe")
    repair = "continue a run whose files are damaged, with what is left of them, and keep copies of the damaged ones"
    add("--repair", action="store_true", help=repair)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a recipe among a command's options, without those that were not given and have no default."""
    values = {name: getattr(arguments, name, None) for name in RECIPE_OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def check_options(arguments: argparse.Namespace) -> None:
    """Raise a ValueError, which names the option, for options that do not fit, as far as no data are needed for it."""
    for name in ("size", "crop"):
        if (side := getattr(arguments, name, None)) is not None:
            check_integer(_option(name), side, 1, LARGEST_SIDE // 8)  # a longer side of 4 · 2 times that in training
    if (detections := getattr(arguments, "detections", None)) is not None:
        check_size("--detections", detections)
    if arguments.weights is not None and getattr(arguments, "backbone", None) is not None:
        raise ValueError("--weights, --backbone: got both, expected one of them")
    if arguments.new_head and arguments.weights is None:
        raise ValueError("--new-head: got no --weights, in whose model a new head is drawn")
    normalization_of_options(arguments)


def training_config(recipe: dict[str, Any], arguments: argparse.Namespace) -> TrainConfig:
    """A recipe with the options that were given.

    So that another number of epochs needs no other options, its warm-up takes at most a fifth of them, and
    decay_epochs are moved in proportion; where no epoch is left for them, the learning rate falls along a line. And
    min_lr is at most lr.

    Raises:
        ValueError: a setting is out of its range.
    """
    settings = {**recipe, **given_settings(arguments)}
    epochs, share = settings["epochs"], settings["epochs"] / recipe["epochs"]
    settings["warmup_epochs"] = min(recipe.get("warmup_epochs", 0.0), epochs / 5)
    settings["min_lr"] = min(recipe.get("min_lr", 0.0), settings["lr"])
    if "decay_epochs" in recipe:
        moved = dict.fromkeys(round(share * epoch) for epoch in recipe["decay_epochs"])
        settings["decay_epochs"] = tuple(epoch for epoch in moved if 0 < epoch < epochs)
        settings["schedule"] = "steps" if settings["decay_epochs"] else "poly"
    return TrainConfig(**settings)


def with_short_warmup(config: TrainConfig, images: int) -> TrainConfig:
    """A recipe whose warmup_steps are at most a fifth of the steps with so many training images."""
    steps = config.epochs * steps_per_epoch(images, config.batch_size)
    return replace(config, warmup_steps=min(config.warmup_steps, steps // 5))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def model_to_train(arguments: argparse.Namespace, num_classes: int, **options: Any) -> Any:
    """The model of --preset, with the weights of --weights or --backbone; what was loaded is printed.

    Args:
        arguments: a command's.
        num_classes: of the data.
        **options: other arguments of the model.

    Raises:
        ValueError: a file does not fit the model. A WeightFileError: it cannot be read.
    """
    settings = {"num_classes": num_classes, "dtype": arguments.dtype, "seed": arguments.seed, **options}
    model, backbone = create_model(arguments.preset, **settings), getattr(arguments, "backbone", None)
    if arguments.weights is not None:
        head = np.random.default_rng(arguments.seed) if arguments.new_head else "load"
        try:
            print(load_weights(model, arguments.weights, head=head), flush=True)
        except WeightMismatchError as error:
            raise ValueError(f"--weights: {error.reason}{_OPTIONS_THAT_FIT[error.fitting_part]}") from error
    if backbone is not None:
        try:
            print(load_weights(model, backbone, part="backbone"), flush=True)
        except WeightMismatchError as error:
            reason, *_ = error.reason.splitlines()
            raise ValueError(f"--backbone: no weights for the backbone of {arguments.preset}: {reason}") from error
    return model


def run_folder(arguments: argparse.Namespace, data_name: str) -> Path:
    """The run's folder: --out, or runs/DATA-PRESET.

    Called before data are loaded, which may take long.

    Raises:
        RunFolderError: no run can begin in it, or with --resume or --repair, be resumed.
    """
    out = Path(arguments.out or Path("runs") / f"{data_name}-{arguments.preset}")
    check_run_folder(out, arguments.resume or arguments.repair)
    return out


def print_run(arguments: argparse.Namespace, model: Any, train_data: Any, config: TrainConfig, out: Path) -> None:
    """Print what will be trained, and where."""
    parameters = sum(param.size for param in model.params.values())
    print(
        f"{arguments.preset}, {parameters:,} parameters, on {train_data.name}: {counted(len(train_data), 'image')} × "
        f"{counted(config.epochs, 'epoch')}, run folder {out}",
        flush=True,
    )


def predict_first(trainer: Trainer) -> tuple[list[Any], list[Any]]:
    """The first test images, with their annotations, and what the model finds, by a task that predicts."""
    task: Any = trainer.task
    test_data: Any = trainer.test_data
    samples = [test_data[place] for place in range(min(SHOWN, len(test_data)))]
    return samples, [task.predict(trainer.model, one.image, (trainer.mean, trainer.std)) for one in samples]


def fit(trainer: Trainer, arguments: argparse.Namespace) -> Any:
    """Train to the end, print how long it took, and return the evaluation."""
    started = time.monotonic()
    result = trainer.fit(arguments.resume, arguments.repair)
    print(f"trained for {time.monotonic() - started:.0f} s")
    return result


@contextmanager
def _plain_warnings(name: str) -> Iterator[None]:
    """A context in which warnings for users, such as what is left out of damaged data, are lines without code."""

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if category is UserWarning:
            print(f"{name}: warning: {message}", file=sys.stderr, flush=True)
        else:
            show_with_code(message, category, *where, **more)

    with warnings.catch_warnings():
        show_with_code = warnings.showwarning
        warnings.showwarning = show
        yield


def run_program(parse: Callable[[], argparse.Namespace], train: Callable[[Any], None]) -> int:
    """Run a program, with a line on stderr for what went wrong.

    Args:
        parse: reads the command's arguments, with those of `add_run_options`.
        train: does what they say.

    Returns:
        The exit status: 0, 1 for NaN or infinity, 2 for other errors, 128 + signal.
    """
    name = Path(sys.argv[0]).name
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters such as ×
    try:
        arguments = parse()
        check_options(arguments)
        with _plain_warnings(name):
            train(arguments)
    except TrainingInterrupted as interrupt:
        given = [argument for argument in sys.argv if argument != "--repair"]
        command = shlex.join([sys.executable, *given] + ["--resume"] * (not arguments.resume))
        print(f"{interrupt}\nresume with: {command}", file=sys.stderr)
        return 128 + interrupt.signal_number
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    except NonFiniteError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        message = message_of(error)
        setting, _, problem = message.partition(":")
        message = f"{_option(setting)}:{problem}" if setting in RECIPE_OPTIONS else message
        print(f"{name}: error: {message}", file=sys.stderr)
        return 2
    return 0
