"""Single faults in the cpu backend: slips of the same kind as in `faults.py`, and those that only kernels have.

Nothing but the comparison with the definitions, in tests/backends, is asked to notice them.
"""

from tests.tools.faults import Fault, faults


def comparison(op_names: str) -> tuple[str, ...]:
    """These ops beside their definitions, in the dtype and the layout that compile fastest."""
    return "tests/backends/test_cpu_ops.py", "-k", f"equals_its_definition and contiguous-float32 and ({op_names})"


KERNEL_FAULTS: list[Fault] = [
    *faults(
        "backends/cpu/head.py",
        comparison("attention_branch"),
        (
            "the mask is added where regions agree",
            "own[i] == region else mask_value",
            "own[i] != region else mask_value",
        ),
        (
            "the second window takes the first one's keys",
            "left, right = (k[0], k[1] + at, 1,",
            "left, right = (k[0], k[1], 1,",
        ),
        (
            "softmax's derivative without its sum",
            "load(scratch, ds[1] + place) - dot)",
            "load(scratch, ds[1] + place))",
        ),
        ("the bias's gradient overwritten", "load(dbias[0], dbias[1] + place) + dscore)", "dscore)"),
        (
            "dk from scores that are not turned round",
            "_transpose(dscores, turned, square)",
            "_transpose((scratch, p[1] + score, stride), turned, square)",
        ),
    ),
    *faults(
        "backends/cpu/lanes.py",
        comparison("attention_branch or mlp_branch or linear"),
        ("LayerNorm's derivative without the variance's term", " - hat[i] * mean_g_xhat[i])", ")"),
        (
            "unbiased variance",
            "rstd[i] / number(channels) + number(1e-5)",
            "rstd[i] / number(channels - 1) + number(1e-5)",
        ),
        (
            "padding is not cleared",
            "            for c in range(channels):\n                x[offset + c * stride + i] = 0\n",
            "            pass\n",
        ),
        (
            "channels beyond whole vectors are not written",
            "range(whole if together else 0, channels):\n                    place",
            "range(whole if together else 0, whole):\n                    place",
        ),
    ),
    *faults(
        "backends/cpu/attention_kernels.py",
        comparison("attention_branch"),
        (
            "the padding's gradient is not cropped",
            "        if padded:\n            clear(dxhat, count, channels, kept)\n",
            "",
        ),
        (
            "drop path's factor is forgotten in the backward pass",
            "        scale_tokens(dy_lanes, width, channels, factors)\n",
            "",
        ),
        ("threads' gradients of the bias are not added up", "dbias.sum(axis=0)", "dbias[0]"),
    ),
    *faults(
        "backends/cpu/mlp_kernels.py",
        comparison("mlp_branch"),
        (
            "the second piece of the hidden layer overwrites the first",
            "start = BIAS if h == 0 else ACCUMULATE",
            "start = BIAS",
        ),
        ("drop path's factor is forgotten in dW₂", "made[i] = values[i] * cdf * scale[i]", "made[i] = values[i] * cdf"),
        (
            "the second chunk overwrites the first one's gradient",
            "here, dfc1_weight, first == 0)",
            "here, dfc1_weight, True)",
        ),
    ),
    *faults(
        "backends/cpu/windows.py",
        comparison("attention_branch"),
        ("all images have the first one's factor", "scales[image if scales.size > 1 else 0]", "scales[0]"),
        ("bias table of the transposed pair", "np.ascontiguousarray(rows.T)", "np.ascontiguousarray(rows)"),
    ),
    *faults(
        "backends/cpu/product.py",
        comparison("linear"),
        (
            "what is left over of the rows starts from the first bias",
            "bi = bias_offset + i * (c_row if start == MATRIX else 1)",
            "bi = bias_offset",
        ),
    ),
    *faults(
        "backends/cpu/few_tokens.py",
        ("tests/backends/test_cpu_projection.py", "-k", "float32"),
        ("each thread writes the first channels", "    places += row\n", ""),
    ),
    *faults(
        "backends/cpu/linear_kernels.py",
        comparison("patch_embed"),
        ("the gradient of padded columns is kept", "dweight[:, :inputs]", "dweight[:, -inputs:]"),
    ),
    *faults(
        "backends/cpu/optimizer.py",
        comparison("adamw_update"),
        ("Adam's root is not corrected", "np.sqrt(square[i]) * root_scale + eps", "np.sqrt(square[i]) + eps"),
    ),
    *faults(
        "backends/cpu/jobs.py",
        comparison("linear"),
        (
            "the last piece of work belongs to nobody",
            "builder.mul(count, place)",
            "builder.mul(builder.sub(count, _INTEGER(1)), place)",
        ),
    ),
]
