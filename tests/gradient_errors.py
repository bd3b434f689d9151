"""The largest error of the gradient checks of each op, layer and model in this run of the suite.

python -m pytest tests/ops tests/layers tests/models --gradient-errors
"""

from npswin.verify import gradcheck

ERRORS: dict[str, list[float]] = {}


def gradcheck_and_record(name, target, inputs, **arguments):
    """`npswin.gradcheck`, with the largest error stored under this name."""
    report = gradcheck(target, inputs, **arguments)
    method, tolerance = report.method, report.checks[0].tolerance if report.checks else 0.0
    row = ERRORS.setdefault(f"{name} | {method}", [0, 0.0, tolerance])
    row[0] += 1
    row[1] = max(row[1], report.error)
    return report


def table():
    """The rows as Markdown."""
    lines = ["| checked | method | cases | largest error | tolerance |", "| --- | --- | --- | --- | --- |"]
    for name, (cases, error, tolerance) in sorted(ERRORS.items()):
        lines.append(f"| {name} | {cases} | {error:.1e} | {tolerance:.0e} |")
    return lines
