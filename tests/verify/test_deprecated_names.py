"""Old names of attributes and functions still work, with a warning."""

import pytest

from npswin.verify import compare, diagnose, port
from npswin.verify.gradcheck.report import Element
from npswin.verify.port.cause import Cause, Hypothesis
from npswin.verify.port.comparison import Row
from tests.verify.keys import miniature_trace, right

HYPOTHESIS = Hypothesis("name", "description", "fix", "", "head", {}, tolerance_ratio=2.0, symptoms_left=3)


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (Row("head", "agrees"), "found", "distance"),
        (Row("head", "agrees"), "local", "local_distance"),
        (Row("head", "agrees"), "taken", "copied_from_key"),
        (Row("head", "agrees"), "born", "is_local_error"),
        (HYPOTHESIS, "says", "description"),
        (HYPOTHESIS, "mend", "fix"),
        (HYPOTHESIS, "excess", "tolerance_ratio"),
        (HYPOTHESIS, "left", "symptoms_left"),
        (Cause(HYPOTHESIS, "head", 5.0, [], []), "without", "ratio_without"),
        (Element((1, 2), 0.0, 0.0), "place", "index"),
    ],
)
def test_an_old_attribute_warns(value, old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} was renamed to {new}"):
        assert getattr(value, old) == getattr(value, new)


def test_old_names_of_a_comparison_and_a_diagnosis_warn():
    tensors = {"head": right("float32")["head"]}
    comparison, diagnosis = compare(miniature_trace(), tensors), diagnose(miniature_trace(), tensors)
    with pytest.warns(DeprecationWarning, match="births was renamed to local_errors"):
        assert comparison.births() == comparison.local_errors()
    with pytest.warns(DeprecationWarning, match="first was renamed to first_error"):
        assert comparison.first() == comparison.first_error()
    with pytest.warns(DeprecationWarning, match="half was renamed to rows_of_pass"):
        assert comparison.half(False) == comparison.rows_of_pass(False)
    with pytest.warns(DeprecationWarning, match="late was renamed to timed_out"):
        assert diagnosis.late is diagnosis.timed_out
    with pytest.warns(DeprecationWarning, match="Seen was renamed to .*Recording"):
        assert port.Seen is port.Recording
