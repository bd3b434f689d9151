"""What follows from a tensor of another size, or from NaN, is inherited, and one line."""

import numpy as np

from npswin.verify import compare, diagnose
from npswin.verify.graph import GRADIENT_PREFIX, Arithmetic, Run, swin_graph
from npswin.verify.port.comparison import comparison_json, comparison_summary, comparison_table
from tests.verify.keys import SCALE, computed, miniature_trace, random_model, right

CONCAT = "layers.0.downsample.concat"


def cropping_port():
    """A port that crops the odd map in patch merging instead of padding it, so that 3×3 tokens are left of 3×4."""
    key = miniature_trace()
    before = computed(key.graph, key.sources, "float32")
    concat = before[CONCAT][:, :, :3]
    graph = swin_graph(random_model(), (10, 12), SCALE)
    names = list(graph.nodes)
    later = names[names.index(CONCAT) + 1 :]
    run = Run(graph, key.sources | {CONCAT: concat, "pixels": key["pixels"][..., :12]}, Arithmetic("float32"))
    earlier = key.graph.computed[: key.graph.computed.index(CONCAT)]
    tensors = {name: before[name] for name in earlier}
    tensors |= {CONCAT: concat, **{name: run.value(name) for name in later}}
    stages = ("layers.1", "layers.2", "norm", "head")
    gradients = [*later, CONCAT, *(name for name in graph.parameters if name.startswith(stages))]
    return tensors | {GRADIENT_PREFIX + name: run.gradient(name) for name in gradients if name != "labels"}


def test_only_the_first_tensor_of_another_size_is_wrong_by_itself():
    key, tensors = miniature_trace(), cropping_port()
    comparison = compare(key, {name: array for name, array in tensors.items() if name in key.shapes})
    assert [row.name for row in comparison.local_errors()] == [CONCAT]
    reached = [row for row in comparison.rows if row.origin]
    assert len(reached) > 50
    assert {row.origin for row in reached} == {CONCAT}
    table = comparison_table(comparison)
    assert table.count("the shape of layers.0.downsample.concat reached them") == 1
    assert len(table.splitlines()) == 2 + len(comparison.rows) - len(reached)
    summary = comparison_summary(comparison)
    assert f"{CONCAT}: shape 2×3×3×16, the key has 2×3×4×16: B, H/2, W/2, 4C" in summary
    assert f"wrong here: {CONCAT}; " in summary
    assert sum(row["origin"] == CONCAT for row in comparison_json(comparison)["tensors"]) == len(reached)


def test_a_tensor_after_one_of_another_size_is_judged_again_where_its_inputs_are_right():
    tensors = right("float32")
    tensors["layers.0.blocks.0.mlp.act"] = tensors["layers.0.blocks.0.mlp.act"][..., :-1]
    tensors["head"] = tensors["head"] * np.float32(1.1)
    wrong = [row.name for row in compare(miniature_trace(), tensors).local_errors()]
    assert wrong[:2] == ["layers.0.blocks.0.mlp.act", "head"]


def test_tensors_in_another_layout_are_each_listed():
    """Their sizes are right: each was dumped with its channels before the map."""
    tensors = right("float32")
    names = [name for name in tensors if name.endswith(("norm1", "norm2")) and "/" not in name]
    dump = tensors | {name: tensors[name].transpose(0, 3, 1, 2) for name in names}
    comparison = compare(miniature_trace(), dump)
    assert [row.name for row in comparison.local_errors()] == [row.name for row in comparison.rows if row.name in names]


def test_tensors_that_a_nan_reached_are_one_line():
    key = miniature_trace()
    name = "layers.0.blocks.0.mlp.fc1"
    run = Run(key.graph, key.sources, Arithmetic("float32"))
    broken = run.value(name).copy()
    broken[0, 0, 0, 0] = np.inf
    later = Run(key.graph, key.sources | {name: broken}, Arithmetic("float32"))
    with np.errstate(all="ignore"):
        tensors = {one: later.value(one) for one in key.graph.computed}
        tensors |= {f"grad/{one}": later.gradient(one) for one in key.graph.backward_order() if one != name}
    comparison = compare(key, tensors)
    assert [row.name for row in comparison.local_errors()] == [name]
    assert comparison_table(comparison).count(f"NaN or infinite numbers of {name} reached them") == 1
    assert f"{name}: 1 of " in comparison_summary(comparison)


def test_that_the_input_was_not_dumped_is_said():
    tensors = right("float32")
    wrong = {"patch_embed.proj": tensors["patch_embed.proj"] + np.float32(0.01)}
    note = "input was not dumped, so that it may be wrong before"
    assert note in str(compare(miniature_trace(), wrong))
    assert note not in str(compare(miniature_trace(), wrong | {"input": tensors["input"]}))


def test_what_follows_from_an_unexplained_size_is_not_searched():
    key, tensors = miniature_trace(), cropping_port()
    tensors[CONCAT] = tensors[CONCAT] * np.float32(1.37) + np.float32(0.3)
    diagnosis = diagnose(key, {name: array for name, array in tensors.items() if name in key.shapes})
    assert list(diagnosis.unexplained) == [CONCAT]
