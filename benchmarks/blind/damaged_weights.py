"""Weights that lost numbers or have other values. The dump has no parameters."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.weights import OneWeight, Params
from benchmarks.blind.words import NO_BIAS


class WeightsAveraged(Port):
    """The MLP weights of the two blocks of a stage are averaged."""

    born, cause = f"{FIRST}.mlp.fc1", r"mean|averag|half"

    def load(self, params: Params) -> Params:
        pairs = [(name, name.replace("blocks.0", "blocks.1")) for name in params if "blocks.0.mlp" in name]
        means = [(pair, (params[pair[0]] + params[pair[1]]) / 2) for pair in pairs]
        return params | {name: mean for pair, mean in means for name in pair}


class MovingAverageOfStart(Port):
    """The exponential average still has a tenth of the initial weights, which were zeros."""

    born, cause = f"{SINGLE}.mlp.fc1", r"0\.9|factor|multipl|times|scal|averag"

    def load(self, params: Params) -> Params:
        return params | {name: 0.9 * value for name, value in params.items() if f"{SINGLE}.mlp" in name}


class LastElementLost(OneWeight):
    """The file is one number short: the last one is zero."""

    born, name, cause = (
        f"{SINGLE}.mlp.fc2",
        f"{SINGLE}.mlp.fc2.bias",
        r"last|one (number|entry|channel)",
    )

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return torch.cat([param[:-1], torch.zeros(1)])


class WeightShiftedByOne(OneWeight):
    """A weight is read one number too late."""

    born, name = f"{SHIFTED}.mlp.fc2", f"{SHIFTED}.mlp.fc2.weight"
    cause = (
        r"shift|one (number|entry|too)|off|offset|rolled as one list, by -?1\b"
        r"|each is the one after it in the memory"
    )

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param.flatten().roll(-1).view(param.shape)


class WeightScaled(OneWeight):
    """A weight is divided by √2, as of an equalized learning rate."""

    born, name, cause = f"{SHIFTED}.mlp.fc1", f"{SHIFTED}.mlp.fc1.weight", r"0\.707|factor|multipl|times|scal|√2"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param / 2**0.5


class BitFlipped(OneWeight):
    """One weight has a wrong sign."""

    born, name, cause = (
        f"{LAST}.mlp.fc1",
        f"{LAST}.mlp.fc1.weight",
        r"sign|one (number|entry|weight|element)|row|1 of its 288 numbers: at \(3, 5\) it is 0\.0121\d+, not -0\.0121",
    )

    def changed(self, param: Tensor, params: Params) -> Tensor:
        param = param.clone()
        param[3, 5] *= -1
        return param


class WeightPruned(OneWeight):
    """The smaller half of a weight is zero."""

    born, name = f"{LAST}.mlp.fc1", f"{LAST}.mlp.fc1.weight"
    cause = r"prun|zero|spars|small|144 of 288 entries of \(hidden, C\) are 0"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        return param * (param.abs() > param.abs().median())


class WeightOfLowRank(OneWeight):
    """A weight is replaced by its approximation of rank 4."""

    born, name, cause = f"{LAST}.mlp.fc2", f"{LAST}.mlp.fc2.weight", r"rank|weight"

    def changed(self, param: Tensor, params: Params) -> Tensor:
        u, s, v = torch.linalg.svd(param, full_matrices=False)
        return (u[:, :4] * s[:4]) @ v[:4]


class GainFoldedWithoutBias(Port):
    """norm2 is folded into fc1: its gain is, its bias is forgotten."""

    born, cause = (
        f"{FIRST}.norm2",
        NO_BIAS + "|fold",
    )

    def load(self, params: Params) -> Params:
        gain, bias, weight = f"{FIRST}.norm2.weight", f"{FIRST}.norm2.bias", f"{FIRST}.mlp.fc1.weight"
        return params | {
            gain: torch.ones_like(params[gain]),
            bias: torch.zeros_like(params[bias]),
            weight: params[weight] * params[gain],
        }
