"""Mistakes of structure that no entry of the catalogue lists: each is told in the port's terms, with its derivative."""

import numpy as np
import pytest
from scipy.special import erf

from npswin.verify import diagnose
from npswin.verify.graph import Arithmetic, Node, Operation, Run
from npswin.verify.mistakes.added_for_all import fit_added_for_all
from npswin.verify.mistakes.combined_inputs import fit_inputs
from npswin.verify.mistakes.gated import fit_gate
from npswin.verify.mistakes.merged_tokens import fit_merging
from npswin.verify.mistakes.norm_layouts import fit_norm_layout
from npswin.verify.mistakes.norm_statistics import fit_norm_statistics
from npswin.verify.mistakes.pixels import fit_pixels
from npswin.verify.mistakes.sampled_patches import fit_patches
from npswin.verify.mistakes.weighted_pool import fit_pool
from tests.verify.keys import computed, odd_trace

GRAPH, SOURCES = odd_trace().graph, odd_trace().sources
FIRST, NEXT, LAST = "layers.0.blocks.0", "layers.0.blocks.1", "layers.2.blocks.1"
CONCAT, MERGED = "layers.0.downsample.concat", "layers.1.downsample.reduction"


def linear(x, weight, bias=0.0):
    return x @ weight.T + bias


def norm(x, weight, bias, axes=(-1,), eps=1e-5):
    return standard(x, axes, eps) * weight + bias


def standard(x, axes=(-1,), eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def even(x):
    return np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))


def quarters(x):
    x = even(x)
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    parts = x[:, :rows, :columns], x[:, rows:, :columns], x[:, :rows, columns:], x[:, rows:, columns:]
    return np.concatenate(parts, axis=-1)


def four_of_the_list(x):
    x = even(x)
    return x.reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, -1)


def largest_neighbour(x):
    x = even(x)
    parts = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return np.tile(np.maximum.reduce(parts), 4)


def group_norm(x, weight, bias, groups=2):
    parts = x.reshape(*x.shape[:-1], groups, -1)
    return standard(parts, (1, 2, 4)).reshape(x.shape) * weight + bias


def norm_of_channels_first(x, weight, bias):
    return norm(x.transpose(0, 3, 1, 2).reshape(x.shape), weight, bias)


def clamped(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.maximum(x.var(-1, keepdims=True), np.median(x.var(-1)))) * weight + bias


def of_first_image(x, weight, bias):
    return (x - x[:1].mean(-1, keepdims=True)) / np.sqrt(x[:1].var(-1, keepdims=True) + 1e-5) * weight + bias


def running(x, weight, bias):
    mean, deviation = np.linspace(-0.2, 0.3, x.shape[-1]), np.linspace(0.5, 1.5, x.shape[-1])
    return (x - mean) / deviation * weight + bias


