"""Single faults of the kind that people make in a backward pass or in index arithmetic.

Each names a file, a piece of its text that occurs there once, and a wrong replacement.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """A mistake: in `file`, `right` is replaced by `wrong`. `tests`: pytest's arguments for the tests to catch it."""

    title: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


def faults(file: str, tests: tuple[str, ...], *rows: tuple[str, str, str]) -> list[Fault]:
    """The faults of one file: title, right and wrong of each."""
    return [Fault(title, f"npswin/{file}", right, wrong, tests) for title, right, wrong in rows]


DEFINITIONS = tuple(
    f"tests/{part}" for part in ("ops", "layers", "verify/test_plain_shift.py", "peers", "models", "weights")
)
ARGUMENTS = ("tests/backends/test_arguments.py", "tests/backends/cuda/test_arguments.py")

FAULTS = [
    *faults(
        "ops/linear.py",
        DEFINITIONS,
        ("dx by the transposed weight's sign", "dx = (drows @ weight)", "dx = (drows @ -weight)"),
        ("bias gradient averaged over rows", "drows.sum(axis=0) if has_bias", "drows.mean(axis=0) if has_bias"),
        ("bias left out of the forward pass", "        y += bias\n", "        y += 0 * bias\n"),
        (
            "weight gradient of the first row only",
            "drows.T @ x.reshape(-1, x.shape[-1])",
            "drows[:1].T @ x.reshape(-1, x.shape[-1])[:1]",
        ),
    ),
    *faults(
        "ops/layer_norm.py",
        DEFINITIONS,
        ("the mean's term is missing", "    dx -= g_mean\n", ""),
        ("the variance's term is missing", "    dx -= xhat * gx_mean\n", ""),
        ("the variance's term with the wrong sign", "dx -= xhat * gx_mean", "dx += xhat * gx_mean"),
        ("rstd is missing", "    dx *= rstd\n", ""),
        ("gain is missing in dx", "    g = dy * weight\n", "    g = dy.copy()\n"),
        (
            "gain's gradient without x̂",
            'np.einsum("rc,rc->c", dy.reshape(-1, channels), xhat.reshape(-1, channels))',
            "dy.reshape(-1, channels).sum(axis=0)",
        ),
        ("unbiased variance", "/ x.shape[-1]\n    rstd", "/ (x.shape[-1] - 1)\n    rstd"),
        ("eps outside the root", "np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        ("eps of 1e-6", "eps: float = 1e-5", "eps: float = 1e-6"),
    ),
    *faults(
        "ops/gelu.py",
        DEFINITIONS,
        ("the term x·φ(x) is missing", "    dx *= x\n", "    dx *= 0\n"),
        ("φ without its normalization", "    dx *= 1 / math.sqrt(2 * math.pi)\n", ""),
        ("exp(−x²) for exp(−x²/2)", "    dx *= -0.5\n", "    dx *= -1\n"),
        ("Φ is missing in the derivative", "    dx += cdf\n", ""),
        ("Φ(x/√2) for Φ(x)", "cdf = ndtr(x)", "cdf = ndtr(x * math.sqrt(0.5))"),
    ),
    *faults(
        "ops/softmax.py",
        DEFINITIONS,
        (
            "Jacobian without its sum",
            'return p * (dp - np.einsum("...k,...k->...", p, dp)[..., None])',
            "return p * dp",
        ),
        (
            "sum of dp rather than of p·dp",
            'np.einsum("...k,...k->...", p, dp)[..., None]',
            "dp.sum(axis=-1, keepdims=True)",
        ),
    ),
    *faults(
        "ops/dropout.py",
        DEFINITIONS,
        ("the gradient is not dropped", "return dy if mask is None else dy * mask", "return dy"),
        (
            "no rescaling",
            "(rng.random(shape) < keep).astype(dtype) / np.dtype(dtype).type(keep)",
            "(rng.random(shape) < keep).astype(dtype)",
        ),
        ("rate for keep", "rng.random(shape) < keep", "rng.random(shape) < rate"),
    ),
    *faults(
        "ops/residual.py",
        DEFINITIONS,
        (
            "the branch's gradient without drop path's factor",
            "return dy, (dy if scale is None else scale * dy)",
            "return dy, dy",
        ),
        (
            "drop path's factor on the shortcut",
            "return shortcut + scale * branch, scale",
            "return scale * shortcut + branch, scale",
        ),
    ),
    *faults(
        "ops/windows.py",
        DEFINITIONS,
        (
            "rolled the wrong way",
            "np.roll(x, (-shift_size, -shift_size), axis=(1, 2))",
            "np.roll(x, (shift_size, shift_size), axis=(1, 2))",
        ),
        (
            "not rolled back",
            "return crop_padding(cyclic_shift(padded, -shift_size), size)",
            "return crop_padding(padded, size)",
        ),
        (
            "rolled along rows only",
            "np.roll(x, (-shift_size, -shift_size), axis=(1, 2))",
            "np.roll(x, -shift_size, axis=1)",
        ),
        (
            "windows column by column",
            "return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, window_size * window_size, channels)",
            "return x.transpose(0, 3, 1, 2, 4, 5).reshape(-1, window_size * window_size, channels)",
        ),
        (
            "tokens of a window transposed",
            "return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, window_size * window_size, channels)",
            "return x.transpose(0, 1, 3, 4, 2, 5).reshape(-1, window_size * window_size, channels)",
        ),
        ("padding on the left", "(0, padded_width - width), (0, 0)", "(padded_width - width, 0), (0, 0)"),
        (
            "crop from the far corner",
            "return x[:, :height, :width]",
            "return x[:, x.shape[1] - height :, x.shape[2] - width :]",
        ),
        ("mask's last band off by one", "(position >= length - shift_size)", "(position > length - shift_size)"),
        (
            "mask's middle band off by one",
            "(position >= length - window_size)",
            "(position >= length - window_size - 1)",
        ),
        (
            "mask without column bands",
            "3 * band(padded_height)[:, None] + band(padded_width)[None, :]",
            "3 * band(padded_height)[:, None] + 0 * band(padded_width)[None, :]",
        ),
        ("mask inverted", "region[:, :, None] != region[:, None, :]", "region[:, :, None] == region[:, None, :]"),
        (
            "mask of the map before padding",
            "3 * band(padded_height)[:, None] + band(padded_width)[None, :]",
            "np.pad(3 * band(height)[:, None] + band(width), ((0, padded_height - height), (0, padded_width - width)))",
        ),
    ),
    *faults(
        "ops/position_bias.py",
        DEFINITIONS,
        ("key minus query", "delta_y = y[:, None] - y[None, :]", "delta_y = y[None, :] - y[:, None]"),
        (
            "rows and columns exchanged",
            "index = delta_y * (2 * window_size - 1) + delta_x",
            "index = delta_x * (2 * window_size - 1) + delta_y",
        ),
        (
            "table's stride off by one",
            "index = delta_y * (2 * window_size - 1) + delta_x",
            "index = delta_y * (2 * window_size - 2) + delta_x",
        ),
        (
            "overwritten rather than summed",
            "np.add.at(dtable, index, dbias.transpose(1, 2, 0))",
            "dtable[index] = dbias.transpose(1, 2, 0)",
        ),
        (
            "queries and keys exchanged in the gradient",
            "np.add.at(dtable, index, dbias.transpose(1, 2, 0))",
            "np.add.at(dtable, index, dbias.transpose(2, 1, 0))",
        ),
        (
            "full table transposed",
            "        return table[None], (None, table)",
            "        return table.T[None], (None, table)",
        ),
        ("full table's gradient transposed", "return dbias[0]", "return dbias[0].T"),
    ),
    *faults(
        "ops/attention.py",
        DEFINITIONS,
        ("q not scaled", "(q * q.shape[-1] ** -0.5) @ k", "q @ k"),
        (
            "scaled by the width of all heads",
            "(q * q.shape[-1] ** -0.5) @ k",
            "(q * (num_heads * q.shape[-1]) ** -0.5) @ k",
        ),
        ("dq not scaled", "    dq *= scale\n", ""),
        ("dk not scaled", "    dk *= scale\n", ""),
        ("dk without the transpose", "dk[...] = dscores.swapaxes(-1, -2) @ q", "dk[...] = dscores @ q"),
        ("dv without the transpose", "dv[...] = kept.swapaxes(-1, -2) @ do", "dv[...] = kept @ do"),
        (
            "dv from the probabilities before dropout",
            "dv[...] = kept.swapaxes(-1, -2) @ do",
            "dv[...] = probabilities.swapaxes(-1, -2) @ do",
        ),
        ("k and v exchanged", "return q, k, v", "return q, v, k"),
        (
            "columns ordered (head, q|k|v, channel)",
            "qkv.reshape(windows, tokens, 3, num_heads, columns // (3 * num_heads)).transpose(2, 0, 3, 1, 4)",
            "qkv.reshape(windows, tokens, num_heads, 3, columns // (3 * num_heads)).transpose(3, 0, 2, 1, 4)",
        ),
        (
            "heads not merged back in order",
            "merged = heads.swapaxes(-3, -2)",
            "merged = heads.reshape(*heads.shape[:-3], heads.shape[-2], heads.shape[-3], -1)",
        ),
        ("mask of another window", "scores += mask[:, None]", "scores += mask[::-1, None]"),
        ("bias gradient of one window", "dbias = dscores.sum(axis=0)", "dbias = dscores[0].copy()"),
        ("shared bias' gradient of one head", "dbias = dbias.sum(axis=0, keepdims=True)", "dbias = dbias[:1]"),
        (
            "softmax over the queries",
            "return softmax_forward(scores)[0]",
            "return softmax_forward(scores.swapaxes(-1, -2))[0].swapaxes(-1, -2)",
        ),
    ),
    *faults(
        "ops/branches.py",
        DEFINITIONS,
        (
            "attention branch without its shortcut in dx",
            "    dx += dshortcut\n    return dx, dnorm_weight, dnorm_bias, *dattention",
            "    return dx, dnorm_weight, dnorm_bias, *dattention",
        ),
        (
            "MLP branch without its shortcut in dx",
            "    dx += dshortcut\n    return dx, dnorm_weight, dnorm_bias, *dmlp",
            "    return dx, dnorm_weight, dnorm_bias, *dmlp",
        ),
        (
            "residual taken after the norm",
            "residual_forward(x, branch, path_scale)\n    return y, (norm_cache, attention_cache",
            "residual_forward(normed, branch, path_scale)\n    return y, (norm_cache, attention_cache",
        ),
    ),
    *faults(
        "ops/mlp.py",
        DEFINITIONS,
        (
            "dropout's gradient after the GELU missing",
            "    dactivated = dropout_backward(dactivated, hidden_drop_cache)\n",
            "",
        ),
        ("GELU's derivative missing", "dhidden = gelu_backward(dactivated, gelu_cache)", "dhidden = dactivated"),
    ),
    *faults(
        "ops/patch_embed.py",
        DEFINITIONS,
        (
            "rows and columns of a patch exchanged",
            "patches.transpose(0, 2, 4, 1, 3, 5)",
            "patches.transpose(0, 2, 4, 1, 5, 3)",
        ),
        (
            "pixels of the gradient transposed",
            "dimages.transpose(0, 3, 1, 4, 2, 5)",
            "dimages.transpose(0, 3, 1, 5, 2, 4)",
        ),
        ("padding on the left", "(0, columns * patch_size - width))", "(columns * patch_size - width, 0))"),
        (
            "padding's gradient not cropped at its end",
            "return dimages[:, :, :height, :width]",
            "return dimages[:, :, -height:, -width:]",
        ),
    ),
    *faults(
        "ops/conv2d.py",
        DEFINITIONS,
        ("kernel's rows and columns exchanged", "weight.transpose(2, 3, 0, 1)", "weight.transpose(3, 2, 0, 1)"),
        ("kernel flipped", "weight.transpose(2, 3, 0, 1)", "weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)"),
        ("the first result by rounding down", "-(-(padding - place) // stride)", "(padding - place) // stride"),
        ("the last result left out", "(side - 1 + padding - place)", "(side - 2 + padding - place)"),
        ("stride left out", "stride * first + place - padding", "first + place - padding"),
        ("overlapping kernels do not add", "dx[entries] += dy[results]", "dx[entries] = dy[results]"),
    ),
    *faults(
        "ops/conv_transpose2d.py",
        DEFINITIONS,
        (
            "patches transposed",
            "patches.transpose(0, 1, 4, 2, 5, 3)",
            "patches.transpose(0, 1, 5, 2, 4, 3)",
        ),
        ("dy's patches transposed", "transpose(0, 1, 3, 5, 2, 4)", "transpose(0, 1, 3, 5, 4, 2)"),
    ),
    *faults(
        "ops/patch_merging.py",
        DEFINITIONS,
        ("merged in reading order", "((0, 0), (1, 0), (0, 1), (1, 1))", "((0, 0), (0, 1), (1, 0), (1, 1))"),
        (
            "norm's gradient skipped",
            "dmerged, dnorm_weight, dnorm_bias = layer_norm_backward(dmerged, norm_cache)",
            "_, dnorm_weight, dnorm_bias = layer_norm_backward(dmerged, norm_cache)",
        ),
        ("odd rows exchanged with odd columns", "dx[:, row::2, column::2] = part", "dx[:, column::2, row::2] = part"),
    ),
    *faults(
        "ops/pool.py",
        DEFINITIONS,
        ("gradient not averaged", "(dy / (height * width))", "(dy / 1)"),
        ("gradient averaged over rows only", "(dy / (height * width))", "(dy / height)"),
    ),
    *faults(
        "ops/position_embed.py",
        DEFINITIONS,
        ("gradient of the first image only", "dplaces = dy.sum(axis=0, keepdims=True)", "dplaces = dy[:1].copy()"),
        ("grid transposed", "table.reshape(1, *grid, -1)", "table.reshape(1, *grid[::-1], -1)"),
    ),
    *faults(
        "ops/loss.py",
        DEFINITIONS,
        ("gradient not divided by the batch", "/ log_p.dtype.type(len(log_p))", "/ log_p.dtype.type(1)"),
        (
            "soft targets taken to sum to 1",
            "np.exp(log_p) * targets.sum(axis=-1, keepdims=True) - targets",
            "np.exp(log_p) - targets",
        ),
    ),
    *faults(
        "ops/arguments.py",
        ARGUMENTS,
        ("a size that was told is not compared", "        return size == known\n", "        return True\n"),
        ("a product need not be whole", "if not known or size % known or", "if not known or"),
        ("axes may be empty", "(size == 0 and unknown not in _MAY_BE_EMPTY)", "False"),
        ("leading axes need not agree", "if sizes.setdefault(_ANY_AXES, middle) != middle:", "if False:"),
        ("sizes are forgotten", "        self.update(sizes)\n", ""),
        ("a number without bounds", "if type(value) is float and low <= value <= high else", "if True else"),
    ),
    *faults(
        "ops/description.py",
        ARGUMENTS,
        (
            "a subclass is taken for the array",
            'attrgetter("__class__", "shape", "dtype")',
            'attrgetter("shape", "dtype")',
        ),
        (
            "the dtype is not part of the kind",
            'attrgetter("__class__", "shape", "dtype")',
            'attrgetter("__class__", "shape")',
        ),
        ("sizes are not part of the kind", "for array in arrays], *numbers\n", "for array in arrays]\n"),
        ("a set for a list", "(str, bytes, Mapping, Set)", "(str, bytes, Mapping)"),
        ("complex numbers in updates", 'if self._updated and array.dtype.kind == "c":', "if False:"),
        ("read-only arrays are written to", "and not array.flags.writeable:", "and False:"),
        ("lists of other lengths", "if len(items) != len(values[first_place]):", "if False:"),
        ("None for any array", "            if array is None and optional:", "            if array is None:"),
        ("another device", "    if device != wanted:", "    if False:"),
    ),
    *faults(
        "ops/checked.py",
        ARGUMENTS,
        ("the cache of another op", "cache.op != pair or cache.backend", "cache.backend"),
        ("the cache of another backend", "cache.op != pair or cache.backend != backend:", "cache.op != pair:"),
        ("a gradient of another shape", " or dy.shape != cache.shape or dy.dtype", " or dy.dtype"),
        (
            "a gradient of another dtype",
            "dy.shape != cache.shape or dy.dtype != cache.dtype:",
            "dy.shape != cache.shape:",
        ),
        (
            "complex numbers in kernels",
            "values, run = _all_complex(values), definition",
            "values, run = _all_complex(values), function",
        ),
        (
            "real numbers beside complex ones",
            "values, run = _all_complex(values), definition",
            "values, run = values, definition",
        ),
        ("complex gradients in kernels", '(definition if cache.dtype.kind == "c" else function)', "function"),
        ("inference ignores dropout masks", "        if not named.keys() <= own:", "        if False:"),
    ),
    *faults(
        "layers/loss.py",
        DEFINITIONS,
        (
            "smoothing without the share of all classes",
            "targets += label_smoothing / num_classes",
            "targets += 0 / num_classes",
        ),
    ),
    *faults(
        "ops/optimizer.py",
        DEFINITIONS,
        (
            "decay through the moments",
            "    param *= 1 - lr * weight_decay\n    param -= scratch",
            "    param *= 1 - weight_decay\n    param -= scratch",
        ),
        ("no correction of the second moment's start", "scratch /= math.sqrt(1 - beta2**step)", "scratch /= 1.0"),
        (
            "eps inside the root",
            "    np.sqrt(v, out=scratch)\n    scratch /= math.sqrt(1 - beta2**step)\n    scratch += eps",
            "    np.sqrt(v + eps, out=scratch)\n    scratch /= math.sqrt(1 - beta2**step)",
        ),
        (
            "momentum after the step",
            "    velocity *= momentum\n    velocity += grad",
            "    velocity += grad\n    velocity *= momentum",
        ),
    ),
    *faults(
        "ops/resize.py",
        DEFINITIONS,
        (
            "corners aligned",
            "return (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5",
            "return np.arange(size_out) * (size_in / size_out)",
        ),
        ("the kernel parameter of another library", "KEYS_A = -0.75", "KEYS_A = -0.5"),
        (
            "gradient not transposed",
            "return _along_both_axes(rows.T, columns.T, dy)",
            "return _along_both_axes(columns.T, rows.T, dy)",
        ),
        (
            "nearest pixels by the outputs' centres",
            "np.arange(size_out)[:, None] * size_in // size_out",
            "(2 * np.arange(size_out)[:, None] + 1) * size_in // (2 * size_out)",
        ),
        (
            "pixels read before the first one",
            "np.maximum(_centres(size_out, size_in), 0)",
            "_centres(size_out, size_in)",
        ),
        (
            "outputs that read one pixel overwrite each other",
            "dx[pixel[o, k]] += weight[o, k] * dy[o]",
            "dx[pixel[o, k]] = weight[o, k] * dy[o]",
        ),
    ),
    *faults(
        "ops/relu.py",
        DEFINITIONS,
        ("the derivative passes at 0", "np.where(y.real <= 0, dy", "np.where(y.real < 0, dy"),
    ),
    *faults(
        "ops/batch_norm.py",
        DEFINITIONS,
        ("the mean's term is missing", "(dy - dy_mean - xhat", "(dy - xhat"),
        ("the variance's term is missing", " - xhat * dy_xhat_mean)", ")"),
        ("a derivative through constants", "    if constant:\n", "    if not constant:\n"),
        ("unbiased variance", "pixels - mean) / max(count, 1)", "pixels - mean) / max(count - 1, 1)"),
        ("parts merged as if their means were one", " + (part.mean - mean) ** 2)", ")"),
    ),
    *faults(
        "ops/max_pool2d.py",
        DEFINITIONS,
        ("pixels of the other border", "0, side - 1)", "-side, side - 1)"),
        (
            "windows with one maximum overwrite each other",
            "np.add.at(dx, (np.arange(batch)[:, None, None, None], largest_pixel, np.arange(channels)), dy)",
            "dx[np.arange(batch)[:, None, None, None], largest_pixel, np.arange(channels)] = dy",
        ),
    ),
    *faults(
        "ops/adaptive_avg_pool2d.py",
        DEFINITIONS,
        ("bins that do not overlap", "-(-(o + 1) * size_in // size_out)", "max((o + 1) * size_in // size_out, 1)"),
        ("the derivative not divided by the area", "(dy[:, i, j] / area)", "dy[:, i, j]"),
    ),
    *faults(
        "layers/batch_norm.py",
        DEFINITIONS[1:2],
        ("the running variance is biased", "variance * (count / (count - 1))", "variance"),
        ("the old statistics get the new one's weight", "MOMENTUM = 0.1 ", "MOMENTUM = 0.9 "),
        (
            "frozen statistics are updated",
            "self._running_statistics() if self.frozen else self._update(x)",
            "self._update(x)",
        ),
    ),
    *faults(
        "weights/load.py",
        DEFINITIONS[1:2],
        ("buffers are not loaded", '{**model.params, **getattr(model, "buffers", {})}', "{**model.params}"),
    ),
    *faults(
        "verify/gradcheck/problem.py",
        DEFINITIONS[1:2],
        ("a check changes buffers", "self._buffers[name][...] = values", "pass"),
    ),
    *faults(
        "layers/layer.py",
        DEFINITIONS,
        ("gradients overwritten rather than added", "sum_so_far += gradient", "sum_so_far[...] = gradient"),
        ("another layer's cache is taken", "or cache.layer is not layer", ""),
        ("a derivative of another shape is taken", "derivative.shape == shape and ", ""),
        (
            "a copy without dropout updates running statistics",
            "                setattr(layer, name, True)\n",
            "                pass\n",
        ),
        (
            "a copy without dropout has buffers of its own",
            "(*layer.own_params.values(), *layer.own_buffers.values())",
            "layer.own_params.values()",
        ),
    ),
    *faults(
        "layers/window_attention.py",
        DEFINITIONS,
        (
            "attention maps without the mask",
            "dispatch.attention_probabilities(qkv, bias, mask, self.num_heads)",
            "dispatch.attention_probabilities(qkv, bias, None, self.num_heads)",
        ),
    ),
    *faults(
        "layers/mlp.py",
        DEFINITIONS,
        (
            "no dropout at the end",
            '"output_drop_mask": draw_mask(rng, x.shape, self.drop, x)',
            '"output_drop_mask": None',
        ),
    ),
    *faults(
        "layers/block.py",
        DEFINITIONS,
        ("the MLP's dropout is missing", "rng, drop=drop, dtype=dtype)", "rng, drop=0.0, dtype=dtype)"),
        (
            "the MLP's branch is never dropped",
            "masks = self.mlp.draw_masks(x, rng)\n            path_scale = self._draw_path(x, rng)",
            "masks = self.mlp.draw_masks(x, rng)\n            path_scale = None",
        ),
        (
            "one draw of drop path for both branches",
            "masks = self.mlp.draw_masks(x, rng)\n            path_scale = self._draw_path(x, rng)",
            "masks = self.mlp.draw_masks(x, rng)\n            path_scale = attention_cache[2]",
        ),
    ),
    *faults(
        "models/backbone.py",
        DEFINITIONS,
        ("the longer side determines the shift", "min(grid) > window_size", "max(grid) > window_size"),
        ("the longer side determines the window", "else min(window_size, *grid)", "else min(window_size, max(grid))"),
        ("attention's dropout is missing", 'attn_drop=c["attn_drop_rate"]', "attn_drop=0.0"),
        ("shift on the even blocks", "bool(block % 2)", "block % 2 == 0"),
        ("shift in a stage of one window", "min(grid) > window_size", "min(grid) >= window_size"),
        (
            "a stage's own loss is left out",
            "dx = dout if dx is None else dx + dout",
            "dx = dout if dx is None else dx",
        ),
        ("the next stage's loss is left out", "dx = dout if dx is None else dx + dout", "dx = dout"),
        ("the cache holds the caller's images", "[], [], [], images.copy()", "[], [], [], images"),
        (
            "the norm's derivative is left out",
            "douts[stage] = self.norms[stage].backward(dmap, norm_cache)",
            "self.norms[stage].backward(dmap, norm_cache)",
        ),
    ),
    *faults(
        "models/segmentation/heads.py",
        ("tests/models/segmentation",),
        ("no way down the pyramid", "dlaterals[level] += dispatch", "dlaterals[level] += 0 * dispatch"),
        ("dropped channels have a derivative", "return dx if mask is None else dx * mask", "return dx"),
        ("each pixel is dropped by itself", "(len(x), 1, 1, x.shape[-1])", "x.shape"),
    ),
    *faults(
        "models/segmentation/pyramid_pooling.py",
        ("tests/models/segmentation",),
        ("the last scale's derivative alone", "dx = dx + dispatch", "dx = dmaps[0] + dispatch"),
    ),
    *faults(
        "models/segmentation/pyramid_conv.py",
        ("tests/models/segmentation",),
        (
            "parts of the weight in another order",
            "np.concatenate(dweights, axis=1)",
            "np.concatenate(dweights[::-1], axis=1)",
        ),
        ("the first map alone", "            y += added\n", "            y += 0 * added\n"),
    ),
    *faults(
        "models/segmentation/upernet.py",
        ("tests/models/segmentation",),
        (
            "the auxiliary head's derivative left out",
            "dmaps[-2] + self.auxiliary_head",
            "dmaps[-2] + 0 * self.auxiliary_head",
        ),
        ("the scale is left out", "_backward(scale * weight, one)", "_backward(weight, one)"),
    ),
    *faults(
        "models/swin.py",
        DEFINITIONS,
        (
            "norm after the pool",
            '[pool, norm] if self.config["norm_after_pool"] else [norm, pool]',
            '[norm, pool] if self.config["norm_after_pool"] else [pool, norm]',
        ),
        (
            "the cache holds the caller's maps",
            "return x.transpose(0, 3, 1, 2).copy()",
            "return x.transpose(0, 3, 1, 2)",
        ),
        ("each pass takes the other one's cache", 'kept(self, cache, "feature_maps_forward")', "cache"),
    ),
    *faults(
        "models/attention_maps.py",
        ("tests/models/test_attention_maps.py",),
        (
            "queries and keys exchanged",
            "maps[:, :, tokens[:, :, None], tokens[:, None, :]]",
            "maps[:, :, tokens[:, None, :], tokens[:, :, None]]",
        ),
        ("the maps of the block after", "x = input_of(model, images, place)", "x = input_of(model, images, place + 1)"),
        ("the shift is not undone", "attn.window_size, attn.shift_size)", "attn.window_size, 0)"),
        ("the norm is left out", 'attn.probabilities(layer.children["norm1"](x))', "attn.probabilities(x)"),
    ),
    *faults(
        "models/grad_cam.py",
        ("tests/models/test_grad_cam.py",),
        ("the weights are sums", "derivative.mean(axis=(1, 2))", "derivative.sum(axis=(1, 2))"),
        ("without ReLU", "[..., 0], 0)", "[..., 0], -np.inf)"),
        ("dropout stays on", "model.without_dropout(), []", "model, []"),
        ("the input of the block", "input_of(model, images, place + 1)", "input_of(model, images, place)"),
        ("one class for all images", "== chosen[:, None]", "== chosen[0]"),
    ),
    *faults(
        "models/block_maps.py",
        ("tests/models/test_attention_maps.py",),
        ("the corners of the squares are aligned", "+ 0.5) / side - 0.5", ") / side"),
        ("the side of the stage before", "end < place", "end < place - 2"),
    ),
]
