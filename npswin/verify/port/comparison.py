"""The result of a comparison: a row for each tensor of the port, as Python objects, text and JSON."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from npswin.checks import check_flag
from npswin.deprecation import renamed_attribute, renamed_function
from npswin.verify.graph import GRADIENT_PREFIX, storage_roundoff
from npswin.verify.port.distance import Distance
from npswin.verify.port.text import join_names, json_value
from npswin.verify.port.tolerance import Tolerance

AGREES, INHERITED, WRONG_HERE = "agrees", "inherited", "WRONG HERE"
SHAPE, UNREADABLE, NOT_FINITE = "SHAPE", "UNREADABLE", "NOT FINITE"
# What --json calls the verdicts.
JSON_VERDICTS = {
    AGREES: "agrees",
    INHERITED: "inherited",
    WRONG_HERE: "born_here",
    SHAPE: "shape",
    UNREADABLE: "unreadable",
    NOT_FINITE: "not_finite",
}


@dataclass(frozen=True)
class Row:
    """One tensor of the port.

    Attributes:
        name: as in the key.
        verdict: "agrees"; "inherited": wrong, though equal to its operation's result on the port's own inputs;
            "WRONG HERE": different from its operation's result on the port's own inputs; "SHAPE", "UNREADABLE",
            "NOT FINITE".
        distance: from the key.
        tolerance: for this distance.
        local_distance: from the operation's result on the port's own inputs.
        local_tolerance: for this distance.
        note: what is wrong, where it is not a distance.
        copied_from_key: whether it agrees with the key though the operation's result on the port's own inputs does not.
        origin: the tensor whose wrong shape or whose NaN this one has inherited, or "".
    """

    name: str
    verdict: str
    distance: Distance | None = None
    tolerance: Tolerance | None = None
    local_distance: Distance | None = None
    local_tolerance: Tolerance | None = None
    note: str = ""
    copied_from_key: bool = False
    origin: str = ""

    @property
    def ok(self) -> bool:
        """Whether it agrees with the key and with the port's own inputs."""
        return self.verdict == AGREES

    @property
    def is_local_error(self) -> bool:
        """Whether it is wrong by itself, not only because its inputs are."""
        return self.verdict not in (AGREES, INHERITED)

    found = renamed_attribute("found", "distance")
    local = renamed_attribute("local", "local_distance")
    taken = renamed_attribute("taken", "copied_from_key")
    born = renamed_attribute("born", "is_local_error")


@dataclass
class Comparison:
    """All rows in the order of computation, the backward pass after the forward pass. `print` it.

    Attributes:
        rows: one for each tensor that the port has.
        precision: the port's.
        not_dumped: how many of the key's tensors the port does not have.
        unknown: names that the key does not have, each with the most similar name of the key, or "".
        key_lacks_gradients: whether the port has gradients and the key has none.
        of_another_key: whether the port's image has another size than the key's.
        computed: how many of the rows are results of the port: not weights, labels or pixels.
        other_precisions: by name the precision of the tensors that hold coarser numbers than the port computes with,
            and of those that are judged in a finer precision.
        case: the name of the key's case, "" for the key itself.
        cases: the comparisons with the key's other cases.
        cases_not_dumped: the names of the cases of which the port has nothing.
        missing_gradients: a sentence about gradients that the port does not have though it should, or "".
    """

    rows: list[Row]
    precision: str
    not_dumped: int
    unknown: dict[str, str] = field(default_factory=dict)
    key_lacks_gradients: bool = False
    of_another_key: bool = False
    computed: int = 1
    other_precisions: dict[str, str] = field(default_factory=dict)
    case: str = ""
    cases: list["Comparison"] = field(default_factory=list)
    cases_not_dumped: list[str] = field(default_factory=list)
    missing_gradients: str = ""

    @property
    def ok(self) -> bool:
        """Whether all tensors agree, in all cases. False if a name is unknown, or if there is no result of the port."""
        return self.case_ok and all(case.ok for case in self.cases)

    @property
    def case_ok(self) -> bool:
        """As `ok`, of this case alone."""
        return not self.unknown and self.computed > 0 and all(row.ok for row in self.rows)

    @property
    def unreadable(self) -> list[Row]:
        """The rows of the tensors that could not be read."""
        return [row for row in self.rows if row.verdict == UNREADABLE]

    def __str__(self) -> str:
        own = f"{comparison_table(self)}\n\n{comparison_summary(self)}"
        cases = [f"case {one.case}\n\n{one}" for one in self.cases]
        return "\n\n".join([own, *cases, *([cases_line(self)] if cases else [])])

    def rows_of_pass(self, backward: bool) -> list[Row]:
        """The rows of the forward or of the backward pass."""
        check_flag("backward", backward)
        return [row for row in self.rows if row.name.startswith(GRADIENT_PREFIX) is backward]

    def first_error(self, backward: bool = False) -> Row | None:
        """The first row of the forward or of the backward pass that does not agree."""
        return next((row for row in self.rows_of_pass(backward) if not row.ok), None)

    def local_errors(self) -> list[Row]:
        """The rows of the tensors that are wrong by themselves, not only because their inputs are."""
        return [row for row in self.rows if row.is_local_error]

    lacks_gradients = renamed_attribute("lacks_gradients", "key_lacks_gradients")
    unread = renamed_attribute("unread", "unreadable")

    half = renamed_function("half", rows_of_pass)
    first = renamed_function("first", first_error)
    births = renamed_function("births", local_errors)


