"""What was found, as text for a terminal and as JSON for a program."""

import math
from dataclasses import asdict
from typing import Any

from npswin.verify.graph import GRADIENT
from npswin.verify.port.comparison import AGREES, INHERITED, SHAPE, UNREADABLE, Comparison, Row
from npswin.verify.port.diagnosis import Cause, Diagnosis
from npswin.verify.port.hypotheses import Hypothesis

SHOWN = 3  # symptoms of which each has lines of its own
ALIKE = 1.0  # an excess up to which a hypothesis makes the symptom


def comparison_table(comparison: Comparison) -> str:
    """A line for each tensor, in order of computation."""
    width = max(len(row.name) for row in comparison.rows)
    lines = [f"{'tensor':{width}}  {'max error':>9}  {'relative':>9}  {'cosine':>12}  {'tolerance':>9}  verdict"]
    for row in comparison.rows:
        if row.found is None or row.tolerance is None:
            lines.append(f"{row.name:{width}}  {'':9}  {'':9}  {'':12}  {'':9}  {row.verdict}: {row.note}")
            continue
        found = row.found
        numbers = f"{found.largest:9.2e}  {found.relative:9.2e}  {found.cosine:12.9f}  {row.tolerance.relative:9.2e}"
        lines.append(f"{row.name:{width}}  {numbers}  {row.verdict}{_why(row)}")
    return "\n".join(lines)


def _why(row: Row) -> str:
    if row.note:
        return f": {row.note}"
    if row.born and row.local is not None and row.local_tolerance is not None and row.local.finite:
        size = (
            f"{row.local.relative:.2e} from what your own inputs come to, {row.local_tolerance.relative:.2e} is allowed"
        )
        place = ", ".join(map(str, row.local.where))
        return f": {size}; at ({place}): {_apart(row.local.wrong, row.local.right)}"
    return ""


def _apart(wrong: float, right: float) -> str:
    """Two numbers with as many digits as tell them apart."""
    digits = next((count for count in range(6, 17) if f"{wrong:.{count}g}" != f"{right:.{count}g}"), 17)
    return f"{wrong:.{digits}g}, should be {right:.{digits}g}"


