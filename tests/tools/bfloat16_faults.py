"""Single faults in what computes products in bfloat16, on processors that can."""

from tests.tools.faults import Fault, faults


def comparison(op_names: str) -> tuple[str, ...]:
    """The comparison of these ops with their definitions."""
    return "tests/backends/cpu/test_bfloat16_ops.py", "-k", f"equals_its_definition and ({op_names})"


TRAINING = "tests/training/test_bfloat16.py", "-k", "not resumed"

BFLOAT16_FAULTS: list[Fault] = [
    *faults(
        "backends/cpu/fused/mlp_bfloat16.py",
        comparison("mlp"),
        (
            "the second piece of the hidden layer overwrites the first",
            "start, left = FROM_BIAS if h == 0 else FROM_OUTPUT, (weights",
            "start, left = FROM_BIAS, (weights",
        ),
        ("lanes beside the tokens count", "            token_scales[i] = 0\n", "            token_scales[i] = 1\n"),
        (
            "the two rows of a pair are exchanged",
            "store_paired(back[0], into + i, dlow, dhigh)",
            "store_paired(back[0], into + i, dhigh, dlow)",
        ),
        (
            "each tile overwrites the part's own sums",
            "(hidden, channels, place == first), (count + 1) // 2",
            "(hidden, channels, True), (count + 1) // 2",
        ),
        ("drop path's factor is missing in dW₂", "return x * cdf * load(scales, i),", "return x * cdf,"),
    ),
    *faults(
        "backends/cpu/fused/attention_head_bfloat16.py",
        comparison("attention"),
        (
            "the second window uses the first one's keys",
            "(m.k, (first_token + at) * pairs, pairs)",
            "(m.k, first_token * pairs, pairs)",
        ),
        ("what is beyond the keys is not zero", "    fill(memory.e, 0)\n", ""),
        (
            "queries beyond the window are not masked",
            "weight = if_less(lanes, left, load(m.scores, place) * inverse, zero)",
            "weight = load(m.scores, place) * inverse",
        ),
        ("dk from the probabilities", "transpose_pairs((b.ds, rows, row)", "transpose_pairs((b.p, rows, row)"),
        (
            "o is not divided by the sum of the exponentials",
            "at + i, low * inverse, high * inverse)",
            "at + i, low, high)",
        ),
        ("the bias's gradient overwritten", "load(dbias[0], dbias[1] + place) + dscore)", "dscore)"),
    ),
    *faults(
        "backends/cpu/fused/attention_bfloat16.py",
        comparison("attention"),
        ("dq, dk and dv of a head at the first one's place", "(dqkv_pairs, first_row // 2 * tile,", "(dqkv_pairs, 0,"),
        (
            "dW of the projection from x̂",
            "PairsGradient(*dproj, chunk.attended, chunk.dout",
            "PairsGradient(*dproj, chunk.attended, chunk.normed",
        ),
    ),
    *faults(
        "backends/cpu/fused/gathered_linear_bfloat16.py",
        comparison("linear or patch_merging"),
        ("all tiles' dy at the first one's place", "(dout, here * outputs * row, row)", "(dout, 0, row)"),
        ("the norm's gain is missing in dW", "            scale_and_shift(", "            0 and scale_and_shift("),
    ),
    *faults(
        "backends/cpu/tile/bfloat16_gradient.py",
        comparison("linear or attention"),
        (
            "what is beside the last token counts",
            "low = if_less(lane_of, first_left, load(x, at + whole), zero)",
            "low = load(x, at + whole)",
        ),
        (
            "a tile of the right operand begins where the last one's tokens end",
            "right = (g.b, t * tiles.b_rows * g.columns",
            "right = (g.b, t * tiles.tile * g.columns",
        ),
        (
            "the second chunk overwrites the first one's sums",
            "FROM_ZERO if g.overwrite and t == 0",
            "FROM_ZERO if t == 0",
        ),
    ),
    *faults(
        "backends/cpu/tile/bfloat16_lanes.py",
        comparison("mlp_branch or patch_merging"),
        ("both channels of a pair have the first one's gain", "weight[c + 1]", "weight[c]"),
    ),
    *faults(
        "backends/cpu/tile/projection.py",
        comparison("few and tokens"),
        (
            "each part has the first one's rows of the weight",
            "(weight, row * weight_row, weight_row)",
            "(weight, 0, weight_row)",
        ),
    ),
    *faults(
        "training/inputs.py",
        TRAINING,
        ("the setting stays after an error", "        allow_bfloat16(before)\n", "        allow_bfloat16(True)\n"),
        ("the processor is not asked", "    return why_no_bfloat16()\n", "    return None\n"),
    ),
    *faults(
        "training/trainer.py",
        TRAINING,
        (
            "the trainer does not round",
            "products_in(self.model, self.config.precision)",
            'products_in(self.model, "full")',
        ),
    ),
]
