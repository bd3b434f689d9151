"""Loading weights of any known layout into a model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Protocol

import numpy as np

from npswin.checks import check_array, check_flag, check_path, check_text, shown
from npswin.devices import to_device_of
from npswin.files import listed, shortened, shown_path
from npswin.ops.resize import resize_bicubic_forward
from npswin.types import Array
from npswin.weights.files import WeightFileError
from npswin.weights.layouts import to_official, weight_names
from npswin.weights.tensor_file import TensorFile

Shape = tuple[int, ...]

# A file with more than 4 n + 2²⁴ numbers is not read for a model of n: 4 for models that share a part of their layers,
# 2²⁴ for the head of another number of classes.
MUCH_LARGER, MORE_NUMBERS = 4, 2**24
MOST_POSITIONS = 2**16  # of a table or embedding that is resampled: windows of 128, maps of 256 × 256
MOST_LISTED = 100  # tensors of each kind in a report's text


class HasParams(Protocol):
    """The interface that `load_weights` needs of a model."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters by their official names."""


class WeightMismatchError(ValueError):
    """Weights of another model; the message lists all keys that differ."""


@dataclass
class LoadReport:
    """The result of `load_weights`, by official names.

    Attributes:
        layout: the detected key layout.
        loaded: parameters that were set, including resized ones.
        resized: parameters that were resampled from another window or image size: shape found, shape of the model.
        missing: parameters of the model that are not in the weights.
        unexpected: names in the weights that are not in the model.
        misshapen: parameters with a wrong shape: shape found, shape of the model.
    """

    layout: str
    loaded: list[str] = field(default_factory=list)
    resized: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether parameters and tensors match one to one."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        lines = [f"layout: {self.layout}", f"{'loaded' if self.complete else 'fitting'}: {len(self.loaded)} tensors"]
        for title, shapes in (("resized", self.resized), ("misshapen", self.misshapen)):
            pairs = [f"{title}: {name} is {found}, the model has {wanted}" for name, (found, wanted) in shapes.items()]
            lines += pairs and [listed(pairs, "\n", MOST_LISTED)]
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            lines += names and [listed([f"{title}: {name}" for name in names], "\n", MOST_LISTED)]
        return "\n".join(lines)


def load_weights(
    model: HasParams, source: str | PathLike[str] | Mapping[str, Array], strict: bool = True
) -> LoadReport:
    """Set a model's parameters, in place, from weights in any layout of `detect_layout`.

    Relative position bias tables of another window size, and absolute position embeddings of another square image size,
    are resampled bicubically, as in the official code. All weights are checked first: after an error the model is
    unchanged.

    Args:
        model: its `params` are set, each keeping its dtype.
        source: a safetensors file, or tensors by name.
        strict: whether parameters and tensors must match one to one. Otherwise those that match are loaded, such as all
            but a head for other classes.

    Returns:
        The names that were loaded, resized, missing, unexpected or misshapen.

    Raises:
        WeightMismatchError: strict, and names or shapes differ, which the message lists; or the file has many times
            the model's numbers.
        WeightFileError: the file is damaged, or has no weights of a known layout, or a value that is not finite; or it
            cannot be opened, then it is an OSError as well.
        ValueError: the same, for tensors that were passed by name; or another argument that does not fit.
    """
    if isinstance(model, type) or not isinstance(getattr(model, "params", None), Mapping):
        raise ValueError(f"model: got {shown(model)}, expected a model, with params")
    check_flag("strict", strict)
    source = source if isinstance(source, Mapping) else check_path("source", source, WeightFileError)
    if isinstance(source, Mapping):
        for name, tensor in source.items():
            check_array(f"source[{shown(check_text('source', name, 'arrays by name'))}]", tensor)
        return _load_into(model.params, source, "the tensors", strict)
    file, path = TensorFile(source), shown_path(source)
    _check_total_size(file, model.params, path)
    try:
        return _load_into(model.params, file, path, strict)
    except (WeightMismatchError, WeightFileError):
        raise
    except ValueError as error:
        raise WeightFileError(f"{path}: {shortened(str(error), 1000)}") from error


def _check_total_size(file: TensorFile, params: Mapping[str, Array], path: str) -> None:
    """Raise a WeightMismatchError before a file is read that has many times the model's numbers."""
    found = sum(math.prod(file.shapes[name]) for name in weight_names(file))
    own = sum(param.size for param in params.values())
    if found > MUCH_LARGER * own + MORE_NUMBERS:
        raise WeightMismatchError(
            f"{path}: holds {found:,} numbers, the model has {own:,}: weights of another model, and nothing was read"
        )


def _load_into(params: dict[str, Array], tensors: Mapping[str, Array], origin: str, strict: bool) -> LoadReport:
    """As `load_weights`; origin is the source for error messages."""
    patch_weight = params.get("patch_embed.proj.weight")
    layout, official = to_official(tensors, in_chans=3 if patch_weight is None else patch_weight.shape[1])
    report = LoadReport(layout)
    values: dict[str, Array] = {}
    for name, param in params.items():
        if name not in official:
            report.missing.append(name)
            continue
        found = official[name]
        _check_values(name, found)
        value = found if found.shape == param.shape else _resized(name, found, param.shape)
        if value is None:
            report.misshapen[name] = (found.shape, param.shape)
            continue
        if value is not found:
            report.resized[name] = (found.shape, param.shape)
        with np.errstate(over="ignore"):
            values[name] = value.astype(param.dtype)
        if not np.isfinite(values[name]).all():
            raise ValueError(f"{name}: has values beyond the range of the model's {param.dtype}")
    report.unexpected = [name for name in official if name not in params]
    report.loaded = list(values)
    if strict and not report.complete:
        raise WeightMismatchError(
            f"{origin}: these weights do not match this model, and nothing was loaded "
            f"(strict=False loads those that match)\n{report}"
        )
    for name, value in values.items():
        params[name][...] = to_device_of(value, params[name])
    return report


def _check_values(name: str, tensor: Array) -> None:
    if not np.issubdtype(tensor.dtype, np.floating):
        raise ValueError(f"{name}: has dtype {tensor.dtype}, expected a floating point dtype")
    bad = tensor.size - np.count_nonzero(np.isfinite(tensor))
    if bad:
        raise ValueError(f"{name}: {bad} of {tensor.size} values are NaN or infinite")


def _resized(name: str, tensor: Array, shape: Shape) -> Array | None:
    """The table or embedding resampled to this shape, or None for other tensors, and where a grid is not square."""
    if name.endswith("relative_position_bias_table"):
        channel_axis: Any = 1  # ((2M − 1)², h): an image with a channel for each head
    elif name == "absolute_pos_embed":
        channel_axis = 2  # (1, L, C)
    else:
        return None
    if tensor.ndim != len(shape) or tensor.ndim != channel_axis + 1 or tensor.shape[-1] != shape[-1]:
        return None
    if tensor.shape[:-2] != shape[:-2] or tensor.shape[-2] > MOST_POSITIONS:
        return None
    side, wanted = math.isqrt(tensor.shape[-2]), math.isqrt(shape[-2])
    if side * side != tensor.shape[-2] or wanted * wanted != shape[-2] or side == 0:
        return None
    image = tensor.reshape(side, side, shape[-1]).astype(np.float64)
    return resize_bicubic_forward(image, (wanted, wanted))[0].reshape(shape)
