"""Single faults in the cpu backend: of the same kind as in `faults.py`, and those that only kernels can have.

They have to be caught by the comparison with the definitions, in tests/backends/cpu, alone.
"""

from tests.tools.faults import Fault, faults


def comparison(op_names: str) -> tuple[str, ...]:
    """The comparison of these ops with their definitions, in the dtype and the layout that compile fastest."""
    return "tests/backends/cpu/test_ops.py", "-k", f"equals_its_definition and contiguous-float32 and ({op_names})"


PIECES = "tests/backends/cpu/test_convolution.py", "-k", "small_pieces"

KERNEL_FAULTS: list[Fault] = [
    *faults(
        "backends/cpu/resized_conv2d.py",
        ("tests/backends/cpu/test_resized_conv2d.py",),
        ("rows of the kernel upside down", "reader = h + i - half", "reader = h - i + half"),
        ("a row has one reader for each of its rows", "if r.row[k] == h:", "if r.row[k] == h and k % 2 == 0:"),
        (
            "the first part of the channels alone",
            "for first in range(0, outputs, channels)",
            "for first in range(0, 1)",
        ),
        ("one part's dx", "dpart if dx is None else dx + dpart", "dpart"),
        ("the first row that reads is left out", "range(r.first_reader[h], ", "range(r.first_reader[h] + 1, "),
    ),
    *faults(
        "backends/cpu/resized_cross_entropy.py",
        comparison("resized_cross_entropy"),
        ("p without its label", "    x[label] -= number(1)\n", ""),
        ("ignored pixels count", "                    continue\n", "                    label = 0\n"),
        ("a block's sum begins with the first row", "(r.row[far] - first_row) * row_size", "r.row[far] * 0"),
        ("a mean over all pixels", "max(count, 1)", "max(labels.size, 1)"),
    ),
    *faults(
        "backends/cpu/fused/attention_head.py",
        comparison("attention_branch"),
        (
            "the mask is added where regions agree",
            "regions[i] == region else added.mask_value",
            "regions[i] != region else added.mask_value",
        ),
        (
            "the second window uses the first one's keys",
            "left, right = (k[0], k[1] + at, 1,",
            "left, right = (k[0], k[1], 1,",
        ),
        (
            "softmax's derivative without its sum",
            "load(array, ds[1] + place) - dot)",
            "load(array, ds[1] + place))",
        ),
        ("the bias's gradient overwritten", "load(dbias[0], dbias[1] + place) + dscore)", "dscore)"),
        (
            "dk from the transposed probabilities",
            "_transpose(dscores, transposed, padded_tokens)",
            "_transpose((array, p[1] + score, stride), transposed, padded_tokens)",
        ),
    ),
    *faults(
        "backends/cpu/tile/lanes.py",
        comparison("attention_branch or mlp_branch or linear"),
        ("LayerNorm's derivative without the variance's term", " - hat[i] * mean_g_xhat[i])", ")"),
        (
            "unbiased variance",
            "rstd[i] / number(channels) + number(1e-5)",
            "rstd[i] / number(channels - 1) + number(1e-5)",
        ),
        (
            "padding is not set to zero",
            "            for c in range(channels):\n                x[offset + c * stride + i] = 0\n",
            "            pass\n",
        ),
        (
            "channels beyond whole vectors are not written",
            "range(whole if all_in_map else 0, channels):\n                    place",
            "range(whole if all_in_map else 0, whole):\n                    place",
        ),
    ),
    *faults(
        "backends/cpu/fused/attention.py",
        comparison("attention_branch"),
        (
            "the padding's gradient is not cropped",
            "        if padded:\n            zero_padding(dxhat, token_count, channels, tokens.in_map)\n",
            "",
        ),
        (
            "drop path's factor is missing in the backward pass",
            "        scale_tokens(dy_lanes, width, channels, tokens.scales)\n",
            "",
        ),
        ("threads' gradients of the bias are not added up", "added_up(dbias.reshape(-1), len(dbias))", "dbias[0]"),
    ),
    *faults(
        "backends/cpu/fused/attention.py",
        ("tests/backends/cpu/test_own_sums.py", "-k", "attention_branch"),
        (
            "each tile overwrites the part's own sums",
            "is_first, size = place == first, inner_dim * channels",
            "is_first, size = True, inner_dim * channels",
        ),
        ("the parts' own sums are not added up", "added_up(d, parts) if", "d[: d.size // parts] if"),
    ),
    *faults(
        "backends/cpu/fused/mlp.py",
        comparison("mlp_branch"),
        (
            "the second piece of the hidden layer overwrites the first",
            "start = FROM_BIAS if h == 0 else FROM_OUTPUT",
            "start = FROM_BIAS",
        ),
        (
            "drop path's factor is missing in dW₂, for whole vectors of tokens",
            "x * cdf * load(scales, i))",
            "x * cdf)",
        ),
        (
            "drop path's factor is missing in dW₂, for the last tokens",
            "values[at + i] * cdf * scales[i]",
            "values[at + i] * cdf",
        ),
        (
            "the second chunk overwrites the first one's gradient",
            "(0, hidden, channels, first == 0)",
            "(0, hidden, channels, True)",
        ),
    ),
    *faults(
        "backends/cpu/fused/mlp.py",
        ("tests/backends/cpu/test_own_sums.py", "-k", "mlp_branch"),
        (
            "each tile overwrites the part's own sums",
            "size, is_first, start = hidden * channels, place == first, t",
            "size, is_first, start = hidden * channels, True, t",
        ),
        ("the parts' own sums are not added up", "added_up(d, parts) if", "d[: d.size // parts] if"),
    ),
    *faults(
        "backends/cpu/tile/weight_panels.py",
        ("tests/backends/cpu/test_weight_panels.py", "-k", "columns_of_the_weight"),
        ("a panel's last vector reaches into the next panel", "if k < outputs - 1 and column", "if column"),
    ),
    *faults(
        "backends/cpu/tile/weight_panels.py",
        ("tests/backends/cpu/test_weight_panels.py", "-k", "equals_numpy"),
        ("all panels are the first one", "at = offset + i * panel_depth", "at = offset + 0 * panel_depth"),
    ),
    *faults(
        "backends/cpu/tile/window_tokens.py",
        comparison("attention_branch"),
        (
            "all images have the first one's factor",
            "image_scales[image if image_scales.size > 1 else 0]",
            "image_scales[0]",
        ),
    ),
    *faults(
        "backends/cpu/fused/attention_bias.py",
        comparison("attention_branch"),
        ("the bias of the transposed pair", "np.ascontiguousarray(rows.T)", "np.ascontiguousarray(rows)"),
    ),
    *faults(
        "backends/cpu/simd/matrix_product.py",
        comparison("linear"),
        (
            "the later tiles start from the first bias",
            "ai, ci, bi = i * a_row, i * c_row, i * (c_row if start == FROM_MATRIX else 1)",
            "ai, ci, bi = i * a_row, i * c_row, 0",
        ),
    ),
    *faults(
        "backends/cpu/simd/matrix_product.py",
        ("tests/backends/cpu/test_matrix_product.py", "-k", "float32"),
        (
            "the last columns of later rows start from the first bias",
            "bi = bias_offset + i * (c_row if start == FROM_MATRIX else 1)",
            "bi = bias_offset",
        ),
    ),
    *faults(
        "backends/cpu/tile/projection.py",
        ("tests/backends/cpu/test_projection.py", "-k", "float32"),
        (
            "each thread writes the first channels",
            "        tokens.offsets[i] += row\n",
            "        tokens.offsets[i] += 0\n",
        ),
    ),
    *faults(
        "backends/cpu/fused/gathered_linear.py",
        comparison("patch_embed"),
        ("the gradient of the padded columns is returned", "dweight[:, :inputs]", "dweight[:, -inputs:]"),
    ),
    *faults(
        "backends/cpu/relu.py",
        comparison("relu"),
        ("the derivative passes at 0", "signs[i] <= zero", "signs[i] < zero"),
    ),
    *faults(
        "backends/cpu/batch_norm.py",
        comparison("batch_norm"),
        ("blocks merged as if their means were one", " + between * difference * difference", ""),
        ("the mean of the last block alone", "mean[c] += share * difference", "mean[c] = block_mean[c]"),
        ("the variance's term is missing", " - (row[c] - mean[c]) * slope[c])", ")"),
        (
            "Σ dy x̂ without the mean",
            "product_sum[c] += drow[c] * (row[c] - mean[c])\n\n\n",
            "product_sum[c] += drow[c] * row[c]\n\n\n",
        ),
    ),
    *faults(
        "backends/cpu/max_pool2d.py",
        comparison("max_pool2d"),
        ("the last window of a row is left out", "(column + padding) // stride + 1", "(column + padding) // stride"),
        ("the last of equal pixels", "(not source[c] <= best[c])", "(not source[c] < best[c])"),
    ),
    *faults(
        "backends/cpu/adaptive_avg_pool2d.py",
        comparison("adaptive_avg_pool2d"),
        ("the first bin of a pixel alone", "range(first_j, stop_j)", "range(first_j, first_j + 1)"),
    ),
    *faults(
        "backends/cpu/resize.py",
        comparison("resize_bilinear or resize_nearest"),
        ("the weights exchanged", "near * one[i] + far * other[i]", "far * one[i] + near * other[i]"),
        (
            "outputs that end in a piece's first row are left out",
            "rows.pixel[(o + 1) * rows.taps - 1] < top",
            "rows.pixel[(o + 1) * rows.taps - 1] <= top",
        ),
        ("the row's sum not cleared", "            fill(summed, 0)\n", ""),
    ),
    *faults(
        "backends/cpu/convolution/places.py",
        comparison("conv2d"),
        ("the kernel's rows upside down", "overlap(place, size[0]", "overlap(kernel_size[0] - 1 - place, size[0]"),
    ),
    *faults(
        "backends/cpu/convolution/panels.py",
        comparison("conv2d"),
        ("all panels have the first one's weights", "row = panel * PANEL + lane", "row = lane"),
    ),
    *faults(
        "backends/cpu/convolution/direct.py",
        comparison("conv2d"),
        ("each place reads from the first one's column", "+ p.source_first[j]", "+ p.source_first[0]"),
        ("tokens of the second tile read the first one's", "left = (source, at + t * row,", "left = (source, at,"),
    ),
    *faults(
        "backends/cpu/convolution/direct.py",
        PIECES,
        ("each part of the depth has the first one's weights", "* panel_size + start * PANEL", "* panel_size"),
    ),
    *faults(
        "backends/cpu/convolution/direct_weight.py",
        comparison("conv2d"),
        ("the stride is left out", "p.source_step * inputs)", "inputs)"),
    ),
    *faults(
        "backends/cpu/convolution/token_sums.py",
        comparison("conv2d"),
        ("the last token for the sum", "total[c] += row[c]", "total[c] = row[c]"),
    ),
    *faults(
        "backends/cpu/convolution/winograd.py",
        PIECES,
        ("Bᵀ's last row with the other sign", "c - b, d - b", "c - b, b - d"),
        ("G without its halves", "(a + c) * half, b * half", "a + c, b"),
    ),
    *faults(
        "backends/cpu/convolution/winograd_map.py",
        PIECES,
        ("the kernel is not turned round for dx", "(8, -1) if turned else (0, 1)", "(0, 1)"),
        ("the second part of the depth overwrites the first", "FROM_OUTPUT if start else FROM_ZERO", "FROM_ZERO"),
    ),
    *faults(
        "backends/cpu/convolution/winograd_weight.py",
        PIECES,
        ("the second chunk overwrites the first", "sums, sizes, first == 0)", "sums, sizes, True)"),
    ),
    *faults(
        "backends/cpu/convolution/winograd.py",
        ("tests/backends/cpu/test_convolution.py", "-k", "finite"),
        ("sums with what is not finite are returned", "bool(np.isfinite(sums).all())", "True"),
    ),
    *faults(
        "backends/cpu/optimizer.py",
        comparison("adamw_update"),
        ("Adam's root is not corrected", "np.sqrt(v[i]) * root_scale + eps", "np.sqrt(v[i]) + eps"),
    ),
    *faults(
        "backends/cpu/machine/kernel_parts.py",
        comparison("linear"),
        (
            "the last piece of work is not computed",
            "builder.mul(count, place)",
            "builder.mul(builder.sub(count, WORD(1)), place)",
        ),
    ),
    *faults(
        "backends/cpu/machine/captured.py",
        ("tests/backends/cpu/test_captured.py", "-k", "outside_the_kernels"),
        (
            "what a recording leaves out is there from the time before",
            "            self._recording.overwrite(number, earlier)\n",
            "",
        ),
        ("a recording is compared on its examples alone", "    other = np.flip(array)\n", "    return array\n"),
    ),
    *faults(
        "backends/cpu/machine/threads.py",
        ("tests/backends/cpu/test_captured.py", "-k", "not_shared"),
        ("recorded jobs have too little working memory", " or team.size > threads\n", "\n"),
    ),
    *faults(
        "backends/cpu/machine/flat_array.py",
        ("tests/backends/cpu/test_flat_array.py",),
        (
            "a part of an array has another part's size",
            "data, args[2])\n\n    return kind(array",
            "data, args[1])\n\n    return kind(array",
        ),
    ),
    *faults(
        "backends/cpu/machine/packed_arguments.py",
        ("tests/backends/cpu/test_flat_array.py",),
        (
            "a decimal argument is read as an integer",
            "builder.bitcast(python.float_as_double(item), WORD)",
            "python.long_as_longlong(item)",
        ),
    ),
]