def comparison_table(comparison: Comparison) -> str:
    """A line for each tensor, in the order of computation; one for all that a wrong shape or a NaN has reached."""
    width = max(len(row.name) for row in comparison.rows)
    lines = [f"{'tensor':{width}}  {'max error':>9}  {'relative':>9}  {'cosine':>12}  {'tolerance':>9}  verdict"]
    reached = Counter(row.origin for row in comparison.rows)
    for row in comparison.rows:
        if row.origin:
            if count := reached.pop(row.origin, 0):
                lines.append(f"{f'{count} tensors':{width}}  {'':45}  {INHERITED}: {_reached(row, count)}")
            continue
        if row.distance is None or row.tolerance is None:
            lines.append(f"{row.name:{width}}  {'':9}  {'':9}  {'':12}  {'':9}  {row.verdict}: {row.note}")
            continue
        found = row.distance
        numbers = f"{found.largest:9.2e}  {found.relative:9.2e}  {found.cosine:12.9f}  {row.tolerance.relative:9.2e}"
        lines.append(f"{row.name:{width}}  {numbers}  {row.verdict}{_reason(row)}")
    return "\n".join(lines)


def _reached(row: Row, count: int) -> str:
    """What the tensors of one origin have inherited."""
    what = "NaN or infinite numbers" if row.distance is not None and not row.distance.finite else "the shape"
    return f"from {row.name} on, {what} of {row.origin} reached {'it' if count == 1 else 'them'}"


def _reason(row: Row) -> str:
    reasons = [row.note] if row.note else []
    local, tolerance = row.local_distance, row.local_tolerance
    if row.is_local_error and local is not None and tolerance is not None and local.finite:
        index = ", ".join(map(str, local.where))
        size = f"{local.relative:.2e} from the operation's result on your own inputs, {tolerance.relative:.2e}"
        reasons.append(f"{size} is allowed; at ({index}): {_both_numbers(local.wrong, local.right)}")
    return f": {'; '.join(reasons)}" if reasons else ""


def _both_numbers(wrong: float, right: float) -> str:
    """Two numbers, with as many digits as show the difference."""
    digits = next((count for count in range(6, 17) if f"{wrong:.{count}g}" != f"{right:.{count}g}"), 17)
    return f"{wrong:.{digits}g}, should be {right:.{digits}g}"


