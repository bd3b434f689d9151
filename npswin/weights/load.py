"""Loading weights of any known layout into a model."""

import math
from collections.abc import Mapping
from os import PathLike
from typing import Any, Protocol

from npswin.checks import check_array, check_path, check_text, shown
from npswin.devices import to_device_of
from npswin.files import shortened, shown_path
from npswin.types import Array
from npswin.weights.files import WeightFileError
from npswin.weights.layout_search import weight_names
from npswin.weights.match import Options, match_weights
from npswin.weights.report import LoadReport, WeightMismatchError
from npswin.weights.tensor_file import TensorFile

# A file with more than 4 n + 2²⁴ numbers is not read for a model of n: 4 for models that share a part of their layers,
# 2²⁴ for the head of another number of classes.
MUCH_LARGER, MORE_NUMBERS = 4, 2**24


class HasParams(Protocol):
    """The interface that `load_weights` needs of a model; `buffers`, if it has any, are as those of a layer."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters by their official names."""


def model_tensors(model: HasParams) -> dict[str, Array]:
    """What weight files hold of a model: its parameters, and its buffers if it has any, by their official names.

    Raises:
        ValueError: this is no model.
    """
    if isinstance(model, type) or not isinstance(getattr(model, "params", None), Mapping):
        raise ValueError(f"model: got {shown(model)}, expected a model, with params")
    return {**model.params, **getattr(model, "buffers", {})}


def load_weights(
    model: HasParams,
    source: str | PathLike[str] | Mapping[str, Array],
    strict: bool = True,
    *,
    prefix: str | None = None,
    min_share: float = 0.5,
    input_channels: str = "same",
    head: Any = "load",
    part: str = "all",
) -> LoadReport:
    """Set a model's parameters and buffers, in place, from weights in any layout of `detect_layout`.

    What the model's names begin with, such as "module." or "backbone.", is found and removed, and other parts of the
    file, such as a decoder, are reported. If the model is there several times, such as below "model." and as an average
    below "model_ema.", the one is taken that is no average and no student of a teacher, which the report says.

    Relative position bias tables of another window size, and absolute position embeddings of another square image size,
    are resampled bicubically, as in the official code. Counts of batch norm's updates may be missing, as some exports
    leave them out. All weights are checked first: after an error the model is unchanged.

    Args:
        model: its `params` and `buffers` are set, each keeping its dtype.
        source: a safetensors file, or tensors by name. `npswin convert` makes one of PyTorch's files.
        strict: whether parameters and tensors must match one to one. Otherwise those that match are loaded.
        prefix: what the names of the model's tensors begin with; found if None.
        min_share: the smallest share of the model's parameters, counted as tensors, that is loaded if `strict` is
            False; 0 for any.
        input_channels: "same"; "adapt" sums, or repeats and scales, the patch embedding's weights where the model's
            images have another number of channels; "keep" leaves the model's own there.
        head: "load"; "keep" leaves the model's own, whatever the weights' head is; a generator draws it anew. The head
            of a dense model is all layers whose outputs are of classes.
        part: "all"; "backbone" loads the backbone of a dense model alone, from weights of a classifier or of any dense
            model, as `load_weights(model.backbone, source)` does. A classifier has no norms of stages: the model's stay
            as they are.

    Returns:
        The names that were loaded, resized, adapted, missing, unexpected or misshapen.

    Raises:
        WeightMismatchError: strict, and names or shapes differ, which the message lists; or less than `min_share` would
            be loaded; or the weights are of another kind of model, such as a classifier's for a segmenter, or for
            images of other channels; or the file has many times the model's numbers.
        WeightFileError: the file is damaged, or has no weights of a known layout, or a value that is not finite; or it
            cannot be opened, then it is an OSError as well.
        ValueError: the same, for tensors that were passed by name; or another argument that does not fit.
    """
    own = model_tensors(model)
    options = Options(strict, prefix, min_share, input_channels, head, part)
    source = source if isinstance(source, Mapping) else check_path("source", source, WeightFileError)
    if isinstance(source, Mapping):
        for name, tensor in source.items():
            check_array(f"source[{shown(check_text('source', name, 'arrays by name'))}]", tensor)
        shapes = {name: tensor.shape for name, tensor in source.items()}
        return _set(own, *match_weights(own, source, shapes, "the tensors", options))
    file, path = TensorFile(source), shown_path(source)
    _check_total_size(file, own, path)
    try:
        matched = match_weights(own, file, file.shapes, path, options)
    except (WeightMismatchError, WeightFileError):
        raise
    except ValueError as error:
        raise WeightFileError(f"{path}: {shortened(str(error), 1000)}") from error
    return _set(own, *matched)


def _set(params: dict[str, Array], report: LoadReport, values: Mapping[str, Array]) -> LoadReport:
    for name, value in values.items():
        params[name][...] = to_device_of(value, params[name])
    return report


def _check_total_size(file: TensorFile, params: Mapping[str, Array], path: str) -> None:
    """Raise a WeightMismatchError before a file is read that has many times the model's numbers."""
    found = sum(math.prod(file.shapes[name]) for name in weight_names(file))
    own = sum(param.size for param in params.values())
    if found > MUCH_LARGER * own + MORE_NUMBERS:
        raise WeightMismatchError(
            f"{path}: holds {found:,} numbers, the model has {own:,}: weights of another model, and nothing was read"
        )
