"""Tolerances, verdicts, births."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from npswin.verify import compare, diagnose, trace
from npswin.verify.graph import Run
from npswin.verify.mistakes import CATALOGUE
from npswin.verify.port.comparison import Comparer
from npswin.verify.port.diagnosis import diagnose as search
from npswin.verify.port.measure import distance
from npswin.verify.port.report import comparison_json, comparison_summary, diagnosis_json
from tests.verify.keys import candidate_of, computed, lively, miniature_trace

SCORES = "layers.0.blocks.1.attn.scores"


def right(precision="float64", seed=0, **changes):
    """What a correct port dumps, with some tensors put in the place of its own."""
    key = miniature_trace()
    return computed(key.graph, key.sources, precision, seed) | changes


@pytest.mark.parametrize("precision", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", range(5))
def test_a_right_port_agrees_in_every_precision(precision, seed):
    comparison = compare(miniature_trace(), right(precision, seed))
    assert comparison.precision == precision
    assert comparison.ok, str(comparison)
    assert comparison.not_dumped == 0
    assert "everything agrees, up to grad/" in str(comparison)


def test_a_tensor_of_zeros_is_judged_by_what_it_is_made_of():
    """The softmax over a single key is 1 whatever the scores are: their gradient is the difference of equal numbers."""
    model = lively(window_size=1)
    images = np.random.default_rng(0).standard_normal((2, 3, 12, 10))
    key = trace(model, images, np.array([0, 1]))
    name = "grad/layers.0.blocks.0.attn.biased_scores"
    assert not key[name].any()
    upstream = np.abs(key["grad/layers.0.blocks.0.attn.probabilities"]).max()
    tensors = computed(key.graph, key.sources, "float32", 0)
    noise = np.random.default_rng(1).choice([-1, 1], key[name].shape).astype(np.float32)
    for size, verdict in ((2.0**-24, "agrees"), (1e-3, "BORN HERE")):
        comparison = compare(key, tensors | {name: noise * np.float32(size * upstream)})
        assert {row.name: row.verdict for row in comparison.rows}[name] == verdict


def test_an_error_is_born_once_and_inherited_after():
    key = miniature_trace()
    wrong = key.tensors[SCORES] * 1.001
    sources = key.sources
    graph_run = computed(key.graph, sources)

    later = Run(key.graph, sources | {SCORES: wrong})
    tensors = {name: later.value(name) for name in graph_run if not name.startswith("grad/")}
    comparison = compare(key, tensors)
    verdicts = {row.name: row.verdict for row in comparison.rows}
    assert verdicts[SCORES] == "BORN HERE"
    assert verdicts["layers.0.blocks.1.attn.biased_scores"] == "inherited"
    assert verdicts["head"] == "inherited"
    assert verdicts["layers.0.blocks.1.attn.k"] == "agrees"
    assert [row.name for row in comparison.births()] == [SCORES]
    assert comparison.first().name == SCORES
    assert f"everything up to layers.0.blocks.1.attn.q_scaled agrees; the first tensor that does not is {SCORES}" in (
        comparison_summary(comparison)
    )


def test_an_error_below_what_is_inherited_is_seen_against_the_ports_own_inputs():
    """One number of one tensor, off by a tenth of the rounding that has come together by then."""
    key = miniature_trace()
    tensors = right("bfloat16", 1)
    name = "layers.1.blocks.1.attn.q_scaled"
    tensors[name] = tensors[name] * np.float32(1.05)
    comparison = compare(key, tensors, "bfloat16")
    assert comparison.births()[0].name == name


def test_one_wrong_number_among_many_is_seen():
    for seed in range(5):
        tensors = right("float32", seed)
        array = tensors["layers.0.blocks.0.mlp.fc1"].copy()
        array[1, 2, 3, 4] += 0.01
        tensors["layers.0.blocks.0.mlp.fc1"] = array
        row = compare(miniature_trace(), tensors).first()
        assert row.name == "layers.0.blocks.0.mlp.fc1"
        assert row.local.where == (1, 2, 3, 4)


def test_any_subset_will_do():
    tensors = right("float32")
    few = {name: tensors[name] for name in ("head", "layers.0.blocks.0", "grad/head.weight")}
    comparison = compare(miniature_trace(), few)
    assert comparison.ok
    assert [row.name for row in comparison.rows] == ["layers.0.blocks.0", "head", "grad/head.weight"]
    few["head"] = few["head"] * 1.001
    comparison = compare(miniature_trace(), few)
    assert [row.name for row in comparison.births()] == ["head"]


def test_parameters_of_the_port_are_compared_too():
    tensors = right("float32")
    weight = miniature_trace().tensors["layers.0.blocks.0.mlp.fc1.weight"]
    comparison = compare(miniature_trace(), tensors | {"layers.0.blocks.0.mlp.fc1.weight": weight[::-1]})
    assert comparison.births()[0].name == "layers.0.blocks.0.mlp.fc1.weight"


def test_shapes_nan_and_unreadable_tensors_have_verdicts_of_their_own():
    nan = right("float32")["norm"].copy()
    nan[0, 0, 0, 0] = np.nan
    tensors = {"norm": nan, "avgpool": np.full((2, 12), np.nan, np.float32), "head": np.ones((5, 2), np.float32)}
    tensors["layers.0.blocks.0"] = np.ones((1000, 1000), np.float32)
    rows = {row.name: row for row in compare(miniature_trace(), tensors).rows}
    assert rows["norm"].verdict == "NOT FINITE"
    assert "1 of 216 numbers are NaN or infinite" in rows["norm"].note
    assert rows["head"].verdict == "SHAPE"
    assert rows["head"].note == "shape 5×2, the key has 2×5: B, classes"
    assert rows["layers.0.blocks.0"].verdict == "UNREADABLE"
    comparison = compare(miniature_trace(), tensors)
    assert not comparison.ok
    assert "NaN" not in str(comparison_json(comparison)).replace("are NaN or", "")


def test_infinity_where_infinity_should_be_is_right():
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


def test_bfloat16_arrays_are_taken_as_they_are():
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in right("bfloat16").items()}
    comparison = compare(miniature_trace(), tensors)
    assert comparison.precision == "bfloat16"
    assert comparison.ok


def test_a_port_of_mixed_precision_is_judged_by_the_coarser_one():
    """As under autocast: norms and softmax in float32, products in bfloat16."""
    tensors = right("bfloat16", 1)
    fine = right("float32", 1)
    mixed = {name: fine[name] if "norm" in name else array for name, array in tensors.items() if "grad/" not in name}
    assert compare(miniature_trace(), mixed).precision == "bfloat16"


def test_one_coarse_tensor_does_not_loosen_the_others():
    key = miniature_trace()
    planted = next(mistake for mistake in CATALOGUE if mistake.name == "gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    tensors["patch_embed.norm"] = tensors["patch_embed.norm"].astype(np.float16)
    comparison = compare(key, tensors)
    assert comparison.precision == "float32"
    assert comparison.first().name == "layers.0.blocks.0.mlp.act"
    assert comparison.births()[0].name.endswith("mlp.act")


def test_a_wrong_port_of_a_model_whose_mask_is_infinite_does_not_agree():
    model = lively(mask_value=float("-inf"))
    key = trace(model, np.random.default_rng(0).standard_normal((2, 3, 12, 10)), np.array([0, 1]))
    tensors = computed(key.graph, key.sources, "float32", seed=0)
    assert compare(key, tensors).ok
    rows = compare(key, {"head": tensors["head"] * np.float32(-2)}).rows
    assert not rows[0].ok
    assert np.isfinite(rows[0].tolerance.relative)


def test_labels_in_a_dump_do_not_move_the_loss():
    tensors = {"labels": miniature_trace()["labels"].astype(np.float32), **right("float32")}
    tensors["loss"] = tensors["loss"] * np.float32(1.01)
    comparison = compare(miniature_trace(), tensors)
    assert [row.name for row in comparison.births()] == ["loss"]


def test_a_tensor_on_the_edge_of_its_tolerance_ends_the_search():
    key = miniature_trace()
    planted = next(mistake for mistake in CATALOGUE if mistake.name == "linear-bias-missing")
    _, changes = next(iter(planted.plant(key.graph, "head")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    noise = np.random.default_rng(0).standard_normal(tensors["head"].shape)
    for size in (3e-7, 6e-7, 1e-6, 2e-6, 4e-6):
        moved = tensors | {"head": (tensors["head"] * (1 + size * noise)).astype(np.float32)}
        diagnosis = diagnose(key, {name: array for name, array in moved.items() if "grad/" not in name})
        assert len(diagnosis.causes) <= 2


def test_weights_alone_are_no_computation():
    comparison = compare(miniature_trace(), {"head.weight": miniature_trace()["head.weight"]})
    assert not comparison.ok
    assert "nothing that the port computed was compared" in str(comparison)


def test_a_precision_that_is_given_is_taken():
    tensors = {name: array.astype(np.float64) + 0 for name, array in right("float32").items()}
    assert compare(miniature_trace(), tensors, "bfloat16").precision == "bfloat16"
    assert not compare(miniature_trace(), tensors, "float64").ok


def test_a_port_whose_products_have_the_digits_of_tf32():
    key = miniature_trace()
    tensors = {name: array for name, array in right("tf32", 1).items() if "grad/" not in name}
    assert not compare(key, tensors, "float32").ok
    assert compare(key, tensors, "tf32").ok


def test_a_scaled_tensor_is_none_of_the_catalogue_but_its_factor_is_told():
    key = miniature_trace()
    tensors = right("float32")
    tensors = {name: array for name, array in tensors.items() if not name.startswith("grad/")}
    tensors["head"] = tensors["head"] * np.float32(0.75)
    tensors.pop("loss")
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["factor"]
    assert "by 0.75" in str(diagnosis)


def test_what_no_mistake_makes_is_said_to_be_none_of_the_catalogue():
    key = miniature_trace()
    tensors = right("float32")
    noise = np.random.default_rng(0).standard_normal(tensors["norm"].shape).astype(np.float32)
    tensors["norm"] = tensors["norm"] + noise
    diagnosis = diagnose(key, tensors)
    assert not diagnosis.causes
    assert next(iter(diagnosis.unexplained)) == "norm"
    assert "none of the catalogue makes norm of the port's own inputs" in str(diagnosis)
    assert "norm" in diagnosis_json(diagnosis)["unexplained"]


def test_two_causes_in_one_unit_that_was_dumped_as_a_whole():

    key = miniature_trace()
    changes = {}
    for name, place in (
        ("gelu-tanh", "layers.0.blocks.0.mlp.act"),
        ("scale-missing", "layers.0.blocks.0.attn.q_scaled"),
    ):
        mistake = next(mistake for mistake in CATALOGUE if mistake.name == name)
        changes |= next(iter(mistake.plant(key.graph, place)))[1]
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    dumped = {name: tensors[name] for name in ("patch_embed.norm", "layers.0.blocks.0", "layers.0.blocks.1", "head")}
    diagnosis = diagnose(key, dumped)
    assert [sorted(cause.hypothesis.name.split(" + ")) for cause in diagnosis.causes] == [
        ["gelu-tanh", "scale-missing"]
    ]


def test_a_forward_mistake_that_the_backward_pass_does_not_make():
    """As in a port whose backward pass is written by hand: its derivative is the right operation's."""
    key = miniature_trace()

    mistake = next(mistake for mistake in CATALOGUE if mistake.name == "gelu-tanh")
    _, changes = next(iter(mistake.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    wrong = computed(key.graph.replaced(changes), key.sources)
    forward = {name: array for name, array in wrong.items() if not name.startswith("grad/")}
    run = Run(key.graph, key.sources | forward)
    for name in key.graph.backward_order():
        forward["grad/" + name] = run.gradient(name)
    diagnosis = diagnose(key, forward)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["gelu-tanh", "right-backward"]
    assert "the backward pass is the right one" in str(diagnosis)


def test_a_comparison_leaves_the_candidate_as_it_was():
    tensors = right("float32")
    before = {name: array.copy() for name, array in tensors.items()}
    diagnose(miniature_trace(), tensors | {"head": tensors["head"] * 2})
    assert all(np.array_equal(tensors[name], before[name]) for name in tensors)


def test_a_larger_batch_and_other_models():
    for seed, changes in enumerate(
        ({"window_size": 4, "img_size": (26, 18)}, {"ape": True}, {"position_bias": "shared"})
    ):
        model = lively(seed, **changes)
        size = model.config["img_size"]

        images = np.random.default_rng(seed).standard_normal((3, 3, *size))
        key = trace(model, images, np.array([0, 1, 2]))
        for precision in ("float32", "bfloat16"):
            tensors = computed(key.graph, key.sources, precision, seed)
            assert Comparer(key, candidate_of(tensors, key.shapes)).compare().ok


def test_a_tensor_that_is_never_written():
    for name in ("grad/layers.0.blocks.1.attn.proj.bias", "layers.1.blocks.0.attn.q"):
        tensors = right("float32")
        tensors = tensors if name.startswith("grad/") else {n: a for n, a in tensors.items() if "grad/" not in n}
        diagnosis = diagnose(miniature_trace(), tensors | {name: np.zeros_like(tensors[name])})
        assert diagnosis.causes[0].hypothesis.name == "never-written"
        assert diagnosis.causes[0].symptom == name


def test_a_port_of_one_block_that_starts_from_the_key():
    """Its input and the gradient of its output are the key's; between them it makes a mistake."""
    key, block = miniature_trace(), "layers.0.blocks.1"
    planted = next(mistake for mistake in CATALOGUE if mistake.name == "gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, f"{block}.mlp.act")))
    start = {name: key[name] for name in ("layers.0.blocks.0", f"grad/{block}")}
    run = Run(key.graph.replaced(changes), key.sources | start)
    names = [name for name in key.shapes if block in name and name not in key.sources]
    dumped = {name: run.value(name).astype(np.float32) for name in [*names, "layers.0.blocks.0"]}
    comparison = compare(key, dumped)
    assert {row.name: row.note for row in comparison.rows}[f"grad/{block}"].startswith("taken from the key")
    assert comparison.births()[0].name == f"{block}.mlp.act"
    diagnosis = diagnose(key, dumped)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["gelu-tanh"]
    assert not diagnosis.unexplained


MAPS = ("patch_embed.proj", "layers.0.blocks.0.norm1", "layers.0.blocks.0", "norm")


@pytest.mark.parametrize(
    ("dump", "words"),
    [
        (lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)), "its axes are B, C, H, W; the key's are B, H, W, C"),
        (
            lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)).reshape(a.shape),
            "its memory is laid out as B, C, H, W; the key's as B, H, W, C",
        ),
        (lambda a: a.byteswap(), "its bytes are big-endian"),
    ],
)
def test_maps_that_are_dumped_in_another_way(dump, words):
    tensors = right("float32")
    with np.errstate(all="ignore"):
        diagnosis = diagnose(miniature_trace(), tensors | {name: dump(tensors[name]) for name in MAPS})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["layout"], str(diagnosis)
    assert words in str(diagnosis)
    assert set(diagnosis.causes[0].places) == set(MAPS)
    assert not diagnosis.unexplained


