"""One cause for all gradients: factors, decay, clipping, images that are left out, zeros."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.thorough import some
from tests.verify.keys import computed, miniature_trace, mistake_named, right

KEY = miniature_trace()
PARAMETERS = KEY.graph.parameters
AFTER_STAGE_0 = ("layers.1", "layers.2", "norm", "head")
MOST_TRIED = 60  # hypotheses; before, each parameter's gradient was a symptom of its own, and 49919 were tried


def stored(array, precision):
    return rounded(np.asarray(array, np.float32), precision) if precision != "float64" else np.asarray(array)


def gradients_of_parameters(precision="float32"):
    tensors = right(precision)
    return {name: tensors[f"grad/{name}"] for name in PARAMETERS}


def diagnosis_of(gradients, precision="float32", others=None):
    """The diagnosis of a port that dumps these gradients of parameters, by parameter."""
    dumped = {f"grad/{name}": stored(array, precision) for name, array in gradients.items()}
    return diagnose(KEY, (others or {}) | dumped)


def only_cause(diagnosis, most_tried=MOST_TRIED):
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert diagnosis.tried <= most_tried
    return diagnosis.causes[0].hypothesis


def norm_of(gradients):
    return float(np.sqrt(sum(np.sum(np.asarray(array, np.float64) ** 2) for array in gradients.values())))


FACTORS = {
    2.0: ("loss-sum", "the batch size, the loss is summed"),
    0.5: ("averaged-twice", "1 / the batch size"),
    3.0: ("gradients-accumulated", "added 3 times"),
    65536.0: ("loss-scale", "2^16, the loss scale of mixed precision is left in"),
    2.0**-12: ("loss-scale", "2^-12, the loss scale is divided out twice"),
    -1.0: ("gradient-sign", "the sign is the other one"),
    0.2: ("loss-factor", "1 / the number of classes"),
    1 / np.log(2): ("loss-factor", "base 2"),
    -1e-3: ("update-for-gradient", "a learning rate of 0.001"),
    0.2317: ("gradients-scaled", "multiplied by 0.2317"),
}


@pytest.mark.parametrize("precision", some(["float64", "float32", "bfloat16"], {"float32", "bfloat16"}))
@pytest.mark.parametrize("factor", some(list(FACTORS), {2.0, 65536.0, 0.2317}))
def test_a_factor_of_all_parameters_gradients_is_read(factor, precision):
    gradients = {name: factor * array for name, array in gradients_of_parameters(precision).items()}
    cause = only_cause(diagnosis_of(gradients, precision))
    name, text = FACTORS[factor]
    assert cause.name == name
    if (name, precision) == ("gradients-scaled", "bfloat16"):  # which has no more than two digits
        fitted = float(str(cause).removeprefix("every gradient is multiplied by ").split()[0])
        assert fitted == pytest.approx(factor, rel=0.02)
    else:
        assert text in str(cause)
    assert str(cause).startswith("every gradient is multiplied by ")


def test_accumulated_gradients_beside_those_of_activations():
    """Each backward pass gives the same gradients of activations; those of parameters are added up."""
    tensors = right("float32")
    gradients = {name: 4 * tensors[f"grad/{name}"] for name in PARAMETERS}
    cause = only_cause(diagnosis_of(gradients, others=tensors))
    assert cause.name == "gradients-accumulated"
    assert str(cause).startswith("every parameter's gradient is multiplied by 4")


@pytest.mark.parametrize("with_loss", [False, True])
def test_a_loss_scale_that_is_left_in_everywhere(with_loss):
    tensors = right("float32")
    scale = {name: 1024 if name.startswith("grad/") and name != "grad/loss" else 1 for name in tensors}
    scale["loss"] = 1024 if with_loss else 1
    cause = only_cause(diagnose(KEY, {name: array * np.float32(scale[name]) for name, array in tensors.items()}))
    assert cause.name == "loss-scale"
    assert str(cause).startswith("the loss and every gradient" if with_loss else "every gradient")


@pytest.mark.parametrize("limit", some([1.0, 5.0, 0.1], {1.0}))
@pytest.mark.parametrize("everywhere", [False, True])
def test_the_norm_to_which_all_gradients_are_clipped(limit, everywhere):
    gradients = gradients_of_parameters()
    factor = limit / (norm_of(gradients) + 1e-6)
    if everywhere:
        tensors = right("float32")
        diagnosis = diagnose(
            KEY, {name: array * np.float32(factor if "grad/" in name else 1) for name, array in tensors.items()}
            | {"grad/loss": tensors["grad/loss"]},
        )  # fmt: skip
    else:
        diagnosis = diagnosis_of({name: factor * array for name, array in gradients.items()})
    cause = only_cause(diagnosis)
    assert cause.name == "gradients-clipped"
    assert f"clipped to the norm {limit:g}" in str(cause)


@pytest.mark.parametrize("decay", [0.05, 1e-4, 0.0371])
@pytest.mark.parametrize("weights_only", some([True, False], {True}))
def test_weight_decay_in_the_gradients(decay, weights_only):
    gradients = {
        name: array + decay * KEY.sources[name] * (array.ndim > 1 or not weights_only)
        for name, array in gradients_of_parameters().items()
    }
    cause = only_cause(diagnosis_of(gradients))
    assert cause.name == "decay-added"
    assert f"{decay:g} times the parameter is added" in str(cause)


UPDATES = {
    "clipped by value": (lambda g, _: np.clip(g, -0.01, 0.01), "gradients-clipped", "clipped to ±0.01"),
    "clipped one by one": (
        lambda g, _: g * min(1, 0.1 / np.linalg.norm(g)),
        "gradients-clipped",
        "by itself is clipped to the norm 0.1",
    ),
    "normalized": (lambda g, _: g / np.linalg.norm(g), "gradients-normalized", "divided by its own norm"),
    "signs": (lambda g, _: np.sign(g), "update-for-gradient", "only the signs"),
    "Adam": (lambda g, _: -1e-3 * g / (np.abs(g) + 1e-8), "update-for-gradient", "the first step of Adam"),
    "after the step": (lambda g, theta: theta - 0.1 * g, "update-for-gradient", "the parameter after the step"),
    "second moment": (lambda g, _: 1e-3 * g * g, "update-for-gradient", "the square of each gradient"),
    "absolute": (lambda g, _: np.abs(g), "update-for-gradient", "the absolute value"),
    "centred": (
        lambda g, _: g - g.mean(tuple(range(1, g.ndim)), keepdims=True) if g.ndim > 1 else g,
        "gradients-centred",
        "has its mean subtracted",
    ),
    "flushed": (lambda g, _: np.where(np.abs(g) < 1e-3, 0, g), "gradients-flushed", "less than about 0.001 are 0"),
    "8 bits": (
        lambda g, _: np.rint(g / (np.abs(g).max() / 127)) * (np.abs(g).max() / 127),
        "gradients-rounded",
        "rounded to 8 bits",
    ),
    "L1": (lambda g, theta: g + 0.01 * np.sign(theta), "decay-added", "0.01 times its sign"),
}


@pytest.mark.parametrize("what", some(list(UPDATES), {"clipped by value", "after the step", "8 bits"}))
def test_what_an_optimizer_makes_of_the_gradients(what):
    update, name, text = UPDATES[what]
    gradients = {
        parameter: update(array.astype(np.float64), KEY.sources[parameter])
        for parameter, array in gradients_of_parameters().items()
    }
    cause = only_cause(diagnosis_of(gradients))
    assert cause.name == name
    assert text in str(cause)


@pytest.mark.parametrize(
    ("weights", "name", "text"),
    [
        ((1.0, 0.0), "images-left-out", "image 1 of the batch is left out"),
        ((0.0, 2.0), "images-left-out", "the mean over the others"),
        ((1.3, 0.7), "class-weights", "1.3 for class 2, 0.7 for class 4"),
    ],
)
@pytest.mark.parametrize("precision", some(["float64", "float32", "bfloat16"], {"float32"}))
def test_images_with_other_weights(weights, name, text, precision):
    node = KEY.graph.nodes["loss"]

    def backward(dy, cache):
        dlogits, none = node.operation.backward(dy, cache)
        return dlogits * np.array(weights, dlogits.dtype)[:, None], none

    graph = KEY.graph.replaced(change_node(node, with_backward(node.operation, backward)))
    tensors = computed(graph, KEY.sources, precision, seed=0)
    cause = only_cause(diagnosis_of({name: tensors[f"grad/{name}"] for name in PARAMETERS}, precision))
    assert cause.name == name
    assert text in str(cause) or precision == "bfloat16"


ZEROS = {
    "tables": (
        lambda name: name.endswith("table"),
        "never-written",
        "all parameters named relative_position_bias_table",
    ),
    "norms": (lambda name: "norm" in name, "never-written", "all norms"),
    "first stage": (
        lambda name: not name.startswith(AFTER_STAGE_0),
        "gradient-detached",
        "all that comes before layers.0.downsample.reduction",
    ),
    "everything": (lambda _: True, "gradient-detached", "all that comes before head"),
}


@pytest.mark.parametrize("what", ZEROS)
def test_gradients_that_are_zero(what):
    is_zero, name, text = ZEROS[what]
    gradients = {name: array * (not is_zero(name)) for name, array in gradients_of_parameters().items()}
    diagnosis = diagnosis_of(gradients)
    cause = only_cause(diagnosis)
    assert cause.name == name
    assert text in str(cause)
    assert "times 0" not in str(diagnosis)


@pytest.mark.parametrize(("size", "is_zero"), [(1e-9, True), (1e-4, False)])
def test_rounding_errors_of_sums_that_are_zero_are_no_limit_of_clipping(size, is_zero):
    rng, gradients = np.random.default_rng(0), gradients_of_parameters()
    for name in (name for name in gradients if name.endswith("norm2.bias")):
        gradients[name] = size * rng.standard_normal(gradients[name].shape)
    diagnosis = diagnosis_of(gradients, others=right("float32"))
    assert "clipped" not in str(diagnosis)
    assert ("the gradients of all parameters named norm2.bias are 0" in str(diagnosis)) == is_zero
    assert len(diagnosis.causes) == is_zero


@pytest.mark.parametrize(
    ("is_scaled", "text"),
    [
        (
            lambda name: not name.startswith(AFTER_STAGE_0),
            "the gradient of layers.0.downsample.reduction, and all that follow from it, are multiplied by 0.7",
        ),
        (lambda name: name.startswith("layers.0."), "the gradients of all of layers.0 are multiplied by 0.7"),
    ],
    ids=["from a tensor on", "of a stage"],
)
def test_some_gradients_have_a_factor(is_scaled, text):
    gradients = {name: array * (0.7 if is_scaled(name) else 1) for name, array in gradients_of_parameters().items()}
    cause = only_cause(diagnosis_of(gradients), most_tried=2000)  # after all mistakes of the catalogue
    assert cause.name == "gradients-scaled"
    assert text in str(cause)


def test_one_gradient_that_is_a_mean():
    tensors = right("float32")
    name = "grad/layers.0.blocks.1.attn.qkv.bias"
    rows = tensors["layers.0.blocks.1.attn.qkv"][..., 0].size
    diagnosis = diagnose(KEY, tensors | {name: tensors[name] / rows})
    assert [cause.hypothesis.name for cause in diagnosis.causes] in (["linear-gradient"], ["factor"])
    assert "mean" in str(diagnosis)
    assert "leave out the factor" not in str(diagnosis)


def test_noise_in_one_gradient_is_no_factor():
    """A tensor that is off by 29 %, as sums of many bfloat16 numbers are, is no multiple of the right one."""
    tensors = right("float32")
    name = "grad/layers.0.blocks.1.norm1.weight"
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape)
    rms = float(np.sqrt(np.mean(tensors[name] ** 2)))
    found = (0.77 * tensors[name] + 0.15 * rms * noise).astype(np.float32)
    diagnosis = diagnose(KEY, tensors | {name: found})
    assert not diagnosis.causes, str(diagnosis)
    assert list(diagnosis.unexplained) == [name]


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_right_gradients_have_no_cause(precision):
    assert diagnosis_of(gradients_of_parameters(precision), precision).ok


@pytest.mark.parametrize("name", ["softmax-sum", "shortcut-gradient"])
def test_a_mistake_of_one_backward_pass_beside_a_cause_for_all_gradients(name):
    place = {"softmax-sum": "layers.1.blocks.0.attn.probabilities", "shortcut-gradient": "layers.0.blocks.1"}[name]
    changes = next(iter(mistake_named(name).plant(KEY.graph, place)))[1]
    tensors = computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=3)
    gradients = {parameter: 65536 * tensors[f"grad/{parameter}"] for parameter in PARAMETERS}
    forward = {part: array for part, array in tensors.items() if not part.startswith("grad/")}
    diagnosis = diagnosis_of(gradients, others=forward)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["loss-scale", name], str(diagnosis)
    gradients = {parameter: np.clip(tensors[f"grad/{parameter}"], -0.01, 0.01) for parameter in PARAMETERS}
    diagnosis = diagnosis_of(gradients, others=tensors)
    assert {cause.hypothesis.name for cause in diagnosis.causes} == {"gradients-clipped", name}, str(diagnosis)
    assert not diagnosis.unexplained


def test_a_mistake_of_one_backward_pass_keeps_its_name():
    """The pool's gradient is not divided: all gradients before it have the factor H W."""
    changes = next(iter(mistake_named("pool-gradient").plant(KEY.graph, "avgpool")))[1]
    tensors = computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=0)
    cause = only_cause(diagnosis_of({name: tensors[f"grad/{name}"] for name in PARAMETERS}), most_tried=2000)
    assert cause.name == "pool-gradient"