def comparison_summary(comparison: Comparison) -> str:
    """What to take from the table."""
    agreeing = sum(row.ok for row in comparison.rows)
    lines = [f"{agreeing} of {len(comparison.rows)} tensors agree, by what {comparison.precision} allows"]
    if comparison.of_another_key:
        lines.append("the image has another size than the key's: this dump was not made from this key")
    for backward, title in ((False, "forward"), (True, "backward")):
        rows = [row for row in comparison.half(backward) if row.verdict != UNREADABLE]
        if not rows:
            continue
        first = next((row for row in rows if not row.ok), None)
        if first is None:
            lines.append(f"{title}: everything agrees, up to {rows[-1].name}")
            continue
        place = rows.index(first)
        so_far = f"everything up to {rows[place - 1].name} agrees; " if place else ""
        lines.append(f"{title}: {so_far}the first tensor that does not is {first.name}")
        born = [row.name for row in rows if row.born]
        inherited = sum(row.verdict == INHERITED for row in rows)
        if born:
            lines.append(f"  born at {_list(born)}{f'; {inherited} more inherited it' if inherited else ''}")
        else:
            lines.append(f"  all {inherited} inherited it: each is right for the port's own inputs")
    if comparison.unread:
        lines.append(f"could not be read: {_list([row.name for row in comparison.unread])}")
    if comparison.not_dumped:
        lines.append(f"not dumped: {comparison.not_dumped} of the key's tensors")
    if not comparison.computed:
        lines.append("nothing that the port computed was compared: weights, labels and pixels come from the key")
    if comparison.lacks_gradients:
        lines.append("the dump has gradients and the key has none: write the key with npswin golden --backward")
    elif comparison.unknown:
        meant = [f"{name} ({other}?)" if other else name for name, other in comparison.unknown.items()]
        lines.append(f"NOT COMPARED, since the key has no such names: {_list(meant)}")
    return "\n".join(lines)


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The causes, with the evidence for each."""
    if diagnosis.ok:
        return "nothing to explain: all tensors agree"
    if diagnosis.comparison.of_another_key:
        return "the image has another size than the key's: compare the dump with the key that it was made from"
    lines = [f"{row.name} could not be read: {row.note}" for row in diagnosis.comparison.unread[:SHOWN]]
    for number, cause in enumerate(diagnosis.causes, 1):
        lines += [f"{number}. {cause.hypothesis}", *(f"   {line}" for line in _evidence(cause))]
    rows = {row.name: row for row in diagnosis.comparison.rows}
    for symptom, nearest in list(diagnosis.unexplained.items())[:SHOWN]:
        lines.append(f"none of the catalogue makes {symptom} of the port's own inputs{_shape_note(rows[symptom])}")
        lines += [f"   {_off(one)}: {one}, at {one.place}" for one in nearest[:3]]
    if len(diagnosis.unexplained) > SHOWN:
        lines.append(f"nor {_list(list(diagnosis.unexplained)[SHOWN:])}")
    if not lines and diagnosis.comparison.unknown:
        lines.append("what was compared agrees; the key does not have the other names")
    elif not lines and not diagnosis.late:
        lines.append(
            "each operation is right for the port's own inputs; what differs is what it started from, or rounding"
        )
    lines.append(f"({diagnosis.tried} hypotheses tried)")
    if diagnosis.late:
        lines.append(
            "the time was over before the search was: dump more tensors, so that fewer mistakes are possible between "
            "two of them, or give it more --seconds"
        )
    return "\n".join(lines)


def _shape_note(row: Row) -> str:
    return f": {row.note}" if row.verdict == SHAPE else ""


def _evidence(cause: Cause) -> list[str]:
    hypothesis = cause.hypothesis
    more = len(cause.places) - 1
    rest = f", and at {more} other place{'s' * (more > 1)}: {_list(cause.places[1:])}" if more else ""
    lines = [f"at {cause.places[0]}{rest}"]
    if hypothesis.changes:
        made = f"so planted, the port's {cause.symptom} comes out ({_off(hypothesis)})"
        lines.append(f"{made}; without, it is {_times(cause.without)} off")
    if len(cause.explained) > 1:
        lines.append(f"explains {len(cause.explained)} symptoms: {_list(cause.explained)}")
    lines.append(f"right is: {hypothesis.mend}")
    alike = {str(one): None for one in cause.others if one.excess <= ALIKE and one.left == hypothesis.left}
    lines += [f"cannot be told apart from: {one}" for one in alike if one != str(hypothesis)]
    return lines


def _off(hypothesis: Hypothesis) -> str:
    if hypothesis.excess <= ALIKE:
        return f"{hypothesis.excess:.2g} of the tolerance"
    return f"still {_times(hypothesis.excess)} off"


def _times(excess: float) -> str:
    return f"{excess:.3g} times the tolerance" if math.isfinite(excess) else "by any measure"


def _list(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The same for a program; numbers that JSON does not have are null."""
    first = {title: comparison.first(title == "backward") for title in ("forward", "backward")}
    return _plain(
        {
            "agrees": comparison.ok,
            "precision": comparison.precision,
            "first_divergence": {title: None if row is None else row.name for title, row in first.items()},
            "born": [row.name for row in comparison.births()],
            "not_dumped": comparison.not_dumped,
            "unknown": comparison.unknown,
            "lacks_gradients": comparison.lacks_gradients,
            "of_another_key": comparison.of_another_key,
            "computed": comparison.computed,
            "tensors": [_row_json(row) for row in comparison.rows],
        }
    )


def _row_json(row: Row) -> dict[str, Any]:
    parts = ("found", "tolerance", "local", "local_tolerance")
    return {
        "name": row.name,
        "pass": "backward" if row.name.startswith(GRADIENT) else "forward",
        "verdict": row.verdict.lower().replace(" ", "_") if row.verdict != AGREES else AGREES,
        "note": row.note,
        "taken_from_key": row.taken,
        **{part: None if getattr(row, part) is None else asdict(getattr(row, part)) for part in parts},
    }


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The causes for a program, beside the comparison."""
    return _plain(
        {
            "causes": [
                {
                    **_hypothesis_json(cause.hypothesis),
                    "symptom": cause.symptom,
                    "times_tolerance_without": cause.without,
                    "explained": cause.explained,
                    "places": cause.places,
                    "others": [_hypothesis_json(other) for other in cause.others],
                }
                for cause in diagnosis.causes
            ],
            "unexplained": {
                symptom: [_hypothesis_json(one) for one in nearest]
                for symptom, nearest in diagnosis.unexplained.items()
            },
            "tried": diagnosis.tried,
            "late": diagnosis.late,
            "comparison": comparison_json(diagnosis.comparison),
        }
    )


def _hypothesis_json(one: Hypothesis) -> dict[str, Any]:
    return {
        "name": one.name,
        "says": one.says,
        "detail": one.detail,
        "right": one.mend,
        "place": one.place,
        "backward": one.backward,
        "times_tolerance": one.excess,
        "symptoms_left": one.left,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