def patches(images, weight, bias):
    side = weight.shape[-1]
    rows, columns = -(-images.shape[2] // side), -(-images.shape[3] // side)
    images = np.pad(images, ((0, 0), (0, 0), (0, rows * side - images.shape[2]), (0, columns * side - images.shape[3])))
    x = images.reshape(len(images), -1, rows, side, columns, side).transpose(0, 2, 4, 1, 3, 5)
    return x.reshape(len(images), rows, columns, -1) @ weight.reshape(len(weight), -1).T + bias


def dilated(images, weight, bias):
    side = weight.shape[-1]
    padded = np.pad(images, ((0, 0), (0, 0), (0, 4 * side), (0, 4 * side)))
    counts = [-(-length // side) for length in images.shape[2:]]
    rows, columns = ((np.arange(n)[:, None] * side + 2 * np.arange(side)).reshape(-1) for n in counts)
    return patches(padded[:, :, rows][..., columns], weight, bias)


def gated(x):
    a, b = np.split(x, 2, axis=-1)
    return np.tile(a * 0.5 * b * (1 + erf(b / np.sqrt(2))), 2)


def four(x):
    x = even(x)
    return np.concatenate([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], axis=-1)


def eps_outside(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 0.01) * weight + bias


def of_median(x, weight, bias):
    median = np.sort(x, -1)[..., [(x.shape[-1] - 1) // 2]]
    return (x - median) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def merged_halves(x, weight, bias):
    """The variances of two halves are averaged, without the difference of their means (Chan et al. 1979)."""
    variance = sum(half.var(-1, keepdims=True) for half in np.split(x, 2, axis=-1)) / 2
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5) * weight + bias


def of_some_channels(x, weight, bias):
    centred = x - x[..., : x.shape[-1] - 2].sum(-1, keepdims=True) / x.shape[-1]
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * weight + bias


def of_halves(x, weight, bias):
    lost = x.copy()
    lost[..., [2, 5]] = 0  # of 6 channels: 6, 3, 1
    centred = x - lost.mean(-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * weight + bias


def two_slopes(x):
    return np.where(x < 0, np.linspace(0.1, 0.4, x.shape[-1]), 1.0) * x


def smoothed(pixels, mean, std):
    x = (pixels / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    for axis in (2, 3):
        padded = np.pad(x, [(0, 0) if place != axis else (1, 1) for place in range(4)], mode="edge")
        parts = [padded.take(range(first, first + x.shape[axis]), axis) for first in range(3)]
        x = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return x


def of_mean_before(x, weight, bias):
    before = np.append(0, x.mean(-1).reshape(-1)[:-1]).reshape(*x.shape[:-1], 1)
    return (x - before) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def of_stale_deviation(x, stale, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(stale.var(-1, keepdims=True) + 1e-5) * weight + bias


NORM2, SECOND = f"{NEXT}.norm2", f"{NEXT}.residual"

# By expected words: the tensor that is wrong, what it is computed from besides its parameters, and how.
CASES = {
    f"({MERGED} is added to {LAST})":
        ("norm", (LAST, MERGED), lambda x, v, *rest: norm(x + v, *rest)),
    f"(the mean of {LAST} and {MERGED})":
        ("norm", (LAST, MERGED), lambda x, v, *rest: norm((x + v) / 2, *rest)),
    f"in place of {NORM2}: {NEXT}.norm1 is subtracted from {NORM2}":
        (f"{NEXT}.mlp.fc1", (NORM2, f"{NEXT}.norm1"), lambda x, v, *rest: linear(x - v, *rest)),
    f"in place of {LAST}: layers.2.blocks.0.norm1 is added to {LAST}":
        ("norm", (LAST, "layers.2.blocks.0.norm1"), lambda x, v, *rest: norm(x + v, *rest)),
    f"in place of {NORM2}: {NORM2} is multiplied by {NEXT}.norm1":
        (f"{NEXT}.mlp.fc1", (NORM2, f"{NEXT}.norm1"), lambda x, v, *rest: linear(x * v, *rest)),
    f"in place of {NORM2}: 0.3 {NORM2} + 0.7 {NEXT}.norm1":
        (f"{NEXT}.mlp.fc1", (NORM2, f"{NEXT}.norm1"), lambda x, v, *rest: linear(0.3 * x + 0.7 * v, *rest)),
    f"({FIRST} is added to {NEXT})": (CONCAT, (NEXT, FIRST), lambda x, v: four(x + v)),
    f"{SECOND} reads other numbers: it is 0.7 {FIRST} + 0.3 {NEXT}.attn.":
        (SECOND, GRAPH.nodes[SECOND].inputs, lambda x, branch: 0.7 * x + 0.3 * branch),
    "the quarters of the map": (CONCAT, (NEXT,), quarters),
    "four tokens in a row of the list": (CONCAT, (NEXT,), four_of_the_list),
    "the largest of the four neighbours": (CONCAT, (NEXT,), largest_neighbour),
    "in 2 groups of channels, as a group norm": ("norm", (LAST,), group_norm),
    "the memory of (B, C, H, W) read as (B, H, W, C)": ("norm", (LAST,), norm_of_channels_first),
    "the root of the variance limited to at least": (NORM2, (SECOND,), clamped),
    "the deviation + 0.01": (NORM2, (SECOND,), eps_outside),
    "of mean and deviation, image 0 in place of all images": (NORM2, (SECOND,), of_first_image),
    "of the means, each is the one before it in the memory of (images, rows, columns); 0 comes in":
        (NORM2, (SECOND,), of_mean_before),
    f"of the deviations, it is the deviation of {MERGED})":
        ("layers.2.blocks.0.norm2", ("layers.2.blocks.0.residual", MERGED), of_stale_deviation),
    "each channel has a mean and a deviation of its own": (NORM2, (SECOND,), running),
    "the sum of 4 of its 6 channels (0, 1, 2, 3), divided by 6, is subtracted": (NORM2, (SECOND,), of_some_channels),
    "summed by halves that lose the last of an odd count": (NORM2, (SECOND,), of_halves),
    "its median is subtracted": (NORM2, (SECOND,), of_median),
    "the root of the mean of two halves' variances, without that of their": (NORM2, (SECOND,), merged_halves),
    "a patch has every 2nd pixel (dilation 2); zeros come in": ("patch_embed.proj", ("input",), dilated),
    "the mean of the tokens at row 0 and columns 0, 1": ("avgpool", ("norm",), lambda x: x[:, 0, :2].mean(1)),
    "both halves are a GELU(b)": (f"{NEXT}.mlp.act", (f"{NEXT}.mlp.fc1",), gated),
    "negative numbers are multiplied by 0.1, ": (f"{NEXT}.mlp.act", (f"{NEXT}.mlp.fc1",), two_slopes),
    "it is blurred by 1, 2, 1": ("input", ("pixels",), smoothed),
}  # fmt: skip


def port_with(name, inputs, function):
    """The activations of a port, in float32, in which a plain function computes one tensor."""
    node = GRAPH.nodes[name]
    parameters = tuple(read for read in node.inputs if GRAPH.nodes[read].axes == "parameter")
    operation = Operation(node.operation.name, lambda *arrays, **rest: (plain(function, arrays, rest), None), None)
    graph = GRAPH.replaced({name: Node(name, operation, (*inputs, *parameters), node.settings, node.axes)})
    run = Run(graph, SOURCES, Arithmetic("float32", 1000))
    return {each: run.value(each) for each in GRAPH.computed}


def plain(function, arrays, settings):
    return function(*arrays, **settings) if "mean" in settings else function(*arrays)


@pytest.mark.parametrize("words", CASES)
def test_a_change_of_structure_is_told_and_has_its_derivative(words):
    tensors = port_with(*CASES[words])
    diagnosis = diagnose(odd_trace(), tensors)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    hypothesis = diagnosis.causes[0].hypothesis
    assert words in str(hypothesis)
    assert not diagnosis.unexplained
    check_derivative(GRAPH.replaced(hypothesis.changes), CASES[words][0])


def check_derivative(graph, name):
    """The derivative of the loss by what a tensor is computed from."""
    read = next((one for one in graph.nodes[name].inputs if one in graph.differentiable), None)
    if read is None:  # pixels
        return
    run, step = Run(graph, SOURCES), 1e-6
    value = run.value(read)
    direction = np.random.default_rng(0).standard_normal(value.shape)
    ends = [Run(graph, {**SOURCES, read: value + sign * step * direction}).value("loss") for sign in (1, -1)]
    slope = float(ends[0] - ends[1]) / (2 * step)
    assert float(np.vdot(run.gradient(read), direction)) == pytest.approx(slope, rel=1e-4, abs=1e-7)


FITS = {
    "norm": (fit_norm_statistics, fit_norm_layout, fit_inputs),
    CONCAT: (fit_merging, fit_inputs),
    "avgpool": (fit_pool, fit_inputs),
    "patch_embed.proj": (fit_patches,),
    "input": (fit_pixels,),
    f"{NEXT}.mlp.act": (fit_gate, fit_inputs),
    f"{NEXT}.mlp.fc1": (fit_gate, fit_inputs),
    SECOND: (fit_inputs,),
    f"{FIRST}.norm1": (fit_added_for_all,),
}


@pytest.mark.parametrize("name", FITS)
def test_noise_is_not_explained(name):
    """A tensor that is 1 % away from the right one in no way that can be told."""
    run = Run(GRAPH, computed(GRAPH, SOURCES) | SOURCES)
    right = run.compute(name)
    found = right * (1 + 0.01 * np.random.default_rng(0).standard_normal(right.shape))
    for fit in FITS[name]:
        assert not list(fit(run, name, found, 1e-6)), fit.__name__
        assert not list(fit(run, f"grad/{name}", found, 1e-6)), fit.__name__
