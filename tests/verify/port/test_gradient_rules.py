"""One cause for all gradients of parameters: functions, norms, depth, other names, one buffer, micro-batches."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.key.golden import draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.port.gradient_images import weighted
from tests.thorough import some
from tests.verify.keys import SCALE, computed, random_model, right
from tests.verify.port.test_gradient_errors import KEY, PARAMETERS, diagnosis_of, gradients_of_parameters, only_cause

RIGHT = {name: np.asarray(array, np.float64) for name, array in gradients_of_parameters().items()}
NORMS = {name: float(np.linalg.norm(array)) for name, array in RIGHT.items()}
DEPTHS = {"patch_embed": 4, "layers.0": 3, "layers.1": 2, "layers.2": 1}


def transposed(g):
    return g.reshape(len(g), -1).T.reshape(g.shape) if g.ndim > 1 else g


def shifted():
    whole = np.roll(np.concatenate([RIGHT[name].reshape(-1) for name in PARAMETERS]), 3)
    ends = np.cumsum([RIGHT[name].size for name in PARAMETERS])[:-1]
    parts = np.split(whole, ends)
    return {name: part.reshape(RIGHT[name].shape) for name, part in zip(PARAMETERS, parts, strict=True)}


def exchanged(name):
    return name.replace("norm1", "norm2") if "norm1" in name else name.replace("norm2", "norm1")


def depth_of(name):
    return next((depth for prefix, depth in DEPTHS.items() if name.startswith(prefix)), 0)


def of_image(image):
    run = Run(KEY.graph, KEY.sources)
    wrong = type("Wrong", (), {"loss": KEY.graph.nodes["loss"]})
    changed = run.replaced(weighted(wrong, 2 * np.eye(2)[image]))
    return {name: changed.gradient(name) for name in PARAMETERS}


def masked(g, kept):
    return g * np.random.default_rng(g.size).choice([0.0, 1.0], g.shape, p=[1 - kept, kept])


# By name: (name of a parameter, its gradient) -> what is dumped, or all gradients; words of the cause.
RULES = {
    "adam": (lambda name, g: g / (np.abs(g) + 1e-3), "g / (|g| + 0.001)"),
    "relu": (lambda name, g: np.maximum(g, 0), "negative numbers of the gradients are 0"),
    "root": (lambda name, g: np.sign(g) * np.sqrt(np.abs(g)), "the root of each number"),
    "standardized": (lambda name, g: (g - g.mean()) / g.std(), "standardized"),
    "rows": (lambda name, g: g / np.linalg.norm(g, axis=-1, keepdims=True) if g.ndim > 1 else g, "divided by its norm"),
    "transposed": (lambda name, g: transposed(g), "transposed in memory"),
    "largest": (lambda name, g: g * (np.abs(g) >= np.quantile(np.abs(g), 0.8)), "its largest ones are kept"),
    "dropped": (lambda name, g: masked(g, 0.9), "here and there are 0"),
    "threshold": (lambda name, g: np.sign(g) * np.maximum(np.abs(g) - 0.001, 0), "nearer to 0 by 0.001"),
    "int8": (
        lambda name, g: np.rint(g / (m := np.abs(g).max(-1, keepdims=True) / 127)) * m, "8 bits, with a scale for each"
    ),
    "lars": (lambda name, g: g * np.linalg.norm(KEY.sources[name]) / NORMS[name], "1 ‖θ‖ / ‖g‖"),
    "layers": (lambda name, g: g * 0.7 ** depth_of(name), "by 0.7 once more from layer to layer"),
    "own factors": (lambda name, g: g * (1 + NORMS[name]), "a number of its own"),
    "norms exchanged": (lambda name, g: RIGHT[exchanged(name)], "under other parameters' names"),
    "tied": (lambda name, g: g + RIGHT[exchanged(name)] if exchanged(name) != name else g, "are added up"),
    "buffer": (shifted(), "read 3 numbers too early"),
}  # fmt: skip
SAMPLE = {"adam", "largest", "lars", "layers", "norms exchanged", "buffer"}


@pytest.mark.parametrize("name", some(list(RULES), SAMPLE))
def test_one_cause_for_all_gradients(name):
    rule, words = RULES[name]
    gradients = rule if isinstance(rule, dict) else {one: rule(one, g) for one, g in RIGHT.items()}
    cause = only_cause(diagnosis_of(gradients), most_tried=100)
    assert words in str(cause)


def test_the_gradients_of_the_last_micro_batch():
    """Those of activations are right."""
    gradients = {f"grad/{name}": array.astype(np.float32) for name, array in of_image(1).items()}
    cause = only_cause(diagnosis_of({}, others=right("float32") | gradients), most_tried=100)
    assert "those of image 1 of the batch alone, averaged over these" in str(cause)


def test_a_block_whose_other_tensors_are_right_is_called_by_its_name():
    """The name of a block's output begins those of its other tensors."""
    tensors = right("float32")
    names = ["grad/layers.0.blocks.0", "grad/layers.0.blocks.1"]
    diagnosis = diagnose(KEY, tensors | {name: tensors[name] * np.float32(0.7) for name in names})
    assert "0.7" in str(diagnosis.causes[0].hypothesis)