def comparison_summary(comparison: Comparison) -> str:
    """A few lines: how many tensors agree, where each pass goes wrong first, and what was not compared."""
    agreeing = sum(row.ok for row in comparison.rows)
    lines = [f"{agreeing} of {len(comparison.rows)} tensors agree, by what {comparison.precision} allows"]
    lines += other_precisions_text(comparison)
    if comparison.of_another_key:
        lines.append("the image has another size than the key's: this dump was not made from this key")
    for backward, title in ((False, "forward"), (True, "backward")):
        rows = [row for row in comparison.rows_of_pass(backward) if row.verdict != UNREADABLE]
        if not rows:
            continue
        first = next((row for row in rows if not row.ok), None)
        if first is None:
            lines.append(f"{title}: everything agrees, up to {rows[-1].name}")
            continue
        index = rows.index(first)
        agreed = f"everything up to {rows[index - 1].name} agrees; " if index else ""
        lines.append(f"{title}: {agreed}the first tensor that does not is {first.name}")
        local_errors = [row.name for row in rows if row.is_local_error]
        inherited = sum(row.verdict == INHERITED for row in rows)
        if first.verdict in (SHAPE, NOT_FINITE):
            lines.append(f"  {first.name}: {first.note}")
        if local_errors:
            others = f"; {inherited} more are wrong because their inputs are" if inherited else ""
            lines.append(f"  wrong here: {join_names(local_errors)}{others}")
        else:
            lines.append(f"  all {inherited} are inherited: each is right for the port's own inputs")
    if comparison.unreadable:
        lines.append(f"could not be read: {join_names([row.name for row in comparison.unreadable])}")
    if comparison.not_dumped:
        lines.append(f"not dumped: {comparison.not_dumped} of the key's tensors")
    if comparison.missing_gradients:
        lines.append(comparison.missing_gradients)
    if comparison.cases_not_dumped:
        if named := [case for case in comparison.cases_not_dumped if case]:
            advice = "dump its tensors as CASE/NAME, or compare KEY/CASE alone"
            lines.append(f"nothing dumped of the case {join_names(named)}: {advice}")
        if "" in comparison.cases_not_dumped:
            lines.append("nothing dumped of the key itself, beside its cases: dump its tensors as NAME")
    if not comparison.computed:
        lines.append("nothing that the port computed was compared: weights, labels and pixels come from the key")
    if comparison.key_lacks_gradients:
        lines.append("the dump has gradients and the key has none: write the key with npswin golden --backward")
    elif comparison.unknown:
        names = [f"{name} ({similar}?)" if similar else name for name, similar in comparison.unknown.items()]
        lines.append(f"NOT COMPARED, since the key has no such names: {join_names(names)}")
    return "\n".join(lines)


def cases_line(comparison: Comparison) -> str:
    """How many tensors agree in each case, in a line."""
    counts = []
    for one in (comparison, *comparison.cases):
        which = f"case {one.case}" if one.case else "the key itself"
        counts.append(f"{which} {sum(row.ok for row in one.rows)} of {len(one.rows)}")
    return f"tensors that agree: {', '.join(counts)}"


def other_precisions_text(comparison: Comparison) -> list[str]:
    """A line for each precision other than the port's in which some tensors are."""
    lines = []
    for precision in dict.fromkeys(comparison.other_precisions.values()):
        names = [name for name, one in comparison.other_precisions.items() if one == precision]
        some = f"{len(names)} tensors hold" if len(names) > 1 else "1 tensor holds"
        lines.append(f"{some} {precision} numbers: {join_names(names)}")
        if not comparison.ok and storage_roundoff(precision) > storage_roundoff(comparison.precision):
            lines.append(f"  (if the whole port computes in it: --precision {precision})")
    return lines


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison for a program; numbers that JSON does not have are null."""
    first = {title: comparison.first_error(title == "backward") for title in ("forward", "backward")}
    value: dict[str, Any] = json_value(
        {
            "agrees": comparison.ok,
            "precision": comparison.precision,
            "other_precisions": comparison.other_precisions,
            "first_divergence": {title: None if row is None else row.name for title, row in first.items()},
            "born": [row.name for row in comparison.local_errors()],
            "not_dumped": comparison.not_dumped,
            "unknown": comparison.unknown,
            "lacks_gradients": comparison.key_lacks_gradients,
            "missing_gradients": comparison.missing_gradients,
            "of_another_key": comparison.of_another_key,
            "computed": comparison.computed,
            "case": comparison.case,
            "cases": [comparison_json(case) for case in comparison.cases],
            "cases_not_dumped": comparison.cases_not_dumped,
            "tensors": [_row_json(row) for row in comparison.rows],
        }
    )
    return value


def _row_json(row: Row) -> dict[str, Any]:
    parts = {
        "found": row.distance,
        "tolerance": row.tolerance,
        "local": row.local_distance,
        "local_tolerance": row.local_tolerance,
    }
    return {
        "name": row.name,
        "pass": "backward" if row.name.startswith(GRADIENT_PREFIX) else "forward",
        "verdict": JSON_VERDICTS[row.verdict],
        "note": row.note,
        "taken_from_key": row.copied_from_key,
        "origin": row.origin,
        **{key: None if part is None else asdict(part) for key, part in parts.items()},
    }
