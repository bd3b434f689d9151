"""In which precision each tensor of a port is judged."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from npswin.verify import compare, trace
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import transform_output
from npswin.verify.port.comparison import comparison_json
from tests.verify.keys import computed, miniature_trace, mistake_named, random_model, right

NORM = "layers.0.blocks.0.norm2"


def in_half_precision(key, names, precision="float16"):
    """Changes of a graph after which the results of some operations are rounded."""
    round_it = lambda y: (rounded(np.float32(y), precision), None), lambda dy, _: dy
    nodes = [key.graph.nodes[name] for name in names]
    return {node.name: replace(node, operation=transform_output(node.operation, round_it)) for node in nodes}


def forward_of(key, changes, precision="float32"):
    run = Run(key.graph.replaced(changes), key.sources, Arithmetic(precision))
    return {name: run.value(name) for name in key.graph.computed}


def norms(key):
    return [name for name, node in key.graph.nodes.items() if node.operation and node.operation.name == "layer_norm"]


def test_norms_in_half_precision_do_not_hide_a_gelu():
    """All norms of a float32 port in half precision, and another GELU everywhere."""
    key = miniature_trace()
    changes = in_half_precision(key, norms(key))
    for name in key.graph.nodes:
        if name.endswith("mlp.act"):
            changes |= next(iter(mistake_named("gelu-tanh").plant(key.graph, name)))[1]
    comparison = compare(key, forward_of(key, changes))
    assert comparison.precision == "float32"
    wrong = [row.name for row in comparison.local_errors()]
    assert {name for name in key.graph.nodes if name.endswith("mlp.act")} <= set(wrong)
    assert set(wrong) <= {*norms(key), *(name for name in wrong if name.endswith("mlp.act"))}
    assert "tensors hold float16 numbers: patch_embed.norm" in str(comparison)


def test_a_norm_in_half_precision_is_the_only_error_and_is_stated():
    key = miniature_trace()
    comparison = compare(key, forward_of(key, in_half_precision(key, [NORM])))
    assert [row.name for row in comparison.local_errors()] == [NORM]
    assert "computed in float16: its result is rounded to float16; holds float16 numbers" in str(comparison)
    assert "1 tensor holds float16 numbers" in str(comparison)
    assert comparison_json(comparison)["other_precisions"] == {NORM: "float16"}


def test_a_product_in_bfloat16_within_a_float32_port():
    key = miniature_trace()
    name = "layers.0.blocks.0.mlp.fc1"
    comparison = compare(key, forward_of(key, in_half_precision(key, [name], "bfloat16")))
    assert comparison.precision == "float32"
    assert [row.name for row in comparison.local_errors()] == [name]


def test_a_tensor_that_was_rounded_when_it_was_dumped_is_no_error():
    """The tensors after it were computed from its numbers before they were rounded."""
    tensors = forward_of(miniature_trace(), {})
    tensors[NORM] = tensors[NORM].astype(np.float16)
    comparison = compare(miniature_trace(), tensors)
    assert comparison.ok, str(comparison)
    assert "1 tensor holds float16 numbers" in str(comparison)
    assert {row.name: row.note for row in comparison.rows}[NORM] == "holds float16 numbers"


def test_several_tensors_that_were_rounded_when_they_were_dumped():
    """Some follow from the others as they are: windows from a norm."""
    tensors = forward_of(miniature_trace(), {})
    names = [name for name in tensors if name.endswith(("norm1", "padded", "shifted", "windows", "scores"))]
    comparison = compare(miniature_trace(), tensors | {name: tensors[name].astype(np.float16) for name in names})
    assert comparison.ok, str(comparison)
    assert f"{len(names)} tensors hold float16 numbers" in str(comparison)


def test_a_branch_in_half_precision():
    """Attention in half precision within a float32 port: the first of its tensors is wrong, and those after it."""
    key = miniature_trace()
    names = [f"layers.0.blocks.1.attn.{part}" for part in ("qkv", "probabilities", "proj")]
    tensors = forward_of(key, in_half_precision(key, names))
    comparison = compare(key, tensors)
    assert [row.name for row in comparison.local_errors()] == names
    modules = {
        name: tensors[name] for name in tensors if name.endswith(("norm1", "norm2", "fc1", "fc2")) or name in names
    }
    assert [row.name for row in compare(key, modules).local_errors()] == names


def test_weights_in_16_bits_are_stated_and_do_not_show_the_ports_precision():
    key = miniature_trace()
    names = [name for name in key.graph.parameters if name.endswith("mlp.fc1.weight")]
    weights = {name: np.float32(key[name]).astype(np.float16) for name in names}
    comparison = compare(key, forward_of(key, {}) | weights)
    assert comparison.precision == "float32"
    assert {row.name: row.note for row in comparison.rows}[names[0]] == "holds float16 numbers"
    assert f"{len(names)} tensors hold float16 numbers: {names[0]}" in str(comparison)


def test_with_a_given_precision_every_tensor_has_to_be_in_it():
    tensors = forward_of(miniature_trace(), {})
    tensors[NORM] = tensors[NORM].astype(np.float16)
    comparison = compare(miniature_trace(), tensors, "float32")
    assert comparison.first_error().name == NORM
    assert "holds float16 numbers" in comparison.first_error().note


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dumped_as", ["16 bits", "float32"])
def test_a_dump_of_ten_logits_is_judged_in_its_precision(dtype, dumped_as):
    precision = np.dtype(dtype).name
    head = right(precision, 1)["head"].astype(dtype)
    comparison = compare(miniature_trace(), {"head": head if dumped_as == "16 bits" else head.astype(np.float32)})
    assert comparison.precision == precision
    assert comparison.ok, str(comparison)


def test_a_single_number_is_judged_in_its_precision():
    loss = right("bfloat16", 1)["loss"].astype(ml_dtypes.bfloat16)
    assert compare(miniature_trace(), {"loss": loss}).precision == "bfloat16"
    assert compare(miniature_trace(), {"loss": right("float32", 1)["loss"]}).precision == "float32"


def autocast(key, changes=None):
    """A port as under autocast: the products' factors and results are bfloat16, everything else is float32."""
    graph = key.graph.replaced(changes or {})
    products = {name: "bfloat16" for name, node in graph.nodes.items() if node.operation and node.operation.multiplies}

    def cast(values):
        return [rounded(np.float32(value), "bfloat16") if value.dtype.kind == "f" else value for value in values]

    values = {name: np.float32(value) if value.dtype.kind == "f" else value for name, value in key.sources.items()}
    for name in graph.computed:
        node = graph.nodes[name]
        inputs = [values[read] for read in node.inputs]
        y = node.operation.forward(*(cast(inputs) if name in products else inputs), **node.settings)[0]
        values[name] = rounded(np.float32(y), "bfloat16") if name in products else np.float32(y)
    return {name: values[name] for name in graph.computed}


