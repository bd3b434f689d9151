"""The ops of dense prediction compared with PyTorch's in float64: outputs and all derivatives."""

import numpy as np
import pytest

from npswin import ops
from npswin.layers import BatchNorm2d
from tests.ops.drawn import normal
from tests.peers.comparison import relative

torch = pytest.importorskip("torch")
functional = torch.nn.functional
TOLERANCE = 1e-12
SIZES = [((2, 5, 7, 3), (9, 13)), ((1, 11, 8, 2), (4, 3)), ((2, 6, 6, 4), (12, 12)), ((1, 1, 5, 2), (3, 1)),
         ((2, 13, 9, 3), (13, 9)), ((1, 16, 10, 2), (1, 2)), ((1, 3, 17, 1), (37, 20))]  # fmt: skip
WINDOWS = [(3, 2, 1), (2, 2, 0), (1, 2, 0), (3, 1, 1), (4, 3, 2), (2, 3, 1)]


def channels_first(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def channels_last(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def largest_error(pair, peer, x, *parameters):
    """Of y and of the derivatives by a map and by parameters, for a pair of functions and a function of PyTorch's."""
    forward, backward = pair
    y, cache = forward(x, *parameters)
    dy = normal(1, *y.shape)
    found = backward(dy, cache)
    map_, *others = given = [channels_first(x), *map(torch.from_numpy, parameters)]
    for tensor in given:
        tensor.requires_grad_()
    expected = peer(map_, *others)
    expected.backward(channels_first(dy))
    wanted = [channels_last(expected), channels_last(map_.grad), *(other.grad.numpy() for other in others)]
    found = [y, *(found if isinstance(found, tuple) else (found,))]
    return max(relative(*pair) for pair in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_resize(mode, shape, size):
    more = {"align_corners": False} if mode == "bilinear" else {}
    forward, backward = getattr(ops, f"resize_{mode}_forward"), getattr(ops, f"resize_{mode}_backward")
    error = largest_error(
        (lambda x: forward(x, size), backward),
        lambda x: functional.interpolate(x, size, mode=mode, **more),
        normal(0, *shape),
    )
    assert error < TOLERANCE


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_adaptive_avg_pool2d(shape, size):
    error = largest_error(
        (lambda x: ops.adaptive_avg_pool2d_forward(x, size), ops.adaptive_avg_pool2d_backward),
        lambda x: functional.adaptive_avg_pool2d(x, size),
        normal(0, *shape),
    )
    assert error < TOLERANCE


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 7, 9, 3), (1, 8, 5, 2)])
@pytest.mark.parametrize("has_ties", [False, True])
def test_max_pool2d(window, shape, has_ties):
    x = normal(0, *shape)
    error = largest_error(
        (lambda x: ops.max_pool2d_forward(x, *window), ops.max_pool2d_backward),
        lambda x: functional.max_pool2d(x, *window),
        np.round(x) if has_ties else x,
    )
    assert error < TOLERANCE


def test_relu():
    x = np.round(normal(0, 2, 5, 7, 3), 1)  # zeros among them
    assert largest_error((ops.relu_forward, ops.relu_backward), functional.relu, x) < TOLERANCE


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 3, 4), (3, 9, 1, 5)])
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norm(shape, frozen):
    """Two steps of training, whose running statistics are compared as well, then inference."""
    channels = shape[-1]
    own, peer = BatchNorm2d(channels, "float64", frozen), torch.nn.BatchNorm2d(channels, dtype=torch.float64)
    assert set(model_state(own)) == set(peer.state_dict())
    state = {name: np.array(7) if "num" in name else np.abs(normal(2, channels)) for name in model_state(own)}
    for name, tensor in model_state(own).items():
        tensor[...] = state[name]
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    peer.train(not frozen)
    for seed in (0, 1):
        x, dy = 3 + normal(seed, *shape), normal(seed + 5, *shape)
        y, cache = own.forward(x)
        own.zero_grad()
        dx = own.backward(dy, cache)
        map_ = channels_first(x).requires_grad_()
        expected = peer(map_)
        peer.zero_grad()
        expected.backward(channels_first(dy))
        assert relative(y, channels_last(expected)) < TOLERANCE
        assert relative(dx, channels_last(map_.grad)) < TOLERANCE
        for name, parameter in peer.named_parameters():
            assert relative(own.grads[name], parameter.grad.numpy()) < TOLERANCE
        for name, buffer in peer.named_buffers():
            assert relative(own.buffers[name], buffer.numpy()) < TOLERANCE
    x = normal(3, *shape)
    assert relative(own(x), channels_last(peer.eval()(channels_first(x)))) < TOLERANCE


def model_state(layer):
    return {**layer.params, **layer.buffers}
