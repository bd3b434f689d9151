"""Mistakes of where norms are, and with which parameters."""

import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import SKIPPED


class NormTwice(Port):
    """norm2 is applied twice."""

    born = f"{FIRST}.norm2"
    cause = r"twice|two times|again|second time"

    def norm(self, x: Tensor, name: str) -> Tensor:
        x = super().norm(x, name)
        return super().norm(x, name) if name.endswith("norm2") else x


class FirstNormSkipped(Port):
    """norm1 is left out in the second stage."""

    born = f"{SINGLE}.norm1"
    cause = SKIPPED + r"|norm1: it is layers\.0\.downsample\.reduction$"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x if name.startswith("layers.1") and name.endswith("norm1") else super().norm(x, name)


class NormsExchanged(Port):
    """norm1 and norm2 are exchanged."""

    born = f"{FIRST}.norm1"
    cause = r"norm[12].*(weight|norm|param)|(exchang|swap|other|another)"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return super().norm(x, name.replace("norm1", "norm0").replace("norm2", "norm1").replace("norm0", "norm2"))


class SameNormTwice(Port):
    """Both norms of a block have norm1's weights."""

    born = f"{FIRST}.norm2"
    cause = r"norm1|(another|other|wrong).*(weight|param|norm)"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return super().norm(x, name.replace("norm2", "norm1"))


class NormAfterBranch(Port):
    """The norms come after attention and MLP, as in Swin V2."""

    born = f"{FIRST}.norm1"
    cause = r"post.?norm|norm.*after|V2|norms? (come|follow)"

    def block(self, x: Tensor, at: str) -> Tensor:
        branch = self.record(f"{at}.norm1", self.norm(self.windows(x, at), f"{at}.norm1"))
        x = self.record(f"{at}.residual", x + branch)
        branch = self.record(f"{at}.norm2", self.norm(self.mlp(x, at), f"{at}.norm2"))
        return self.record(at, x + branch)


class FinalNormSkipped(Port):
    """The last norm is left out."""

    born = "norm"
    cause = SKIPPED + r"|^norm: it is layers\.1\.blocks\.1$"

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x if name == "norm" else super().norm(x, name)


class NormOfHeads(Port):
    """norm1 of one block has statistics for each head's channels."""

    born = f"{SHIFTED}.norm1"
    cause = r"group|head|half|part"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != f"{SHIFTED}.norm1":
            return super().norm(x, name)
        normal = F.layer_norm(x.unflatten(-1, (2, -1)), (x.shape[-1] // 2,), None, None, self.eps)
        return normal.flatten(-2) * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]


class NormAfterSum(Port):
    """The norms come after the sums, as in the first Transformer."""

    born = f"{FIRST}.norm1"
    cause = r"norms? follow.*after the sum"

    def block(self, x: Tensor, at: str) -> Tensor:
        x = self.record(f"{at}.residual", x + self.windows(x, at))
        x = self.record(f"{at}.norm1", self.norm(x, f"{at}.norm1"))
        return self.record(at, self.norm(x + self.mlp(x, at), f"{at}.norm2"))


class GroupNormOfMap(Port):
    """The last norm is a group norm of two groups, over the map."""

    born = "norm"
    cause = r"group norm|groups of channels"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != "norm":
            return super().norm(x, name)
        weight, bias = self.params["norm.weight"], self.params["norm.bias"]
        return F.group_norm(x.permute(0, 3, 1, 2), 2, weight, bias, self.eps).permute(0, 2, 3, 1)


class StatisticsOfFirstImage(Port):
    """All images are normalized with the mean and the deviation of the first one."""

    born = f"{SHIFTED}.norm2"
    cause = r"image 0 in place of all"

    def norm(self, x: Tensor, name: str) -> Tensor:
        if name != self.born:
            return super().norm(x, name)
        deviation = (x[:1].var(-1, unbiased=False, keepdim=True) + self.eps).sqrt()
        normal = (x - x[:1].mean(-1, keepdim=True)) / deviation
        return normal * self.params[f"{name}.weight"] + self.params[f"{name}.bias"]