def test_a_port_under_autocast_agrees():
    key = miniature_trace()
    comparison = compare(key, autocast(key))
    assert comparison.precision == "bfloat16"
    assert comparison.ok, str(comparison)
    assert "tensors hold float32 numbers" in str(comparison)
    modules = {
        name: array for name, array in autocast(key).items() if name.rpartition(".")[2] in ("qkv", "proj", "fc1")
    }
    assert compare(key, modules).ok


def test_blocks_outputs_of_a_port_under_autocast_are_told_what_they_are():
    """Their numbers are float32: the row of the first one says in what the products between were computed."""
    key = miniature_trace()
    tensors = autocast(key)
    dump = {name: tensors[name] for name in ("input", "layers.0.blocks.0", "layers.0.blocks.1", "head")}
    comparison = compare(key, dump)
    assert "computed in bfloat16: its inputs and its result are rounded" in comparison.first_error().note
    assert "layers.0.blocks.0.mlp.fc2, layers.0.blocks.0.mlp.fc1" in comparison.first_error().note
    assert compare(key, dump, "bfloat16").ok


def test_what_autocast_leaves_in_float32_is_judged_in_float32():
    """A difference that roundings to bfloat16 would hide."""
    key = miniature_trace()
    name = "layers.0.blocks.0.attn.probabilities"
    tensors = autocast(key)
    tensors[name] = tensors[name] * np.float32(1.0001)
    assert [row.name for row in compare(key, tensors).local_errors()] == [name]


