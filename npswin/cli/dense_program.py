"""What the programs that train dense models have in common: two recipes, options and data."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from npswin.files import listed, shown_path


class Recipes(NamedTuple):
    """The fields of TrainConfig that a program sets, and the "size" of the images.

    Attributes:
        small: for the presets *_nano, whose weights are drawn.
        official: for the others.
    """

    small: Mapping[str, Any]
    official: Mapping[str, Any]


def is_small(preset: str) -> bool:
    """Whether a preset is one of the small ones, for two CPU cores and images of some hundred pixels."""
    return preset.endswith("_nano")


def add_dense_options(
    parser: argparse.ArgumentParser, presets: Sequence[str], recipes: Recipes, annotations: str, training_sizes: str
) -> None:
    """Options of a program that trains a dense model.

    Args:
        parser: gets them.
        presets: names of the models; without --preset the small one is trained.
        recipes: whose values the options have where they are not given.
        annotations: what a folder of data has beside images, as --help says it.
        training_sizes: to what sizes images are resized in training, as --help says it.
    """

    def default(name: str) -> str:
        return f"(default: {recipes.small[name]} for *_nano, {recipes.official[name]} for the official presets)"

    add = parser.add_argument
    preset = next(filter(is_small, presets))
    add("--preset", choices=presets, default=preset, help="the model (default: %(default)s)")
    data = f"folder with images and {annotations}, see above (default: the built-in scenes)"
    add("--data-dir", type=Path, help=data)
    repair = f"leave out damaged images and {annotations}, instead of stopping"
    add("--repair-data", action="store_true", help=repair)
    size = (
        f"in an evaluation, images are resized to a shorter side of at most so many pixels; in training to "
        f"{training_sizes} {default('size')}"
    )
    add("--size", type=int, metavar="N", help=size)
    add("--epochs", type=int, help=f"passes over the training images {default('epochs')}")
    add("--batch-size", type=int, help=f"images per step {default('batch_size')}")
    add("--lr", type=float, help=f"highest learning rate {default('lr')}")
    backbone = (
        "begin the backbone with a classifier's weights, of any layout that load_weights knows (default: weights are "
        "drawn)"
    )
    add("--backbone", type=Path, metavar="FILE", help=backbone)


def dense_recipe(recipes: Recipes, arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe of --preset, without its "size", which becomes that of the images where --size was not given."""
    recipe = dict(recipes.small if is_small(arguments.preset) else recipes.official)
    size = recipe.pop("size")
    arguments.size = size if arguments.size is None else arguments.size
    return recipe


def data_name(arguments: argparse.Namespace) -> str:
    """The name of the data in that of the run's folder: of the folder of data, or "scenes"."""
    return "scenes" if arguments.data_dir is None else arguments.data_dir.resolve().name or "data"


def load_dense_data(
    arguments: argparse.Namespace, load_folder: Callable[..., Any], load_scenes: Callable[..., Any]
) -> tuple[Any, Any]:
    """Training images and test images.

    Args:
        arguments: a command's.
        load_folder: reads the folder of --data-dir.
        load_scenes: makes the built-in data.

    Raises:
        ValueError: training and test images have other classes, or the folder's data are not usable.
    """
    if arguments.data_dir is None:
        return load_scenes(train=True), load_scenes(train=False)
    train, test = load_folder(arguments.data_dir, repair=arguments.repair_data)
    if train.class_names != test.class_names:
        one, other = ([name for name in a if name not in b] for a, b in _both_ways(train.class_names, test.class_names))
        found = [f"only {data.split} has {listed(names)}" for data, names in ((train, one), (test, other)) if names]
        different = "; ".join(found) or "they have another order"
        raise ValueError(
            f"{shown_path(arguments.data_dir)}: the classes of {train.split} and {test.split} differ: {different}"
        )
    return train, test


def _both_ways(one: Sequence[str], other: Sequence[str]) -> tuple[tuple[Sequence[str], Sequence[str]], ...]:
    return (one, other), (other, one)
