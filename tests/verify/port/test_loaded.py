"""Parameters that were loaded wrongly, in a port that computes rightly: one cause, with the gradients as well."""

import numpy as np
import pytest

from npswin.verify import diagnose
from tests.verify.keys import computed, miniature_trace, mistake_named

KEY = miniature_trace()
BLOCK = "layers.0.blocks.1"
WRONGLY = {
    f"{BLOCK}.attn.proj.weight": (lambda weight: weight.T, "weight-transposed"),
    f"{BLOCK}.norm1.weight": (np.ones_like, "norm-gain-missing"),
    f"{BLOCK}.attn.qkv.bias": (np.zeros_like, "linear-bias-missing"),
}


@pytest.mark.parametrize("name", WRONGLY)
@pytest.mark.parametrize("everything", [True, False])
def test_a_parameter_that_was_loaded_wrongly_is_one_cause(name, everything):
    change, cause = WRONGLY[name]
    sources = KEY.sources | {name: np.ascontiguousarray(change(KEY.sources[name]))}
    tensors = computed(KEY.graph, sources, "float32", seed=3)
    if not everything:
        tensors = {
            part: array
            for part, array in tensors.items()
            if not part.startswith("grad/") or part.removeprefix("grad/") in KEY.graph.parameters
        }
    diagnosis = diagnose(KEY, tensors)
    assert [one.hypothesis.name for one in diagnosis.causes] == [cause], str(diagnosis)
    assert not diagnosis.unexplained


def test_a_weight_that_is_transposed_when_it_is_used_has_a_gradient_of_its_own():
    """The gradient goes back through the transpose: it is not that of a weight which was loaded so."""
    changes = next(iter(mistake_named("weight-transposed").plant(KEY.graph, f"{BLOCK}.attn.proj")))[1]
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=3))
    assert [one.hypothesis.name for one in diagnosis.causes] == ["weight-transposed"]
    assert "as it was loaded" not in str(diagnosis)


def test_another_modules_parameters_that_were_loaded():
    """Gain and bias of another norm: the gradients are those of the names under which they were loaded."""
    other = "layers.0.blocks.0.norm1"
    sources = KEY.sources | {f"{BLOCK}.norm1.{part}": KEY.sources[f"{other}.{part}"] for part in ("weight", "bias")}
    diagnosis = diagnose(KEY, computed(KEY.graph, sources, "float32", seed=3))
    assert [one.hypothesis.name for one in diagnosis.causes] == ["other-parameters"], str(diagnosis)
    assert f"of {other}; as it was loaded" in str(diagnosis)
