"""Parameters of a model beside the tensors of weights: which fit, and whether these are the model's weights at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.checks import check_choice, check_flag, check_generator, check_number, check_text
from npswin.types import Array
from npswin.weights.choose import Chosen, choose_tensors
from npswin.weights.class_layers import class_layers, draw_class_layers
from npswin.weights.dense import another_kind
from npswin.weights.fit import differ_in_channels, resized, with_channels
from npswin.weights.model_names import backbone_prefix, is_stage_norm
from npswin.weights.other_models import another_size
from npswin.weights.report import MOST_LISTED, LoadReport, Shape, WeightMismatchError, report_text

FEW_LISTED = 5  # tensors of each kind where most do not fit
_BACKBONE = "(part='backbone' loads the backbone alone)"
UPDATES = ".num_batches_tracked"  # of batch norm's running statistics, which nothing is computed from


@dataclass(frozen=True)
class Options:
    """The options of `load_weights`."""

    strict: bool
    prefix: str | None
    min_share: float
    input_channels: str
    head: Any
    part: str

    def __post_init__(self) -> None:
        check_flag("strict", self.strict)
        if self.prefix is not None:
            check_text("prefix", self.prefix, "what names begin with")
        check_number("min_share", self.min_share, at_least=0, at_most=1)
        check_choice("input_channels", self.input_channels, ("same", "adapt", "keep"))
        check_choice("part", self.part, ("all", "backbone"))
        if isinstance(self.head, str):
            check_choice("head", self.head, ("load", "keep"))
        else:
            check_generator("head", self.head)


def match_weights(
    own: Mapping[str, Array],
    tensors: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    origin: str,
    options: Options,
) -> tuple[LoadReport, dict[str, Array]]:
    """The value of each parameter that has one in the weights.

    Args:
        own: the model's parameters and buffers, by official name.
        tensors: the weights in any layout, each of which is looked up once at most.
        shapes: theirs.
        origin: of the weights, for messages.
        options: of `load_weights`.

    Raises:
        WeightMismatchError, ValueError: as `load_weights`.
    """
    chosen = choose_tensors(own, tensors, shapes, origin, options.prefix, options.part)
    official = chosen.official
    report = LoadReport(chosen.layout, prefix=chosen.prefix, foreign=chosen.foreign, copies=chosen.copies)
    params = _wanted(own, official, options.part)
    report.own_parts = [name for name in own if name not in params]
    values = _head(params, official, report, options)
    values |= _values(params, official, report, options, origin)
    report.unexpected = [name for name in official if name not in params and name not in report.own_head]
    report.loaded = [name for name in params if name in values and name not in report.own_head]
    _check_share(params, chosen, report, origin, options)
    return report, values


def _wanted(own: Mapping[str, Array], official: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The parameters that have to be in the weights: a classifier's have no norms of stages for a backbone."""
    body = backbone_prefix(own)
    wanted = {name: param for name, param in own.items() if part == "all" or name.startswith(body)}
    if (part == "backbone" or not body) and not any(map(is_stage_norm, official)):
        return {name: param for name, param in wanted.items() if not is_stage_norm(name)}
    return wanted


def _head(
    params: Mapping[str, Array], official: Mapping[str, Array], report: LoadReport, options: Options
) -> dict[str, Array]:
    """The values of a head that is drawn anew; the report says what becomes of it."""
    if options.head == "load":
        return {}
    report.own_head = class_layers(dict.fromkeys([*params, *official]))
    report.head_is_drawn = options.head != "keep"
    return draw_class_layers(params, options.head) if report.head_is_drawn else {}


def _values(
    params: Mapping[str, Array], official: Mapping[str, Array], report: LoadReport, options: Options, origin: str
) -> dict[str, Array]:
    values: dict[str, Array] = {}
    for name, param in params.items():
        if name in report.own_head:
            continue
        if name not in official:
            if not name.endswith(UPDATES):
                report.missing.append(name)
            continue
        found = official[name]
        _check_values(name, found, param.dtype)
        if differ_in_channels(name, found.shape, param.shape):
            value = _adapted(name, found, param, report, options, origin)
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