def test_a_mistake_behind_a_dump_in_another_layout():
    """The layout is understood first, and then the mistake."""
    key = miniature_trace()
    planted = next(mistake for mistake in CATALOGUE if mistake.name == "gelu-tanh")
    _, changes = next(iter(planted.plant(key.graph, "layers.0.blocks.0.mlp.act")))
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    tensors |= {name: np.ascontiguousarray(tensors[name].transpose(0, 3, 1, 2)) for name in MAPS}
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["layout", "gelu-tanh"], str(diagnosis)


def test_a_tensor_under_anothers_name():
    tensors = right("float32")
    diagnosis = diagnose(miniature_trace(), tensors | {"layers.0.blocks.0.norm1": tensors["layers.0.blocks.0.norm2"]})
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mislabelled"], str(diagnosis)
    assert "it holds the numbers of layers.0.blocks.0.norm2" in str(diagnosis)
    assert not diagnosis.unexplained


def test_a_mask_of_minus_infinity_is_named():
    key = miniature_trace()
    tensors = {name: array for name, array in right("float32").items() if "grad/" not in name}
    for name in ("mask", "masked_scores"):
        name = f"layers.0.blocks.1.attn.{name}"
        tensors[name] = np.where(tensors[name] < -50, np.float32(-np.inf), tensors[name])
    diagnosis = diagnose(key, tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["mask-value"], str(diagnosis)
    assert "-inf rather than -100" in str(diagnosis)


def test_nothing_but_noise_ends_soon():
    """A port that has nothing in common with the key: a few symptoms are looked at, and no more."""
    rng = np.random.default_rng(0)
    noise = {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in right().items()}
    diagnosis = diagnose(miniature_trace(), noise)
    assert 0 < len(diagnosis.unexplained) <= 5
    assert len(str(diagnosis).splitlines()) < 25


def test_a_search_ends_when_its_time_is_over(monkeypatch):
    """The clock moves on by a second whenever it is looked at."""
    key = miniature_trace()
    mistake = next(one for one in CATALOGUE if one.name == "scale-missing")
    changes = next(iter(mistake.plant(key.graph, "layers.0.blocks.0.attn.q_scaled")))[1]
    logits = Run(key.graph.replaced(changes), key.sources).value("head")
    clock = itertools.count()
    monkeypatch.setattr("npswin.verify.port.diagnosis.time.monotonic", lambda: next(clock))
    found = search(Comparer(key, candidate_of({"head": logits}, key.shapes)), seconds=20)
    assert found.late
    assert 10 < found.tried < 20
    assert not found.ok
    assert "the time was over before the search was: dump more tensors" in str(found)
