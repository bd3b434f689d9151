"""Attention maps and Grad-CAM, compared with transformers' attentions and PyTorch's automatic differentiation."""

import numpy as np
import pytest

import npswin
from tests.peers.reference import CASES, model_arguments, redraw, transformers_module

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
NAMES = (
    "shifted, maps that windows divide",
    "window 3, odd shift",
    "maps padded to windows",
    "odd maps, padded merging",
)


@pytest.fixture(params=[case for case in CASES if case.name in NAMES], ids=lambda case: case.name)
def case(request):
    return request.param


def both(case, attention):
    """The peer, a function that runs it, and npswin's model with its weights."""
    module, extra = transformers_module(case, attention)
    redraw(module, 0)
    model = npswin.SwinTransformer(**model_arguments(case))
    npswin.load_weights(model, {name: value.numpy() for name, value in module.state_dict().items()})
    images = torch.randn(case.images, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return module, lambda **more: module(images, **extra, **more), model, images.numpy()


def test_grad_cam_is_that_of_automatic_differentiation(case):
    module, run, model, images = both(case, "sdpa")
    outputs = []

    def keep(_, __, output):
        outputs.append(output[0] if isinstance(output, tuple) else output)
        outputs[-1].retain_grad()

    for stage in module.swin.encoder.layers:
        for block in stage.blocks:
            block.register_forward_hook(keep)
    classes = [3, 1]
    run().logits[range(2), classes].sum().backward()
    for number, output in enumerate(outputs):
        found = npswin.grad_cam(model, images, classes, number)
        batch, height, width = found.shape
        weights = output.grad.mean(dim=1, keepdim=True)
        expected = (weights * output).sum(dim=2).relu().detach().numpy().reshape(batch, height, width)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_attention_maps_are_its_attentions_put_back_on_the_map(case):
    """Of transformers' windows (B nW, h, N, N), by rolling and cropping maps of token numbers."""
    module, run, model, images = both(case, "eager")
    blocks = [block for stage in module.swin.encoder.layers for block in stage.blocks]
    attentions = []
    for block in blocks:
        block.attention.register_forward_hook(lambda _, __, output: attentions.append(output[1]))
    run(output_attentions=True)
    for number, (attention, block) in enumerate(zip(attentions, blocks, strict=True)):
        maps = npswin.attention_maps(model, images, number)
        (height, width), side, shift = maps.shape[2:4], block.window_size, block.shift_size
        padded = -(-height // side) * side, -(-width // side) * side
        numbers = np.full(padded, -1)
        numbers[:height, :width] = np.arange(height * width).reshape(height, width)
        numbers = np.roll(numbers, (-shift, -shift), (0, 1))
        windows = numbers.reshape(padded[0] // side, side, padded[1] // side, side).swapaxes(1, 2).reshape(-1, side**2)
        found = attention.detach().numpy().reshape(len(images), len(windows), *attention.shape[1:])
        for window, tokens in enumerate(windows):
            rows, columns = np.divmod(tokens[tokens >= 0], width)
            ours = maps[:, :, rows[:, None], columns[:, None], rows, columns]
            theirs = found[:, window][:, :, tokens >= 0][..., tokens >= 0]
            np.testing.assert_allclose(ours, theirs, atol=1e-6)  # its softmax is in float32