def test_noise_is_no_rule():
    rng = np.random.default_rng(1)
    some_names = [name for name in PARAMETERS if name.startswith(("norm.", "head."))]
    noisy = {name: RIGHT[name] + 0.2 * np.abs(RIGHT[name]).mean() * rng.standard_normal(RIGHT[name].shape)
             for name in some_names}  # fmt: skip
    diagnosis = diagnosis_of(noisy, others=right("float32"))
    assert not diagnosis.causes, str(diagnosis)
    assert all(name.startswith(GRADIENT_PREFIX) for name in diagnosis.unexplained)


def stepped(rate):
    """The gradients after a step of gradient descent."""
    changed = {name: KEY.sources[name] - rate * RIGHT[name] for name in PARAMETERS}
    run = Run(KEY.graph, {**KEY.sources, **changed})
    return {name: run.gradient(name) for name in PARAMETERS}


def mirrored():
    run = Run(KEY.graph, {**KEY.sources, "pixels": KEY.sources["pixels"][..., ::-1]})
    return {name: run.gradient(name) for name in PARAMETERS}


def test_gradients_of_the_step_before_are_added_to_those_of_norms():
    other = mirrored()
    gradients = {name: g + other[name] * ("norm" in name) for name, g in RIGHT.items()}
    cause = only_cause(diagnosis_of(gradients, others=right("float32")), most_tried=100)
    assert "those of the horizontally mirrored images, are still in the gradients of all norms" in str(cause)


def test_images_in_another_order_whose_gradients_are_the_same_are_no_other_step():
    """With one label for all images their order does not matter, and noise is not that of another step."""
    key = trace(random_model(), draw_pixels(0, 2, (10, 14)), np.array([1, 1]), normalization=SCALE)
    tensors = computed(key.graph, key.sources, "float32", seed=0)
    rng = np.random.default_rng(0)
    for name in [f"grad/{one}" for one in key.graph.parameters if one.endswith(("fc1.weight", "fc2.weight"))]:
        tensors[name] = tensors[name] * (1 + 5e-5 * rng.standard_normal(tensors[name].shape)).astype(np.float32)
    assert "another step" not in str(diagnose(key, tensors))


def test_gradients_after_a_step():
    cause = only_cause(diagnosis_of(stepped(0.01), others=right("float32")), most_tried=100)
    assert "with the weights after a step of rate 0.01, are in place of" in str(cause)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_each_gradient_is_clipped_by_itself(eps):
    limit = float(np.median(list(NORMS.values())))
    rounded_limit = float(f"{limit:.1g}")
    gradients = {name: g * min(1.0, rounded_limit / (NORMS[name] + eps)) for name, g in RIGHT.items()}
    cause = only_cause(diagnosis_of(gradients, others=right("float32")), most_tried=100)
    assert f"each parameter's gradient by itself is clipped to the norm {rounded_limit:.4g}" in str(cause)


def test_a_loss_scale_that_is_divided_out_for_some_parameters():
    scaled = {name: array * np.float32(128) for name, array in right("float32").items() if name.startswith("grad/")}
    gradients = {name: g if g.ndim > 1 and name.endswith(".weight") else 128 * g for name, g in RIGHT.items()}
    diagnosis = diagnosis_of(gradients, others=right("float32") | scaled)
    assert "of all weights with two or more axes are divided by it again" in str(diagnosis)
