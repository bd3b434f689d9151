"""Single faults in the CUDA sources, missing barriers among them.

They have to be caught by the tests of the cuda backend, in tests/backends/cuda, alone.
"""

from tests.tools.faults import Fault, faults


def comparison(op_names: str) -> tuple[str, ...]:
    """The comparison of these ops with their definitions, in the dtype with the smallest errors."""
    return "tests/backends/cuda/test_ops.py", "-k", f"equals_its_definition and float64 and ({op_names})"


TENSOR_CORES = "tests/backends/cuda/test_ops.py", "-k", "tensor_cores and bfloat16"

CUDA_FAULTS: list[Fault] = [
    *faults(
        "backends/cuda/kernels/window_attention.cu",
        comparison("window_attention"),
        (
            "no barrier between the writes of the keys and their use",
            "    }\n    __syncthreads();\n    for (int i = warp; i < tokens; i += warps) {\n        Index token",
            "    }\n    for (int i = warp; i < tokens; i += warps) {\n        Index token",
        ),
        ("softmax's derivative without its sum", "inverse * (dp[j] - dot)", "inverse * dp[j]"),
        (
            "the bias's gradient overwritten",
            "own_dbias[i * tokens + j] += dscore",
            "own_dbias[i * tokens + j] = dscore",
        ),
        ("dk not scaled by 1/√d", "(Scalar)(dk * scale)", "(Scalar)dk"),
        ("warps share their scores", "+ warps * g.dim + warp * tokens", "+ warps * g.dim"),
    ),
    *faults(
        "backends/cuda/kernels/windows.cuh",
        comparison("window_attention"),
        (
            "the mask is added where regions agree",
            "tokens.regions[i] == tokens.regions[j] ? (Sum)0 : mask_value",
            "tokens.regions[i] != tokens.regions[j] ? (Sum)0 : mask_value",
        ),
        (
            "columns shifted the other way",
            "t % g.window + g.shift_size) %",
            "t % g.window + padded_width - g.shift_size) %",
        ),
        ("the relative position is key − query", "tokens.rows[i] - tokens.rows[j]", "tokens.rows[j] - tokens.rows[i]"),
        ("the tokens of the first image", "(int)position(g, window.image,", "(int)position(g, 0,"),
        ("the padding of all images at one address", "image * (beside + below) + number", "number"),
        ("a shared column read for each head", "(kind == 1 ? head : 0)", "head"),
    ),
    *faults(
        "backends/cuda/kernels/window_attention_tensor_cores.cu",
        TENSOR_CORES,
        ("dk not scaled by 1/√d", "(Scalar)(dk[e] * scale)", "(Scalar)dk[e]"),
        ("keys beyond the window are attended to", "if (i >= tokens || j >= tokens) return LOWEST;\n", ""),
        ("softmax's derivative without its sum", "(ds[tile][e] - dot[e / 2])", "ds[tile][e]"),
        ("the largest score of the key", "expf(score - largest[i])", "expf(score - largest[j])"),
        (
            "no barrier between queries and keys",
            "        __syncthreads();\n\n        // By keys",
            "\n        // By keys",
        ),
    ),
    *faults(
        "backends/cuda/kernels/mma.cuh",
        TENSOR_CORES,
        (
            "rows 8 further taken for columns",
            "left.at(row + group_of_lane() + e % 2 * 8, k + pair_of_lane() + e / 2 * 8)",
            "left.at(row + group_of_lane() + e / 2 * 8, k + pair_of_lane() + e % 2 * 8)",
        ),
        ("the maximum of a pair, not of a row", "fmaxf(value, __shfl_xor_sync(0xffffffff, value, 2))", "value"),
    ),
    *faults(
        "backends/cuda/kernels/mma.cuh",
        ("tests/backends/cuda/test_ops.py", "-k", "tensor_cores and float32"),
        (
            "TF32's columns in the manual's order",
            "shortened(results[0][e / 2 + e % 2 * 2])",
            "shortened(results[0][e])",
        ),
    ),
    *faults(
        "backends/cuda/kernels/layer_norm.cu",
        comparison("layer_norm or patch_merging"),
        ("unbiased variance", "warp_sum(variance) / channels + eps", "warp_sum(variance) / (channels - 1) + eps"),
        ("LayerNorm's derivative without the mean's term", " - mean_g - xhat", " - xhat"),
        (
            "no barrier before the parameters' sums",
            "[threadIdx.x] = dbias;\n    __syncthreads();",
            "[threadIdx.x] = dbias;",
        ),
    ),
    *faults(
        "backends/cuda/kernels/rows.cuh",
        comparison("patch_concat or patch_merging"),
        ("rows before columns in a group", "c / channels % 2; }", "c / channels / 2; }"),
        ("padding is read", "return rows.is_padding(row, c) ? (Sum)0 : (Sum)x", "return (Sum)x"),
    ),
    *faults(
        "backends/cuda/kernels/elementwise.cu",
        comparison("gelu or branch or residual"),
        ("GELU's derivative without the density", " + value * normal_density(value)", ""),
        ("drop path's factor left out", "        if (scale) value *= (Sum)scale[i / per_image];\n", ""),
    ),
    *faults(
        "backends/cuda/kernels/loss.cu",
        comparison("cross_entropy"),
        ("the targets' sum taken for 1", "exp(log_p[i]) * total - t[k]", "exp(log_p[i]) - t[k]"),
    ),
    *faults(
        "backends/cuda/kernels/pool.cu",
        comparison("mean_pool"),
        ("the pool's derivative not divided", "+ i % channels] / tokens);\n}", "+ i % channels]);\n}"),
    ),
    *faults(
        "backends/cuda/kernels/pool.cu",
        comparison("adaptive_avg_pool2d or max_pool2d"),
        ("bins that do not overlap", "(o + 1) * size_in + size_out - 1)", "(o + 1) * size_in)"),
        ("the last of equal pixels", "(!(value <= best)", "(!(value < best)"),
        ("windows from one too far on", "above / stride + 1; o <", "above / stride + 2; o <"),
    ),
    *faults(
        "backends/cuda/kernels/resize.cu",
        comparison("resize_bilinear or resize_nearest"),
        ("rows by the columns' weights", "blended += row_weight[o * taps + k]", "blended += row_weight[o * taps]"),
        (
            "the last output that reads a row is left out",
            "o < row_readers[2 * row + 1]; o++",
            "o < row_readers[2 * row + 1] - 1; o++",
        ),
    ),
    *faults(
        "backends/cuda/kernels/batch_norm.cu",
        comparison("batch_norm"),
        (
            "no barrier before a column is added up",
            "partial[threadIdx.y][threadIdx.x] = value;\n    __syncthreads();\n",
            "partial[threadIdx.y][threadIdx.x] = value;\n",
        ),
        (
            "shares merged as if their means were one",
            "            squares += before * count / (before + count) * difference * difference;\n",
            "",
        ),
        ("a derivative through constants", "        if (dy_mean) value -= shift", "        value -= own_mean"),
    ),
    *faults(
        "backends/cuda/kernels/elementwise.cu",
        comparison("relu"),
        ("the derivative passes at 0", "(Sum)sign[i] <= 0", "(Sum)sign[i] < 0"),
    ),
    *faults(
        "layers/layer.py",
        ("tests/backends/cuda/test_batch_norm.py",),
        (
            "buffers stay where they are",
            "layer.own_grads, layer.own_buffers = own_params, own_grads, own_buffers",
            "layer.own_grads = own_params, own_grads",
        ),
    ),
    *faults(
        "backends/cuda/kernels/patches.cu",
        comparison("conv2d"),
        ("the stride's remainder is not looked at", "meets && row % stride == 0 && column", "meets && column"),
        ("the kernel's columns the other way", "x - across : x * stride + across", "x + across : x * stride - across"),
    ),
    *faults(
        "backends/cuda/kernels/patches.cu",
        ("tests/backends/cuda/test_ops.py", "-k", "few_rows"),
        ("all rows of the first token", "Index token = first + i / ((", "Index token = i / (("),
    ),
    *faults(
        "backends/cuda/kernels/optimizer.cu",
        comparison("adamw or sgd or ema"),
        ("no weight decay", "(1 - rate * decays[array]) * ", ""),
        (
            "an infinite scale changes parameters",
            "Sum scale = *grad_scale, rate = *lr, take_m",
            "Sum scale = isfinite(*grad_scale) ? *grad_scale : 1, rate = *lr, take_m",
        ),
        ("the start of v is not taken out", "1 - pow(beta2, (double)*step)", "1 - beta2"),
        ("the velocity is overwritten", "*u = momentum * *u + scale", "*u = scale"),
        ("the average moves the other way", "*average += take", "*average -= take"),
    ),
    *faults(
        "backends/cuda/kernels/rand_augment.cu",
        ("tests/backends/cuda/test_augment.py", "-k", "rand_augment"),
        ("turned the other way", "angle = -degrees", "angle = degrees"),
        ("luminance not rounded", "(sum + 0x8000) >> 16", "sum >> 16"),
        (
            "no barrier before the levels are mapped",
            "stretch(counts, map);\n                __syncthreads();",
            "stretch(counts, map);",
        ),
        ("edges are smoothed, too", "x > 0 && y > 0 && x < width - 1", "x > 0 && x < width - 1"),
        ("the buffers are not exchanged", "        from = to;\n", ""),
    ),
    *faults(
        "training/gpu/transfers.py",
        ("tests/backends/cuda/test_transfers.py",),
        ("no wait for a copy", "        cupy().cuda.get_current_stream().wait_event(self._copied)\n", ""),
        ("the next batch for this one", "yield buffers[(number - 1) % 2]", "yield buffers[number % 2]"),
    ),
    *faults(
        "training/gpu/captured_step.py",
        ("tests/backends/cuda/test_graph.py",),
        (
            "gradients of another scale",
            'values[StepScalars._fields.index("loss_scale")]',
            'values[StepScalars._fields.index("step")]',
        ),
        (
            "an update while it is captured",
            "np.full(len(StepScalars._fields), np.nan, ",
            "np.full(len(StepScalars._fields), 1.0, ",
        ),
    ),
    *faults(
        "backends/cuda/kernels/sums.cu",
        comparison("linear or norm"),
        ("a block's rows begin one late", "row = first + threadIdx.y", "row = first + threadIdx.y + 1"),
        ("sums over a warp alone", "distance > 0; distance /= 2) sum +=", "distance > 4; distance /= 2) sum +="),
    ),
    *faults(
        "backends/cuda/kernels/softmax.cu",
        comparison("softmax"),
        ("softmax's derivative without its sum", "(Sum)dp[first + j] - dot)", "(Sum)dp[first + j])"),
    ),
    *faults(
        "backends/cuda/runtime/matrix_product.py",
        comparison("linear"),
        ("operands swapped", "_TRANSPOSED if transpose_right else", "_TRANSPOSED if transpose_left else"),
    ),
]
