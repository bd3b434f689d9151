"""Comparison: tolerances, verdicts, local errors."""

import ml_dtypes
import numpy as np
import pytest

from npswin.verify import compare, diagnose, trace
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import comparison_json, comparison_summary
from npswin.verify.port.distance import distance
from tests.thorough import some
from tests.verify.keys import candidate_of, computed, miniature_trace, mistake_named, random_model, right

SCORES = "layers.0.blocks.1.attn.scores"


@pytest.mark.parametrize("precision", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", some(range(5), {0}))
def test_a_right_port_agrees_in_every_precision(precision, seed):
    comparison = compare(miniature_trace(), right(precision, seed))
    assert comparison.precision == precision
    assert comparison.ok, str(comparison)
    assert comparison.not_dumped == 0
    assert "everything agrees, up to grad/" in str(comparison)


def test_the_tolerance_of_zeros_is_relative_to_the_inputs():
    """The softmax over a single key is 1 for any scores: their gradient is the difference of equal numbers."""
    model = random_model(window_size=1)
    images = np.random.default_rng(0).standard_normal((2, 3, 10, 14))
    key = trace(model, images, np.array([0, 1]))
    name = "grad/layers.0.blocks.0.attn.biased_scores"
    assert not key[name].any()
    upstream = np.abs(key["grad/layers.0.blocks.0.attn.probabilities"]).max()
    tensors = computed(key.graph, key.sources, "float32", 0)
    noise = np.random.default_rng(1).choice([-1, 1], key[name].shape).astype(np.float32)
    for size, verdict in ((2.0**-24, "agrees"), (1e-3, "WRONG HERE")):
        comparison = compare(key, tensors | {name: noise * np.float32(size * upstream)})
        assert {row.name: row.verdict for row in comparison.rows}[name] == verdict


@pytest.mark.parametrize("gain", [10, 20, 30])
def test_the_tolerance_behind_a_cancellation_is_relative_to_the_subtracted_numbers(gain):
    """The loss' gradient p - t has the fewer correct digits in float64, the nearer p is to 1."""
    model = random_model()
    model.params["head.weight"][...] *= gain
    images = np.random.default_rng(0).standard_normal((2, 3, 10, 14))
    logits = trace(model, images, np.array([0, 0]), backward=False)["head"]
    key = trace(model, images, logits.argmax(axis=1))
    largest = logits.max(axis=1, keepdims=True)
    p = np.exp(
        logits - (largest + np.log(np.exp(logits - largest).sum(axis=1, keepdims=True)))
    )  # as PyTorch computes it
    gradient = (p - np.eye(5)[logits.argmax(axis=1)]) / 2
    for wrong, verdict in ((1.0, "agrees"), (1.5, "WRONG HERE")):
        rows = compare(key, {"head": logits, "grad/head": gradient * wrong}, "float64").rows
        found = {row.name: row for row in rows}["grad/head"]
        assert found.verdict == verdict, (np.abs(key["grad/head"]).max(), found)


def test_one_tensor_is_wrong_here_and_later_ones_inherit_the_error():
    key = miniature_trace()
    wrong = key.tensors[SCORES] * 1.001
    sources = key.sources
    graph_run = computed(key.graph, sources)

    later = Run(key.graph, sources | {SCORES: wrong})
    tensors = {name: later.value(name) for name in graph_run if not name.startswith("grad/")}
    comparison = compare(key, tensors)
    verdicts = {row.name: row.verdict for row in comparison.rows}
    assert verdicts[SCORES] == "WRONG HERE"
    assert verdicts["layers.0.blocks.1.attn.biased_scores"] == "inherited"
    assert verdicts["head"] == "inherited"
    assert verdicts["layers.0.blocks.1.attn.k"] == "agrees"
    assert [row.name for row in comparison.local_errors()] == [SCORES]
    assert comparison.first_error().name == SCORES
    assert f"everything up to layers.0.blocks.1.attn.q_scaled agrees; the first tensor that does not is {SCORES}" in (
        comparison_summary(comparison)
    )


def test_a_local_error_below_the_tolerance_from_the_key_is_found():
    """The local tolerance is smaller, as it has no rounding errors of earlier operations."""
    key = miniature_trace()
    tensors = right("bfloat16", 1)
    name = "layers.1.blocks.1.attn.q_scaled"
    tensors[name] = tensors[name] * np.float32(1.05)
    comparison = compare(key, tensors, "bfloat16")
    assert comparison.local_errors()[0].name == name


@pytest.mark.parametrize("seed", some(range(5), {0}))
def test_one_wrong_number_among_many_is_found(seed):
    tensors = right("float32", seed)
    array = tensors["layers.0.blocks.0.mlp.fc1"].copy()
    array[1, 2, 3, 4] += 0.01
    tensors["layers.0.blocks.0.mlp.fc1"] = array
    row = compare(miniature_trace(), tensors).first_error()
    assert row.name == "layers.0.blocks.0.mlp.fc1"
    assert row.local_distance.where == (1, 2, 3, 4)


def test_any_subset_can_be_compared():
    tensors = right("float32")
    few = {name: tensors[name] for name in ("head", "layers.0.blocks.0", "grad/head.weight")}
    comparison = compare(miniature_trace(), few)
    assert comparison.ok
    assert [row.name for row in comparison.rows] == ["layers.0.blocks.0", "head", "grad/head.weight"]
    few["head"] = few["head"] * 1.001
    comparison = compare(miniature_trace(), few)
    assert [row.name for row in comparison.local_errors()] == ["head"]


def test_parameters_of_the_port_are_compared_too():
    tensors = right("float32")
    weight = miniature_trace().tensors["layers.0.blocks.0.mlp.fc1.weight"]
    comparison = compare(miniature_trace(), tensors | {"layers.0.blocks.0.mlp.fc1.weight": weight[::-1]})
    assert comparison.local_errors()[0].name == "layers.0.blocks.0.mlp.fc1.weight"


def test_shapes_nan_and_unreadable_tensors_have_verdicts_of_their_own():
    nan = right("float32")["norm"].copy()
    nan[0, 0, 0, 0] = np.nan
    tensors = {"norm": nan, "avgpool": np.full((2, 16), np.nan, np.float32), "head": np.ones((5, 2), np.float32)}
    tensors["layers.0.blocks.0"] = np.ones((1000, 1000), np.float32)
    rows = {row.name: row for row in compare(miniature_trace(), tensors).rows}
    assert rows["norm"].verdict == "NOT FINITE"
    assert "1 of 128 numbers are NaN or infinite" in rows["norm"].note
    assert rows["head"].verdict == "SHAPE"
    assert rows["head"].note == "shape 5×2, the key has 2×5: B, classes"
    assert rows["layers.0.blocks.0"].verdict == "UNREADABLE"
    comparison = compare(miniature_trace(), tensors)
    assert not comparison.ok
    assert "NaN" not in str(comparison_json(comparison)).replace("are NaN or", "")


def test_nan_that_comes_from_nan_is_inherited():
    tensors = right("float32")
    tensors["norm"] = tensors["norm"].copy()
    tensors["norm"][0, 0, 0, 0] = np.nan
    tensors["avgpool"] = tensors["norm"].mean(axis=(1, 2))
    verdicts = {row.name: row.verdict for row in compare(miniature_trace(), tensors).rows}
    assert (verdicts["norm"], verdicts["avgpool"]) == ("NOT FINITE", "inherited")


def test_an_unreadable_tensor_is_no_divergence():
    tensors = {"layers.0.blocks.0": np.ones((1000, 1000), np.float32), "norm": right("float32")["norm"]}
    comparison = compare(miniature_trace(), tensors)
    assert not comparison.ok
    summary = comparison_summary(comparison)
    assert "forward: everything agrees, up to norm" in summary
    assert "could not be read: layers.0.blocks.0" in summary
    assert "wrong here" not in summary


def test_equal_infinities_have_no_distance():
    assert distance(np.array([-np.inf, 1.0]), np.array([-np.inf, 1.0])).largest == 0
    assert distance(np.array([np.inf, 1.0]), np.array([-np.inf, 1.0])).largest == np.inf
    assert distance(np.array([np.nan]), np.array([1.0])).relative == np.inf


def test_distances():
    found = distance(np.array([[3.0, 4.0]]), np.array([[3.0, 5.0]]))
    assert found.largest == 1
    assert found.where == (0, 1)
    assert (found.wrong, found.right) == (4.0, 5.0)
    assert found.relative == pytest.approx(np.sqrt(1 / 34))
    assert found.cosine == pytest.approx((9 + 20) / (5 * np.sqrt(34)))
    assert distance(np.zeros(3), np.zeros(3)).relative == 0
    assert distance(np.full(2, 1e200), np.full(2, 1e200)).cosine == pytest.approx(1)


def test_tolerances_shrink_with_the_precision_and_grow_with_depth():
    key = miniature_trace()
    sizes = {}
    for precision in ("float64", "float32", "float16", "bfloat16"):
        rows = {row.name: row.tolerance.relative for row in compare(key, right(precision)).rows}
        sizes[precision] = rows["head"]
        assert rows["input"] < rows["head"]
    assert sizes["float64"] < 1e-6 * sizes["float32"]
    assert sizes["float32"] < 1e-3 * sizes["float16"]
    assert sizes["float16"] < sizes["bfloat16"] < 0.5


def test_bfloat16_arrays_can_be_compared():
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in right("bfloat16").items()}
    comparison = compare(miniature_trace(), tensors)
    assert comparison.precision == "bfloat16"
    assert comparison.ok


