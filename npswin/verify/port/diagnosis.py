"""The result of a diagnosis: hypotheses and causes, as Python objects, text and JSON."""

import math
from dataclasses import dataclass, field
from typing import Any

from npswin.deprecation import renamed_attribute
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.advice import advice_on_thin_dump, advice_on_unexplained
from npswin.verify.port.cause import Cause, Hypothesis
from npswin.verify.port.comparison import Comparison, Row, comparison_json, other_precisions_text
from npswin.verify.port.text import join_names, json_value

MOST_TO_DUMP = 5  # tensors that are named to be dumped next
SHOWN = 3  # unexplained symptoms, and unreadable tensors, that have lines of their own


@dataclass
class Diagnosis:
    """The mistakes of a port. `print` it.

    Attributes:
        comparison: of the port with the key.
        causes: the mistakes, in the order in which they were found.
        unexplained: by name the symptoms that nothing explains, with the nearest hypotheses.
        tried: how many hypotheses were tried.
        timed_out: whether the time limit was reached before all symptoms were examined.
        not_dumped: by name of an unexplained symptom the tensors between it and the last dumped ones.
        differences: by name of an unexplained symptom where and by how much it differs.
        cases: the diagnoses of the key's other cases.
    """

    comparison: Comparison
    causes: list[Cause]
    unexplained: dict[str, list[Hypothesis]]
    tried: int
    timed_out: bool = False
    not_dumped: dict[str, list[str]] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    cases: list["Diagnosis"] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all tensors agree."""
        return self.comparison.ok

    def __str__(self) -> str:
        return "\n\n".join([diagnosis_text(self), *(f"case {one.comparison.case}\n\n{one}" for one in self.cases)])

    late = renamed_attribute("late", "timed_out")


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The causes, with the evidence for each, and the symptoms without a cause."""
    if diagnosis.comparison.case_ok:
        missing = diagnosis.comparison.missing_gradients
        start = f"{missing}; what was dumped agrees" if missing else "nothing to explain: all tensors agree"
        agree = f"{start}, by what {diagnosis.comparison.precision} allows"
        return "\n".join([agree, *other_precisions_text(diagnosis.comparison)])
    if diagnosis.comparison.of_another_key:
        return "the image has another size than the key's: compare the dump with the key that it was made from"
    lines = [f"{row.name} could not be read: {row.note}" for row in diagnosis.comparison.unreadable[:SHOWN]]
    for number, cause in enumerate(diagnosis.causes, 1):
        lines += [f"{number}. {cause}", *(f"   {line}" for line in _evidence(cause))]
    rows = {row.name: row for row in diagnosis.comparison.rows}
    for symptom, nearest in list(diagnosis.unexplained.items())[:SHOWN]:
        lines.append(f"nothing explains {symptom}{_shape_note(rows[symptom])}")
        lines += [f"   {known}" for known in [diagnosis.differences.get(symptom)] if known]
        lines += [f"   nearest, {_distance_text(one)}: {one}, at {one.place}" for one in nearest[:3]]
        advice = advice_on_unexplained(diagnosis.comparison, symptom)
        lines += [f"   {advice}"] * bool(advice)
        if between := diagnosis.not_dumped.get(symptom, []):
            lines.append(f"   dump next: {join_names(_spread(between, MOST_TO_DUMP))}")
    if any(names and not name.startswith(GRADIENT_PREFIX) for name, names in diagnosis.not_dumped.items()):
        lines.append("if dropout or drop path may be left on, run the port twice: npswin compare run1 run2 tells where")
    if len(diagnosis.unexplained) > SHOWN:
        lines.append(f"nor {join_names(list(diagnosis.unexplained)[SHOWN:])}")
    if not lines and diagnosis.comparison.unknown:
        lines.append("what was compared agrees; the key does not have the other names")
    elif not lines and not diagnosis.timed_out:
        lines.append(
            "each operation is right for the port's own inputs; the difference comes from the port's first tensors, or "
            "from rounding"
        )
    lines += [diagnosis.comparison.missing_gradients] * bool(diagnosis.comparison.missing_gradients)
    lines.append(f"({diagnosis.tried} hypotheses tried)")
    if diagnosis.timed_out:
        advice = advice_on_thin_dump(diagnosis.comparison)
        lines += [advice] * (bool(advice) and not diagnosis.causes)
        lines.append(
            "the time limit was reached before the search was complete: dump more tensors, so that fewer mistakes are "
            "possible between two of them, or raise --seconds"
        )
    return "\n".join(lines)


