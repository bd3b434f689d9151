"""Gradients that a dump lacks, and what they tell about the backward pass."""

from npswin.verify import compare, diagnose
from tests.verify.keys import miniature_trace, right

KEY = miniature_trace()
MERGING = "layers.0.downsample.concat"


def without(is_missing):
    return {
        name: array
        for name, array in right("float32").items()
        if not (name.startswith("grad/") and is_missing(name.removeprefix("grad/")))
    }


def is_before_merging(name):
    return name.startswith(("layers.0.blocks", "patch_embed", "input", MERGING))


def test_the_backward_pass_stops_at_a_tensor():
    diagnosis = diagnose(KEY, without(is_before_merging))
    assert diagnosis.ok
    assert f"the gradients of {MERGING} and of all that comes before it are missing" in str(diagnosis)
    assert "stops between layers.0.downsample.norm and" in str(diagnosis)
    assert "the backward pass stops" in str(compare(KEY, without(is_before_merging)))


def test_parameters_without_gradients():
    norms = {name for name in KEY.graph.parameters if "norm" in name}
    said = str(diagnose(KEY, without(norms.__contains__)))
    assert said.startswith("the gradients of some parameters (")
    assert f"are missing, {len(norms)} in all" in said
    of_projections = str(
        diagnose(KEY, without(lambda name: name in KEY.graph.parameters and "proj" in name.split(".")))
    )
    assert "the gradients of all parameters with proj in their names are missing" in of_projections


def test_a_dump_with_some_gradients_lacks_none():
    for some in ("layers.1.blocks", "head"):
        diagnosis = diagnose(KEY, without(lambda name, some=some: not name.startswith(some)))
        assert "missing" not in str(diagnosis) or some == "layers.1.blocks"
    assert "missing" not in str(diagnose(KEY, right("float32")))
    of_parameters = set(KEY.graph.parameters)
    assert "missing" not in str(diagnose(KEY, without(lambda name: name not in of_parameters)))
