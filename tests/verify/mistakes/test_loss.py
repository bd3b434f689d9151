"""Another loss: found from everything, from gradients alone, and where the loss that is dumped is the right one."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.loss import (
    LOSS,
    cross_entropy_to,
    focal,
    mixed_with_reversed,
    scaled,
    smoothed,
    targets_of,
    with_labels,
    with_loss,
    with_temperature,
)
from npswin.verify.mistakes.loss_families import FAMILIES, generalized, with_eps, with_margin
from npswin.verify.mistakes.loss_terms import CROSS_ENTROPY, LOSS_TERMS, OTHER_LOSSES
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


def summed(factors):
    def loss(logits, labels):
        parts = [(factor, LOSS_TERMS[name](logits, labels)) for name, factor in factors.items()]
        return sum(f * value for f, (value, _) in parts), sum(f * slope for f, (_, slope) in parts)

    return loss


def with_class_weights(logits, labels):
    weights = np.linspace(0.5, 1.5, logits.shape[1])[labels.astype(int)]
    return cross_entropy_to(logits, targets_of(logits, labels) * weights[:, None])


# Losses that are no entries of the catalogue, by what is said of them.
SUMS = {
    "the cross-entropy + 0.01 · logsumexp(logits)²": summed({CROSS_ENTROPY: 1.0, "logsumexp(logits)²": 0.01}),
    "the cross-entropy - 0.1 · the entropy": summed({CROSS_ENTROPY: 1.0, "the entropy of the probabilities": -0.1}),
    "the cross-entropy + (1 - p[label])": summed({CROSS_ENTROPY: 1.0, "(1 - p[label])": 1.0}),
    "ε = 0.01": with_eps(0.01),
    "s = 0.7": generalized(0.7),
    "m = 0.3": with_margin(0.3),
    "γ = 1.5, and multiplied by 0.25": scaled(focal(1.5), lambda _: 0.25),
    "τ = 3, and multiplied by 9 = τ²": scaled(with_temperature(3.0), lambda _: 9.0),
    "0.75 for class": with_class_weights,
    **{
        str(detail or description): loss
        for description, _, losses in OTHER_LOSSES.values()
        for detail, loss in losses.items()
    },
}
SOME_SUMS = {"the cross-entropy + 0.01 · logsumexp(logits)²", "τ = 3, and multiplied by 9 = τ²", "tanh", "its square"}


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


@pytest.mark.parametrize("says", some(list(SUMS), SOME_SUMS))
def test_a_loss_beside_the_catalogue(says):
    changes = with_loss(NODE, SUMS[says])
    diagnosis = diagnose(KEY, dumps_of(changes)["everything"])
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert says.replace("0.75 for class", "for class") in str(diagnosis.causes[0].hypothesis)


def test_the_value_of_the_loss_alone_is_another_one():
    tensors = dumps_of({})["everything"]
    for loss, words in ((2 * KEY.loss, "the batch's sum, as it is reported"), (KEY.loss + 0.5, "0.5 is added")):
        assert words in str(only_cause(tensors | {"loss": np.float32(loss)}).hypothesis)


def test_a_penalty_of_the_parameters():
    tensors, penalty = dict(dumps_of({})["everything"]), 0.0
    for name in KEY.graph.parameters:
        tensors[f"grad/{name}"] = (tensors[f"grad/{name}"] + 0.02 * KEY.sources[name]).astype(np.float32)
        penalty += 0.01 * float((KEY.sources[name] ** 2).sum())
    tensors["loss"] = np.float32(tensors["loss"] + penalty)
    assert "0.01 Σ θ², θ the numbers of all parameters" in str(only_cause(tensors).hypothesis)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_right_loss_is_not_accused(precision):
    assert diagnose(KEY, dumps_of({}, precision)["everything"]).ok


def test_the_loss_alone_is_no_evidence_for_a_fitted_number():
    """One number fits any smoothing."""
    loss = dumps_of(with_loss(NODE, smoothed(0.1371)))["everything"]["loss"]
    diagnosis = diagnose(KEY, {"loss": loss})
    assert not diagnosis.causes, str(diagnosis)


@pytest.mark.parametrize("name", [*LOSS_TERMS, *SUMS, *(f"{one.name} {one.letter}" for one in FAMILIES)])
def test_the_derivative_of_each_other_loss(name):
    """By central differences, for every logit."""
    family = next((one for one in FAMILIES if name == f"{one.name} {one.letter}"), None)
    loss = family.loss(0.37) if family else LOSS_TERMS.get(name) or SUMS[name]
    labels, logits = KEY.sources["labels"], Run(KEY.graph, KEY.sources).value("head") + 0.1
    claimed, step = loss(logits, labels)[1], 1e-6
    for index in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[index] = step
        slope = (loss(logits + moved, labels)[0] - loss(logits - moved, labels)[0]) / (2 * step)
        assert slope == pytest.approx(claimed[index], rel=1e-5, abs=1e-8)


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