def _spread(names: list[str], most: int) -> list[str]:
    """Some names of a list, evenly spread, since each dumped tensor divides what is between two others."""
    if len(names) <= most:
        return names
    return [names[(2 * place + 1) * len(names) // (2 * most)] for place in range(most)]


def _shape_note(row: Row) -> str:
    return f": {row.note}" if row.note and not row.ok else ""


def _evidence(cause: Cause) -> list[str]:
    hypothesis = cause.hypothesis
    more = len(cause.places) - 1
    rest = f", and at {more} other place{'s' * (more > 1)}: {join_names(cause.shown_places[1:])}" if more else ""
    lines = [f"at {cause.shown_places[0]}{rest}"]
    lines += [f"likewise, at {one.place}: {one}" for one in cause.with_other_numbers[:SHOWN]]
    if hypothesis.changes:
        found = f"with this mistake the graph computes the port's {cause.symptom} ({_distance_text(hypothesis)})"
        lines.append(f"{found}; without it, the distance is {_ratio_text(cause.ratio_without)}")
    if len(cause.explained) > 1:
        lines.append(f"explains {len(cause.explained)} symptoms: {join_names(cause.explained)}")
    if cause.not_used_by:
        agrees = "agrees" if len(cause.not_used_by) == 1 else "agree"
        lines.append(
            f"{join_names(cause.not_used_by)} {agrees} with the key nevertheless: the port did not compute with these "
            "numbers, so that they may be wrong in the dump alone"
        )
    lines.append(f"correct: {hypothesis.fix}")
    alike = [
        one
        for one in cause.others
        if one.explains_symptom
        and one.symptoms_left == hypothesis.symptoms_left
        and one.fitted_numbers <= hypothesis.fitted_numbers
        and str(one) != str(hypothesis)
    ]
    if any(one.without_loading == hypothesis.without_loading for one in alike):
        lines.append("whether it is so since the parameter was loaded, or only where it is used here, nothing tells")
    others = [str(one) for one in alike if one.without_loading != hypothesis.without_loading]
    lines += [f"cannot be distinguished from: {one}" for one in dict.fromkeys(others)]
    return lines


def _distance_text(hypothesis: Hypothesis) -> str:
    if hypothesis.explains_symptom:
        return f"{hypothesis.tolerance_ratio:.2g} of the tolerance"
    return f"distance {_ratio_text(hypothesis.tolerance_ratio)}"


def _ratio_text(ratio: float) -> str:
    return f"{ratio:.3g} times the tolerance" if math.isfinite(ratio) else "infinite"


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The causes for a program, with the comparison."""
    value: dict[str, Any] = json_value(
        {
            "causes": [
                {
                    **_hypothesis_json(cause.hypothesis),
                    "symptom": cause.symptom,
                    "times_tolerance_without": cause.ratio_without,
                    "explained": cause.explained,
                    "places": cause.places,
                    "details": cause.details,
                    "others": [_hypothesis_json(other) for other in cause.others],
                }
                for cause in diagnosis.causes
            ],
            "advice": {
                symptom: advice
                for symptom in diagnosis.unexplained
                if (advice := advice_on_unexplained(diagnosis.comparison, symptom))
            },
            "unexplained": {
                symptom: [_hypothesis_json(one) for one in nearest]
                for symptom, nearest in diagnosis.unexplained.items()
            },
            "differences": diagnosis.differences,
            "tried": diagnosis.tried,
            "late": diagnosis.timed_out,
            "cases": [diagnosis_json(case) for case in diagnosis.cases],
            "comparison": comparison_json(diagnosis.comparison),
        }
    )
    return value


def _hypothesis_json(one: Hypothesis) -> dict[str, Any]:
    return {
        "name": one.name,
        "says": one.description,
        "detail": one.detail,
        "right": one.fix,
        "place": one.place,
        "backward": one.backward,
        "times_tolerance": one.tolerance_ratio,
        "symptoms_left": one.symptoms_left,
    }
