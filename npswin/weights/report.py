"""What `load_weights` did, and its text."""

from collections import Counter
from dataclasses import dataclass, field

from npswin.files import listed
from npswin.weights.model_names import is_stage_norm, part_of

Shape = tuple[int, ...]

MOST_LISTED = 100  # tensors of each kind in a report's text


class WeightMismatchError(ValueError):
    """Weights of another model; the message says which, or lists the keys that differ.

    Attributes:
        reason: the message without the arguments of `load_weights` that would help.
        fitting_part: what of the weights may fit all the same: "all but the head"; "backbone", where they are of
            another kind of model; or None.
    """

    def __init__(self, message: str, reason: str | None = None, fitting_part: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason
        self.fitting_part = fitting_part


@dataclass
class LoadReport:
    """The result of `load_weights`, by official names.

    Attributes:
        layout: the detected key layout.
        loaded: parameters that were set, including resized and adapted ones.
        resized: parameters that were resampled from another window or image size: shape found, shape of the model.
        missing: parameters of the model that are not in the weights.
        unexpected: names in the weights that are not in the model.
        misshapen: parameters with a wrong shape: shape found, shape of the model.
        prefix: what the model's names begin with in the weights, such as "backbone."; it is left out of the others.
        adapted: parameters for images of other channels: shape found, shape of the model.
        own_input: the patch embedding's weights, where the weights' were for other channels and not asked for.
        own_head: the head's parameters, where the weights' head was not asked for.
        head_is_drawn: whether the head was drawn anew; otherwise it is as it was in the model.
        own_parts: parameters of parts that the weights have none of and need not have: the norms of stages' outputs,
            where the weights are a classifier's; and all but the backbone, where that alone was asked for.
        foreign: keys of other parts, such as a decoder's, which are not below the prefix; and a classifier's norm and
            head, where the model is none.
        copies: other prefixes with a copy of the model, which was not loaded.
    """

    layout: str
    loaded: list[str] = field(default_factory=list)
    resized: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    prefix: str = ""
    adapted: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    own_input: list[str] = field(default_factory=list)
    own_head: list[str] = field(default_factory=list)
    head_is_drawn: bool = False
    own_parts: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    copies: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether parameters and tensors match one to one; other parts of the file do not count."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        left = [*self.missing, *self.misshapen]
        return report_text(self, MOST_LISTED, "loaded") + (
            f"\nas they were in the model: {listed(left)}" if left else ""
        )


def report_text(report: LoadReport, at_most: int, word: str = "fitting") -> str:
    """A report's text: at most so many tensors of each kind, and a word for those that are, or would be, loaded."""
    lines = [f"layout: {report.layout}"]
    lines += [f"prefix: {report.prefix!r}"] if report.prefix else []
    lines.append(f"{word}: {len(report.loaded)} tensor{'s' * (len(report.loaded) != 1)}")
    for title, shapes in (("resized", report.resized), ("misshapen", report.misshapen)):
        pairs = [f"{title}: {name} is {found}, the model has {wanted}" for name, (found, wanted) in shapes.items()]
        lines += pairs and [listed(pairs, "\n", at_most)]
    for name, (found, wanted) in report.adapted.items():
        how = "are summed" if wanted[1] == 1 else f"are repeated in turn and scaled by {found[1]}/{wanted[1]}"
        lines.append(f"adapted: {name} is {found}, the model has {wanted}: the {found[1]} channels {how}")
    for title, names in (("missing", report.missing), ("unexpected", report.unexpected)):
        lines += names and [listed([f"{title}: {name}" for name in names], "\n", at_most)]
    if any(is_stage_norm(name) for name in report.unexpected):
        lines.append("(norm0, norm1, ... are norms of stages' outputs, for dense tasks; a classifier has none)")
    if report.own_input:
        lines.append(f"input channels: the model's own weights as they were ({', '.join(report.own_input)})")
    if report.own_head:
        lines.append(f"head: {'drawn anew' if report.head_is_drawn else 'as it was'} ({', '.join(report.own_head)})")
    if report.own_parts:
        parts = dict.fromkeys(part_of(name) for name in report.own_parts)
        lines.append(f"other parts of the model, as they were: {listed(parts)}")
    foreign = [key for key in report.foreign if not key.startswith(report.copies)] if report.copies else report.foreign
    if foreign:
        counts = Counter(_part(key, report.prefix) for key in foreign)
        counted = [f"{part} ({count} tensor{'s' if count > 1 else ''})" for part, count in counts.items()]
        lines.append(f"other parts, not loaded: {listed(counted)}")
    if report.copies:
        chosen = f"loaded is {report.prefix!r}; prefix={report.copies[0]!r} chooses another"
        lines.append(f"the same model is there {len(report.copies) + 1} times: {chosen}")
    return "\n".join(lines)


def _part(key: str, prefix: str) -> str:
    """The name of the part that a key belongs to: up to where it differs from the model's prefix."""
    parts = key.split(".")
    own = prefix.split(".")
    depth = next((i for i, part in enumerate(parts) if i >= len(own) or part != own[i]), len(parts) - 1)
    return ".".join(parts[: depth + 1])
