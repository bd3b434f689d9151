"""Another loss: found from everything, from gradients alone, and where the loss that is dumped is the right one."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.loss import (
    LOSS,
    focal,
    mixed_with_reversed,
    scaled,
    smoothed,
    with_labels,
    with_loss,
    with_temperature,
)
from tests.thorough import some
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
NODE = KEY.graph.nodes["loss"]
MOST_TRIED = 30
VARIANTS = {
    f"{mistake.name} {detail}": (mistake.name, detail, changes)
    for mistake in LOSS
    for detail, changes in mistake.plant(KEY.graph, "loss")
}
SAMPLE = ("ε = 0.1, over all", "label + 1", "softmax-twice", "sigmoid, mean", "of the logits, mean")
FACTORS = ("loss-sum", "loss-factor")  # which in gradients alone are factors of all of them
FITTED = {
    "smoothing": (smoothed(0.13), "label-smoothing", "ε = 0.13"),
    "temperature": (with_temperature(0.83), "loss-temperature", "τ = 0.83"),
    "focal": (focal(1.5), "loss-focal", "γ = 1.5"),
    "mixed": (mixed_with_reversed(0.37), "labels-mixed", "λ = 0.37"),
    "labels": (with_labels([2, 1]), "other-labels", "1 for image 1 rather than 4"),
    "smoothing, summed": (scaled(smoothed(0.1), len), "label-smoothing + loss-sum", "the batch size"),
    "factor": (scaled(smoothed(0.0), lambda _: 0.37), "gradients-scaled", "0.37"),
}


def dumps_of(changes, precision="float32"):
    """What a port with these changes dumps: everything; everything, with the right loss; parameters' gradients."""
    tensors = computed(KEY.graph.replaced(changes), KEY.sources, precision, seed=3)
    gradients = {f"grad/{name}": tensors[f"grad/{name}"] for name in KEY.graph.parameters}
    return {
        "everything": tensors,
        "right loss": tensors | {"loss": np.float32(KEY.loss)},
        "gradients": gradients,
    }


def only_cause(dump):
    diagnosis = diagnose(KEY, dump)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert diagnosis.tried <= MOST_TRIED
    return diagnosis.causes[0]


@pytest.mark.parametrize("what", some(["everything", "right loss", "gradients"], {"right loss", "gradients"}))
@pytest.mark.parametrize("variant", some(list(VARIANTS), lambda name: any(part in name for part in SAMPLE)))
def test_a_loss_of_the_catalogue(variant, what):
    name, detail, changes = VARIANTS[variant]
    cause = only_cause(dumps_of(changes)[what])
    if name not in FACTORS:
        assert cause.hypothesis.name == name
        alike = [cause.hypothesis, *(one for one in cause.others if one.explains_symptom)]
        assert detail in [one.detail for one in alike]


@pytest.mark.parametrize("what", some(["everything", "right loss", "gradients"], {"everything", "gradients"}))
@pytest.mark.parametrize("planted", FITTED)
def test_a_loss_with_a_fitted_number(planted, what):
    loss, name, text = FITTED[planted]
    cause = only_cause(dumps_of(with_loss(NODE, loss))[what])
    expected = name.replace("loss-sum", "averaged-twice") if what == "right loss" else name
    assert cause.hypothesis.name == expected
    assert text in str(cause.hypothesis)


def test_the_loss_alone_is_no_evidence_for_a_fitted_number():
    """One number fits any smoothing."""
    loss = dumps_of(with_loss(NODE, smoothed(0.1371)))["everything"]["loss"]
    diagnosis = diagnose(KEY, {"loss": loss})
    assert not diagnosis.causes, str(diagnosis)


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("loss-sum")])
def test_the_derivative_of_each_loss(name):
    """By central differences, for every logit."""
    run = Run(KEY.graph.replaced(VARIANTS[name][2]), KEY.sources)
    logits, step = run.value("head"), 1e-6
    claimed = run.gradient("head")
    for index in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[index] = step
        ends = [float(Run(run.graph, {**KEY.sources, "head": logits + sign * moved}).value("loss")) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(claimed[index], rel=1e-5, abs=1e-8)
