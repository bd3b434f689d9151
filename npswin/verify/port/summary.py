"""A comparison or diagnosis in at most ten lines, for a bug report or a message to a colleague."""

import platform
from importlib.metadata import version

import numpy as np

from npswin.files import shortened
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.cause import Cause
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import UNREADABLE, Comparison, Row
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.text import join_names
from npswin.verify.port.two_dumps import EQUAL, ROUNDING, DumpComparison, DumpRow

LONGEST_LINE = 200
MOST_LINES = 10


def versions() -> str:
    """The versions of npswin, NumPy, Python and the system."""
    return (
        f"npswin {version('npswin')}, NumPy {np.__version__}, Python {platform.python_version()}, {platform.platform()}"
    )


def comparison_report(comparer: Comparer, comparison: Comparison, diagnosis: Diagnosis | None = None) -> str:
    """Versions, model, the first tensor that does not agree in each pass; with a diagnosis, causes and evidence.

    Args:
        comparer: the key and the port.
        comparison: the result of one case.
        diagnosis: the mistakes, if they were searched.
    """
    lines = [versions(), _model(comparer, comparison), _port(comparison)]
    lines += [_first(comparison, backward) for backward in (False, True) if comparison.rows_of_pass(backward)]
    if wrong := [row.name for row in comparison.local_errors()]:
        lines.append(f"wrong by themselves: {join_names(wrong, 4)}")
    if diagnosis is not None:
        lines += _causes(diagnosis, MOST_LINES - len(lines))
    elif not comparison.case_ok:
        lines.append("cause: not searched (npswin diagnose)")
    return _short(lines)


def dumps_report(comparison: DumpComparison) -> str:
    """Versions, how many tensors of two dumps are equal, and the first that are not."""
    verdicts = [row.verdict for row in comparison.rows]
    rest = len(verdicts) - verdicts.count(EQUAL) - verdicts.count(ROUNDING)
    lines = [
        versions(),
        f"two dumps: {verdicts.count(EQUAL)} tensors are equal, {verdicts.count(ROUNDING)} differ by what rounding may "
        f"explain, {rest} by more",
    ]
    for title, row in (
        ("first that is not equal", comparison.first_unequal),
        ("first beyond rounding", comparison.first_beyond_rounding),
    ):
        lines.append(f"{title}: {'none' if row is None else _dump_row(row)}")
    if comparison.random:
        lines.append(f"looks like: {comparison.random}")
    for names, place in ((comparison.only_in_first, "first"), (comparison.only_in_second, "second")):
        if names:
            lines.append(f"only in the {place} dump: {join_names(names, 4)}")
    return _short(lines)


def _dump_row(row: DumpRow) -> str:
    far = "" if row.distance is None else f", relative difference {row.distance.relative:.2e} in {row.precision}"
    return f"{row.name} ({row.verdict}{far}{f', {row.note}' if row.note else ''})"


def _model(comparer: Comparer, comparison: Comparison) -> str:
    config, shapes = comparer.key.config, comparer.shapes
    names = ("embed_dim", "depths", "num_heads", "window_size", "patch_size", "img_size")
    images = "×".join(map(str, shapes.get("pixels", shapes["input"])))
    case = f", case {comparison.case}" if comparison.case else ""
    return f"key{case}: {', '.join(f'{name} {config[name]}' for name in names)}; images {images}"


def _port(comparison: Comparison) -> str:
    agreeing = sum(row.ok for row in comparison.rows)
    line = f"port: {agreeing} of {len(comparison.rows)} tensors agree, judged as {comparison.precision}"
    if comparison.not_dumped:
        line += f"; {comparison.not_dumped} were not dumped"
    if comparison.unreadable:
        line += f"; {len(comparison.unreadable)} could not be read"
    if comparison.unknown:
        line += f"; not in the key: {join_names(list(comparison.unknown), 2)}"
    return line


def _first(comparison: Comparison, backward: bool) -> str:
    title = "backward" if backward else "forward"
    rows = [row for row in comparison.rows_of_pass(backward) if row.verdict != UNREADABLE]
    first = next((row for row in rows if not row.ok), None)
    if first is None:
        return f"{title}: everything agrees"
    return f"{title}: first divergence {first.name.removeprefix(GRADIENT_PREFIX)} ({first.verdict}{_size(first)})"


def _size(row: Row) -> str:
    if row.note:
        return f", {row.note}"
    is_local = row.is_local_error and row.local_distance is not None
    found, tolerance = (row.local_distance, row.local_tolerance) if is_local else (row.distance, row.tolerance)
    if found is None or tolerance is None:
        return ""
    return f", relative error {found.relative:.2e}, {tolerance.relative:.2e} is allowed"


def _causes(diagnosis: Diagnosis, room: int) -> list[str]:
    """Two lines for each cause, as many as there is room for, and one for the others and what has no cause."""
    lines: list[str] = []
    shown = len(diagnosis.causes)
    if 2 * shown + bool(diagnosis.unexplained) > room:
        shown = (room - 1) // 2
    for cause in diagnosis.causes[:shown]:
        lines += [f"cause: {cause}, at {join_names(cause.places, 2)}", f"  evidence: {_evidence(cause)}"]
    others = len(diagnosis.causes) - shown
    rest = [f"and {others} more cause{'s' * (others > 1)}"] if others else []
    if diagnosis.unexplained:
        rest.append(f"no cause found for {join_names(list(diagnosis.unexplained), 2)}")
    elif not diagnosis.causes and not diagnosis.comparison.case_ok:
        rest.append("cause: none found")
    if rest:
        lines.append("; ".join(rest))
    return lines


def _evidence(cause: Cause) -> str:
    found = f"{cause.symptom} is reproduced within {cause.hypothesis.tolerance_ratio:.2g} of the tolerance"
    left = cause.hypothesis.symptoms_left
    others = {str(one) for one in cause.others if one.explains_symptom and one.symptoms_left == left}
    others.discard(str(cause.hypothesis))
    alike = f", as by {len(others)} other hypotheses" if others else ""
    count = len(cause.explained)
    explained = f"explains {count} symptom{'s' * (count > 1)}"
    return f"{found}{alike}, and is {cause.ratio_without:.3g} times the tolerance away without it; {explained}"


def _short(lines: list[str]) -> str:
    return "\n".join(shortened(line, LONGEST_LINE) for line in lines)
