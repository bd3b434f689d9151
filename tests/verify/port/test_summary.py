"""The summary for a bug report: at most ten lines with versions, first divergence, cause and evidence."""

import platform

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.port.candidate import in_memory
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.summary import LONGEST_LINE, comparison_report, dumps_report
from npswin.verify.port.two_dumps import compare_two_dumps
from tests.verify.keys import candidate_of, computed, miniature_trace, mistake_named, right

ACT = "layers.1.blocks.0.mlp.act"
SHIFTED = "layers.0.blocks.1.attn.shifted"


def report(tensors, searched=True):
    key = miniature_trace()
    comparer = Comparer(key, candidate_of(tensors, key.shapes))
    diagnosis = diagnose(key, tensors) if searched else None
    return comparison_report(comparer, comparer.compare(), diagnosis)


def test_of_a_diagnosis():
    key = miniature_trace()
    graph = key.graph.replaced(next(iter(mistake_named("gelu-tanh").plant(key.graph, ACT)))[1])
    text = report(computed(graph, key.sources, "float32", seed=0))
    lines = text.splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= LONGEST_LINE + 3
    assert lines[0].startswith("npswin ")
    assert f"NumPy {np.__version__}, Python {platform.python_version()}" in lines[0]
    assert "window_size 3" in lines[1]
    assert "images 2×3×10×14" in lines[1]
    assert "judged as float32" in lines[2]
    assert f"forward: first divergence {ACT} (WRONG HERE, relative error " in text
    assert "cause: GELU is the tanh approximation" in text or "cause: " in text
    assert f"evidence: {ACT} is reproduced within " in text
    assert "times the tolerance away without it; explains" in text


@pytest.mark.parametrize("searched", [True, False])
def test_of_a_right_port(searched):
    text = report(right("float32"), searched)
    assert "forward: everything agrees" in text
    assert "backward: everything agrees" in text
    assert "cause" not in text


def test_a_comparison_says_that_no_cause_was_searched():
    tensors = right("float32")
    text = report(tensors | {ACT: tensors[ACT] * np.float32(1.1)}, searched=False)
    assert "cause: not searched (npswin diagnose)" in text
    assert f"wrong by themselves: {ACT}" in text


def test_what_is_not_explained_and_many_causes_fit_into_ten_lines():
    tensors = {name: array for name, array in right("float32").items() if "grad/" not in name}
    rng = np.random.default_rng(0)
    for name in list(tensors)[5:60:5]:
        tensors[name] = tensors[name] + rng.standard_normal(tensors[name].shape).astype(np.float32)
    text = report(tensors)
    assert len(text.splitlines()) <= 10
    assert "no cause found for " in text


def test_causes_and_what_has_none_in_both_passes_fit_into_ten_lines():
    key, graph = miniature_trace(), miniature_trace().graph
    for mistake, place in (("gelu-tanh", ACT), ("gelu-tanh", "layers.1.blocks.1.mlp.act"), ("roll-direction", SHIFTED)):
        graph = graph.replaced(next(iter(mistake_named(mistake).plant(graph, place)))[1])
    tensors = computed(graph, key.sources, "float32", seed=0)
    noise = np.random.default_rng(0).standard_normal(tensors["avgpool"].shape)
    tensors["avgpool"] = tensors["avgpool"] + noise.astype(np.float32)
    lines = report(tensors).splitlines()
    assert len(lines) <= 10
    assert lines[5].startswith("wrong by themselves: ")
    assert lines[6].startswith("cause: ")
    assert "more cause" in lines[-1]
    assert "; no cause found for avgpool" in lines[-1]


def test_of_two_dumps():
    one = {name: in_memory(array) for name, array in right("float32").items()}
    other = one | {"head": in_memory(right("float32")["head"] * np.float32(2))}
    lines = dumps_report(compare_two_dumps(one, other)).splitlines()
    assert len(lines) <= 10
    assert lines[1].startswith("two dumps: 337 tensors are equal, 0 differ by what rounding may explain, 1 by more")
    assert lines[2].startswith("first that is not equal: head (DIFFERS, relative difference 1.00e+00 in float32")
