"""Parameters of a model beside the tensors of weights: which fit, and whether these are the model's weights at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.checks import check_choice, check_flag, check_generator, check_number, check_text
from npswin.types import Array
from npswin.weights import layout_unfold
from npswin.weights.choose import below_prefix, choose_candidate, image_channels
from npswin.weights.fit import PATCH_WEIGHT, differ_in_channels, resized, with_channels
from npswin.weights.layouts import convert
from npswin.weights.other_models import another_size
from npswin.weights.report import MOST_LISTED, LoadReport, Shape, WeightMismatchError, report_text

FEW_LISTED = 5  # tensors of each kind where most do not fit
HEAD = ("head.weight", "head.bias")
HEAD_DEVIATION = 0.02  # of a new head's weights


@dataclass(frozen=True)
class Options:
    """The options of `load_weights`."""

    strict: bool
    prefix: str | None
    min_share: float
    input_channels: str
    head: Any

    def __post_init__(self) -> None:
        check_flag("strict", self.strict)
        if self.prefix is not None:
            check_text("prefix", self.prefix, "what names begin with")
        check_number("min_share", self.min_share, at_least=0, at_most=1)
        check_choice("input_channels", self.input_channels, ("same", "adapt", "keep"))
        if isinstance(self.head, str):
            check_choice("head", self.head, ("load", "keep"))
        else:
            check_generator("head", self.head)


def match_weights(
    params: Mapping[str, Array],
    tensors: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    origin: str,
    options: Options,
) -> tuple[LoadReport, dict[str, Array]]:
    """The value of each parameter that has one in the weights.

    Args:
        params: the model's, and its buffers, by official name.
        tensors: the weights in any layout, each of which is looked up once at most.
        shapes: theirs.
        origin: of the weights, for messages.
        options: of `load_weights`.

    Raises:
        WeightMismatchError, ValueError: as `load_weights`.
    """
    prefix, tensors, shapes = below_prefix(options.prefix, tensors, shapes)
    found = choose_candidate(params, shapes, origin)
    window_size, in_chans = layout_unfold.find_window_size(shapes), image_channels(params)
    official = convert(tensors, found, in_chans, window_size)
    report = LoadReport(found.layout, prefix=prefix + found.prefix)
    report.foreign = [prefix + key for key in found.others]
    report.copies = tuple(prefix + copy for copy in found.copies)
    values = _head(params, official, report, options)
    values |= _values(params, official, report, options, origin)
    report.unexpected = [name for name in official if name not in params and name not in report.own_head]
    report.loaded = [name for name in params if name in values and name not in report.own_head]
    _check_share(params, official, report, origin, options)
    return report, values


def _head(
    params: Mapping[str, Array], official: Mapping[str, Array], report: LoadReport, options: Options
) -> dict[str, Array]:
    """The values of a head that is drawn anew; the report says what becomes of it."""
    if options.head == "load":
        return {}
    report.own_head = [name for name in HEAD if name in params or name in official]
    if options.head == "keep":
        return {}
    report.head_is_drawn = True
    drawn = {}
    for name in HEAD:
        if name in params:
            shape, is_weight = params[name].shape, name.endswith("weight")
            value = options.head.normal(0, HEAD_DEVIATION, shape) if is_weight else np.zeros(shape)
            drawn[name] = value.astype(params[name].dtype)
    return drawn


def _values(
    params: Mapping[str, Array], official: Mapping[str, Array], report: LoadReport, options: Options, origin: str
) -> dict[str, Array]:
    values: dict[str, Array] = {}
    for name, param in params.items():
        if name in report.own_head:
            continue
        if name not in official:
            report.missing.append(name)
            continue
        found = official[name]
        _check_values(name, found, param.dtype)
        if differ_in_channels(name, found.shape, param.shape):
            value = _adapted(found, param, report, options, origin)
        else:
            value = found if found.shape == param.shape else resized(name, found, param.shape)
            if value is None:
                report.misshapen[name] = (found.shape, param.shape)
            elif value is not found:
                report.resized[name] = (found.shape, param.shape)
        if value is not None:
            with np.errstate(over="ignore"):
                values[name] = value.astype(param.dtype)
            if not np.isfinite(values[name]).all():
                raise ValueError(f"{name}: has values beyond the range of the model's {param.dtype}")
    return values


def _adapted(found: Array, param: Array, report: LoadReport, options: Options, origin: str) -> Array | None:
    """The patch embedding's weights for the channels of the model's images, or None where the model's own are kept."""
    theirs, own = found.shape[1], param.shape[1]
    if options.input_channels == "adapt":
        report.adapted[PATCH_WEIGHT] = (found.shape, param.shape)
        return with_channels(found, own)
    if options.input_channels == "keep":
        report.own_input = [PATCH_WEIGHT]
        return None
    how = "sums them" if own == 1 else "repeats and scales them"
    raise WeightMismatchError(
        f"{origin}: these weights take images of {theirs} channels, the model takes {own}, and nothing was loaded: "
        f"input_channels='adapt' {how}, input_channels='keep' leaves the model's own patch embedding"
    )


def _check_values(name: str, tensor: Array, wanted: Any) -> None:
    kinds, expected = ("f", "a floating point dtype") if wanted.kind == "f" else ("iu", "integers")
    if tensor.dtype.kind not in kinds:
        raise ValueError(f"{name}: has dtype {tensor.dtype}, expected {expected}")
    bad = tensor.size - np.count_nonzero(np.isfinite(tensor))
    if bad:
        raise ValueError(f"{name}: {bad} of {tensor.size} values are NaN or infinite")


def _check_share(
    params: Mapping[str, Array], official: Mapping[str, Array], report: LoadReport, origin: str, options: Options
) -> None:
    """Raise a WeightMismatchError where the options do not allow what would be loaded."""
    total = len(params) - sum(name in params for name in report.own_head)
    count = len(report.loaded)
    is_minority = 2 * count < total
    if is_minority and (options.strict or count < options.min_share * total):
        fits = f"only {count} of the model's {total} parameters fit, and nothing was loaded"
        if size := another_size(official, params):
            raise WeightMismatchError(f"{origin}: {size}; {fits}")
        raise WeightMismatchError(
            f"{origin}: these weights are not this model's; {fits}\n{report_text(report, FEW_LISTED)}"
        )
    if not options.strict and count < options.min_share * total:
        raise WeightMismatchError(
            f"{origin}: {count} of the model's {total} parameters fit, less than min_share={options.min_share}, and "
            f"nothing was loaded\n{report_text(report, FEW_LISTED)}"
        )
    if options.strict and not report.complete:
        reason = another_size(official, params) or "these weights do not match this model"
        text = report_text(report, MOST_LISTED)
        raise WeightMismatchError(f"{origin}: {reason}, and nothing was loaded ({_way_out(report)})\n{text}")


def _way_out(report: LoadReport) -> str:
    """What loads the weights all the same."""
    if {*report.missing, *report.unexpected, *report.misshapen} <= {*HEAD}:
        return "the heads differ: head='keep' leaves the model's own, a generator draws it anew"
    return "strict=False loads those that match"