@pytest.mark.parametrize("seed", range(2))
def test_one_float32_tensor_in_a_float64_port(seed):
    key = miniature_trace()
    tensors = computed(key.graph, key.sources, "float64", seed)
    tensors[NORM] = tensors[NORM].astype(np.float32)
    comparison = compare(key, tensors)
    assert comparison.precision == "float64"
    assert comparison.ok, str(comparison)


def test_sums_over_the_rows_of_a_norm_in_16_bits():
    """PyTorch on a CPU adds the rows of a norm's gradient one after the other in bfloat16, and a sum that has grown no
    longer changes by a small row."""
    model = random_model(img_size=(48, 48), embed_dim=6, depths=(2, 2), num_heads=(2, 3), window_size=4)
    key = trace(model, np.random.default_rng(0).standard_normal((2, 3, 48, 48)), np.array([0, 1]))
    tensors = computed(key.graph, key.sources, "bfloat16", 0)
    name = "layers.0.blocks.0.norm1"
    dy = rounded(np.float32(tensors[f"grad/{name}"]), "bfloat16").reshape(-1, 6)
    total = np.zeros(6, np.float32)
    for row in dy:
        total = rounded(total + row, "bfloat16")
    exact = dy.sum(axis=0, dtype=np.float64)
    far = np.sqrt(np.mean((total - exact) ** 2) / np.mean(exact**2))
    tensors[f"grad/{name}.bias"] = total
    comparison = compare(key, tensors)
    rows = {row.name: row for row in comparison.rows}
    assert rows[f"grad/{name}.bias"].ok, (far, rows[f"grad/{name}.bias"])
    assert rows[f"grad/{name}.bias"].local_distance.relative == pytest.approx(far, rel=1e-3)


def quantized(x, axis=None):
    """Numbers rounded to 127 steps on each side of 0."""
    step = np.abs(x).max(axis=axis, keepdims=axis is not None) / 127
    return np.rint(x / step) * step


def int8_port(key, per_channel=False, changes=None):
    """A float32 port whose products have int8 factors, as after dynamic quantization."""
    graph = key.graph.replaced(changes or {})
    values = {name: np.float32(value) if value.dtype.kind == "f" else value for name, value in key.sources.items()}
    for name in graph.computed:
        node = graph.nodes[name]
        inputs = [values[read] for read in node.inputs]
        if node.operation.multiplies:
            inputs[0] = quantized(inputs[0])
            inputs[1] = quantized(inputs[1], (-1,) if per_channel else None)
        values[name] = np.float32(node.operation.forward(*inputs, **node.settings)[0])
    return {name: values[name] for name in graph.computed}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("names", [None, ("layers.0.blocks.0", "layers.1.blocks.1", "head")])
def test_a_port_with_int8_products(per_channel, names):
    key = miniature_trace()
    tensors = int8_port(key, per_channel)
    dump = {name: tensors[name] for name in names or tensors}
    assert not compare(key, dump).ok
    comparison = compare(key, dump, "int8")
    assert comparison.ok, str(comparison)
    assert "by what int8 allows" in str(comparison)


@pytest.mark.parametrize("mistake", ["roll-one-axis", "gelu-tanh", "scale-missing"])
def test_mistakes_of_a_port_with_int8_products_are_found(mistake):
    key = miniature_trace()
    place, changes = next(
        (name, found[0][1])
        for name in key.graph.computed
        if (found := list(mistake_named(mistake).plant(key.graph, name)))
    )
    comparison = compare(key, int8_port(key, changes=changes), "int8")
    assert comparison.first_error().name in {place, *changes}