def test_the_precision_of_a_mixed_port_is_the_coarser_one():
    """As under autocast: norms and softmax in float32, products in bfloat16."""
    tensors = right("bfloat16", 1)
    fine = right("float32", 1)
    mixed = {name: fine[name] if "norm" in name else array for name, array in tensors.items() if "grad/" not in name}
    assert compare(miniature_trace(), mixed).precision == "bfloat16"


def test_one_coarse_tensor_does_not_change_the_tolerances_of_the_others():
    key = miniature_trace()
    planted = mistake_named("gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    tensors["patch_embed.norm"] = tensors["patch_embed.norm"].astype(np.float16)
    comparison = compare(key, tensors)
    assert comparison.precision == "float32"
    assert comparison.first_error().name == "layers.0.blocks.0.mlp.act"
    assert comparison.local_errors()[0].name.endswith("mlp.act")


@pytest.mark.parametrize("seed", some(range(12), {0, 1, 2}))
def test_a_key_in_float32_agrees_with_itself(seed):
    """Also behind cancellations."""
    model = random_model(seed, "float32", embed_dim=2, num_heads=(1, 1, 1))
    images = np.random.default_rng(seed).standard_normal((2, 3, 10, 14)).astype(np.float32)
    key = trace(model, images, np.array([1, 0]))
    assert compare(key, dict(key.tensors) | {f"grad/{name}": array for name, array in key.grads.items()}).ok


def test_a_wrong_port_of_a_model_whose_mask_is_infinite_does_not_agree():
    model = random_model(mask_value=float("-inf"))
    key = trace(model, np.random.default_rng(0).standard_normal((2, 3, 10, 14)), np.array([0, 1]))
    tensors = computed(key.graph, key.sources, "float32", seed=0)
    assert compare(key, tensors).ok
    rows = compare(key, {"head": tensors["head"] * np.float32(-2)}).rows
    assert not rows[0].ok
    assert np.isfinite(rows[0].tolerance.relative)


def test_nan_in_place_of_an_infinite_mask_is_not_finite():
    """As from 0 · -inf. The correct mask is infinite there, but not NaN."""
    model = random_model(mask_value=float("-inf"))
    key = trace(model, np.random.default_rng(0).standard_normal((2, 3, 10, 14)), np.array([0, 1]), backward=False)
    tensors = {name: key[name].astype(np.float32) for name in key.graph.computed}
    name = "layers.0.blocks.1.attn.mask"
    assert {row.verdict for row in compare(key, tensors).rows} == {"agrees"}
    wrong = np.where(np.isinf(tensors[name]), tensors[name], np.float32("nan"))
    verdicts = {row.name: row.verdict for row in compare(key, tensors | {name: wrong}).rows}
    assert verdicts[name] == "NOT FINITE"


def test_labels_in_a_dump_do_not_change_the_loss():
    tensors = {"labels": miniature_trace()["labels"].astype(np.float32), **right("float32")}
    tensors["loss"] = tensors["loss"] * np.float32(1.01)
    comparison = compare(miniature_trace(), tensors)
    assert [row.name for row in comparison.local_errors()] == ["loss"]


def test_a_dump_of_weights_alone_does_not_agree():
    comparison = compare(miniature_trace(), {"head.weight": miniature_trace()["head.weight"]})
    assert not comparison.ok
    assert "nothing that the port computed was compared" in str(comparison)


def test_a_given_precision_is_used():
    tensors = {name: array.astype(np.float64) + 0 for name, array in right("float32").items()}
    assert compare(miniature_trace(), tensors, "bfloat16").precision == "bfloat16"
    assert not compare(miniature_trace(), tensors, "float64").ok


def test_a_port_whose_products_have_the_digits_of_tf32():
    key = miniature_trace()
    tensors = {name: array for name, array in right("tf32", 1).items() if "grad/" not in name}
    assert not compare(key, tensors, "float32").ok
    assert compare(key, tensors, "tf32").ok


@pytest.mark.parametrize(
    ("name", "place"), [("gelu-tanh", "layers.0.blocks.0.mlp.act"), ("norm-eps", "layers.0.blocks.0.norm1")]
)
def test_tf32_has_the_tolerance_of_float32_without_a_matrix_product(name, place):
    key = miniature_trace()
    mistake = mistake_named(name)
    run = Run(key.graph.replaced(next(iter(mistake.plant(key.graph, place)))[1]), key.sources, Arithmetic("tf32", 1))
    comparison = compare(key, {name: run.value(name) for name in key.graph.computed}, "tf32")
    assert [row.name for row in comparison.local_errors()] == [place]


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("seed", "changes"),
    list(
        enumerate(
            [
                {"window_size": 4, "img_size": (26, 18)},
                {"ape": True},
                {"position_bias": "shared", "embed_dim": 6, "num_heads": (2, 2, 3)},
            ]
        )
    ),
)
def test_a_larger_batch_and_other_models(seed, changes, precision):
    model = random_model(seed, **changes)
    size = model.config["img_size"]
    images = np.random.default_rng(seed).standard_normal((3, 3, *size))
    key = trace(model, images, np.array([0, 1, 2]))
    tensors = computed(key.graph, key.sources, precision, seed)
    assert Comparer(key, candidate_of(tensors, key.shapes)).compare().ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": None}, "^key: got None, expected a path"),
        ({"dump": 3}, "^dump: got 3, expected a path"),
        ({"dump": {"head": np.ma.zeros((2, 5))}}, r"^dump\['head'\]: got .*its mask would be ignored"),
        ({"dump": {}}, "^dump: no tensor of the key's names"),
        ({"precision": "half"}, "^precision: got 'half', expected one of 'float64'"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    for function in (compare, diagnose):
        with pytest.raises(ValueError, match=message):
            function(**{"key": miniature_trace(), "dump": {"head": np.zeros((2, 5))}, **change})


@pytest.mark.parametrize("wrong", [None, 1, "backward"])
def test_the_pass_of_rows_is_a_flag(wrong):
    comparison = compare(miniature_trace(), {"head": np.zeros((2, 5))})
    for method in (comparison.rows_of_pass, comparison.first_error):
        with pytest.raises(ValueError, match=r"^backward: got .*, expected True or False"):
            method(wrong)
