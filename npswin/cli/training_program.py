"""What programs that train have in common: options, recipe, model and run, and how they end."""

import argparse
import io
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from npswin.backends import get_backend, set_backend
from npswin.checks import check_integer
from npswin.models import create_model
from npswin.training import NonFiniteError, TrainConfig, Trainer, TrainingInterrupted, set_threads
from npswin.training.normalization import NAMES
from npswin.weights import TensorFile, WeightMismatchError, load_weights

RECIPE_OPTIONS = ("epochs", "batch_size", "lr", "seed", "precision")  # which are fields of TrainConfig, too


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of options, whose --help begins with a program's docstring as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def add_dense_options(
    parser: argparse.ArgumentParser, presets: Sequence[str], preset: str, recipe: Mapping[str, Any], annotations: str
) -> None:
    """Options of a program that trains a dense model.

    Args:
        parser: gets them.
        presets: names of the models.
        preset: the one that is trained without --preset.
        recipe: with epochs, batch_size and lr.
        annotations: what a folder of data has beside images, as --help says it.
    """
    add = parser.add_argument
    add("--preset", choices=presets, default=preset, help="the model (default: %(default)s)")
    data = f"folder with images and {annotations}, see above (default: the built-in scenes)"
    add("--data-dir", type=Path, help=data)
    repair = f"leave out damaged images and {annotations}, instead of stopping"
    add("--repair-data", action="store_true", help=repair)
    size = "images are resized to a shorter side of at most so many pixels (default: %(default)s)"
    add("--size", type=int, default=128, help=size)
    epochs, batch_size, lr = (recipe[name] for name in ("epochs", "batch_size", "lr"))
    add("--epochs", type=int, default=epochs, help="passes over the training images (default: %(default)s)")
    add("--batch-size", type=int, default=batch_size, help="images per step (default: %(default)s)")
    add("--lr", type=float, default=lr, help="highest learning rate (default: %(default)s)")
    backbone = (
        "begin the backbone with a classifier's weights, of any layout that load_weights knows. If npswin trained "
        "them, images are normalized as they were then; else by their own mean and deviation, as without it; also on "
        "--resume (default: weights are drawn)"
    )
    add("--backbone", type=Path, metavar="FILE", help=backbone)


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
    add("--backend", default=get_backend(), help="backend on the CPU: numpy or cpu (default: %(default)s)")
    add("--threads", type=int, help="number of threads (default: one per core)")
    weights = (
        "start from these weights, and normalize images as the run did that they are from; also on --resume "
        "(default: weights are drawn)"
    )
    add("--weights", type=Path, metavar="FILE", help=weights)
    add("--new-head", action="store_true", help="with --weights: draw the head anew, as for other classes")
    add("--out", type=Path, help="the run's folder (default: runs/DATA-PRESET)")
    add("--resume", action="store_true", help="continue the run in its folder; needs the same arguments")
    repair = "continue a run whose files are damaged, with what is left of them, and keep copies of the damaged ones"
    add("--repair", action="store_true", help=repair)


def set_machine(arguments: argparse.Namespace) -> None:
    """Threads and backend of `add_run_options`.

    Raises:
        ValueError: there is no such number of threads, or no such backend.
    """
    if arguments.threads is not None:
        set_threads(check_integer("threads", arguments.threads, at_least=1))
    set_backend(arguments.backend)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a recipe among a command's options, without those that were not given and have no default."""
    values = {name: getattr(arguments, name, None) for name in RECIPE_OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def training_config(recipe: dict[str, Any], arguments: argparse.Namespace) -> TrainConfig:
    """A recipe with the options that were given.

    So that short runs need fewer options, its warm-up takes at most a fifth of the epochs, and min_lr is at most lr.

    Raises:
        ValueError: a value is out of its range.
    """
    recipe = {**recipe, **given_settings(arguments)}
    warmup = min(recipe.get("warmup_epochs", 0.0), recipe["epochs"] / 5)
    return TrainConfig(**{**recipe, "warmup_epochs": warmup, "min_lr": min(recipe.get("min_lr", 0.0), recipe["lr"])})


def model_to_train(arguments: argparse.Namespace, num_classes: int, **options: Any) -> Any:
    """The model of --preset, with the weights of --weights or --backbone; what was loaded is printed.

    Args:
        arguments: a command's.
        num_classes: of the data.
        **options: other arguments of the model.

    Raises:
        ValueError: a file does not fit the model; or both were given. A WeightFileError: it cannot be read.
    """
    settings = {"num_classes": num_classes, "dtype": arguments.dtype, "seed": arguments.seed, **options}
    model, backbone = create_model(arguments.preset, **settings), getattr(arguments, "backbone", None)
    if arguments.weights is not None and backbone is not None:
        raise ValueError("--weights, --backbone: got both, expected one of them")
    if arguments.weights is not None:
        head = np.random.default_rng(arguments.seed) if arguments.new_head else "load"
        try:
            print(load_weights(model, arguments.weights, head=head), flush=True)
        except WeightMismatchError as error:
            raise ValueError(f"--weights: {error}\nfor other classes, --new-head draws the head anew") from error
    if backbone is not None:
        try:
            print(load_weights(model, backbone, part="backbone"), flush=True)
        except WeightMismatchError as error:
            reason, *_ = str(error).splitlines()
            raise ValueError(f"--backbone: no weights for the backbone of {arguments.preset}: {reason}") from error
    return model


def normalization_file(arguments: argparse.Namespace) -> Path | None:
    """The file whose mean and deviation normalize the images; None for the training images' own.

    It is that of --weights; or that of --backbone, if its metadata have mean and deviation.
    """
    backbone = getattr(arguments, "backbone", None)
    if backbone is not None and TensorFile(backbone).metadata.keys() >= set(NAMES):
        return Path(backbone)
    return arguments.weights


def begin_run(arguments: argparse.Namespace, model: Any, train_data: Any, config: TrainConfig) -> Path:
    """Print what will be trained, and return the run's folder."""
    out = arguments.out or Path("runs") / f"{train_data.name}-{arguments.preset}"
    parameters = sum(param.size for param in model.params.values())
    print(
        f"{arguments.preset}, {parameters:,} parameters, on {train_data.name}: "
        f"{len(train_data):,} images × {config.epochs} epochs, run folder {out}",
        flush=True,
    )
    return Path(out)


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
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    return 0