def _adapted(name: str, found: Array, param: Array, report: LoadReport, options: Options, origin: str) -> Array | None:
    """The patch embedding's weights for the channels of the model's images, or None where the model's own are kept."""
    theirs, own = found.shape[1], param.shape[1]
    if options.input_channels == "adapt":
        report.adapted[name] = (found.shape, param.shape)
        return with_channels(found, own)
    if options.input_channels == "keep":
        report.own_input = [name]
        return None
    how = "sums them" if own == 1 else "repeats and scales them"
    reason = f"{origin}: these weights take images of {theirs} channels, the model takes {own}, and nothing was loaded"
    way_out = f"input_channels='adapt' {how}, input_channels='keep' leaves the model's own patch embedding"
    raise WeightMismatchError(f"{reason}: {way_out}", reason)


def _check_values(name: str, tensor: Array, wanted: Any) -> None:
    kinds, expected = ("f", "a floating point dtype") if wanted.kind == "f" else ("iu", "integers")
    if tensor.dtype.kind not in kinds:
        raise ValueError(f"{name}: has dtype {tensor.dtype}, expected {expected}")
    bad = tensor.size - np.count_nonzero(np.isfinite(tensor))
    if bad:
        raise ValueError(f"{name}: {bad} of {tensor.size} values are NaN or infinite")


def _check_share(
    params: Mapping[str, Array], chosen: Chosen, report: LoadReport, origin: str, options: Options
) -> None:
    """Raise a WeightMismatchError where the options do not allow what would be loaded."""
    total = len(params) - sum(name in params for name in report.own_head)
    count = len(report.loaded)
    is_minority = 2 * count < total
    if is_minority and (options.strict or count < options.min_share * total):
        fits = f"only {count} of the model's {total} parameters fit, and nothing was loaded"
        if size := another_size(chosen.official, params):
            raise WeightMismatchError(f"{origin}: {size}; {fits}")
        if kind := _another_kind(params, chosen, options):
            raise WeightMismatchError(f"{origin}: {kind} {_BACKBONE}; {fits}", f"{origin}: {kind}; {fits}", "backbone")
        raise WeightMismatchError(
            f"{origin}: these weights are not this model's; {fits}\n{report_text(report, FEW_LISTED)}"
        )
    if not options.strict and count < options.min_share * total:
        raise WeightMismatchError(
            f"{origin}: {count} of the model's {total} parameters fit, less than min_share={options.min_share}, and "
            f"nothing was loaded\n{report_text(report, FEW_LISTED)}"
        )
    if options.strict and not report.complete:
        size, kind = another_size(chosen.official, params), _another_kind(params, chosen, options)
        another = size or (f"{kind} {_BACKBONE}" if kind else None)
        text = report_text(report, FEW_LISTED if another else MOST_LISTED)
        differing = [*report.missing, *report.unexpected, *report.misshapen]
        way_out, fitting_part = "strict=False loads those that match", "backbone" if kind and not size else None
        if len(class_layers(differing)) == len(differing):
            way_out = "the heads differ: head='keep' leaves the model's own, a generator draws it anew"
            fitting_part = "all but the head"
        no_match = "these weights do not match this model"
        raise WeightMismatchError(
            f"{origin}: {another or no_match}, and nothing was loaded ({way_out})\n{text}",
            f"{origin}: {size or kind or no_match}, and nothing was loaded\n{text}",
            fitting_part,
        )


def _another_kind(params: Mapping[str, Array], chosen: Chosen, options: Options) -> str | None:
    """What kind of model the weights are of, in a clause, where a dense model is to be loaded from another kind."""
    is_whole = options.part == "all" and backbone_prefix(params)
    return another_kind(chosen.parts, params) if is_whole else None
