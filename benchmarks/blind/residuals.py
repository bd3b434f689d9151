"""Mistakes of the residual connections, drop path and the order of blocks."""

from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port
from benchmarks.blind.words import NO_SHORTCUT


class ShortcutMissing(Port):
    """Attention has no shortcut."""

    born = f"{FIRST}.residual"
    cause = NO_SHORTCUT

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return branch if name.endswith("residual") else x + branch


class SecondShortcutMissing(Port):
    """The MLP of the last block has no shortcut."""

    born = LAST
    cause = NO_SHORTCUT

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return branch if name == LAST else x + branch


class BranchLost(Port):
    """The MLP's result is not added."""

    born = SINGLE
    cause = r"branch|MLP.*(missing|left|not)|(no|without|missing).*MLP|its input|unchanged"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x if name == SINGLE else x + branch


class ShortcutOfNorm(Port):
    """norm1 overwrites its input, so that the shortcut has the normalized map."""

    born = f"{FIRST}.residual"
    cause = r"norm"

    def block(self, x: Tensor, at: str) -> Tensor:
        branch = self.record(f"{at}.norm1", self.norm(x, f"{at}.norm1"))
        x = self.record(f"{at}.residual", self.add(branch, self.windows(branch, at), f"{at}.residual"))
        branch = self.record(f"{at}.norm2", self.norm(x, f"{at}.norm2"))
        return self.record(at, self.add(x, self.mlp(branch, at), at))


class MlpShortcutOfBlock(Port):
    """The MLP is added to the block's input: attention is lost."""

    born = FIRST
    cause = r"input|attention|shortcut|residual"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        if name.endswith("residual"):
            self.input = x
            return x + branch
        return self.input + branch


class ParallelBranches(Port):
    """The MLP reads the block's input, beside attention."""

    born = f"{FIRST}.norm2"
    cause = r"parallel|input of the block|block's input|beside|shortcut|another input|instead of"

    def block(self, x: Tensor, at: str) -> Tensor:
        branch = self.record(f"{at}.norm1", self.norm(x, f"{at}.norm1"))
        middle = self.record(f"{at}.residual", x + self.windows(branch, at))
        branch = self.record(f"{at}.norm2", self.norm(x, f"{at}.norm2"))
        return self.record(at, middle + self.mlp(branch, at))


class ShortcutSubtracted(Port):
    """x - branch."""

    born = f"{FIRST}.residual"
    cause = r"subtract|sign|minus|negat|-1|−"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x - branch if name.endswith("residual") else x + branch


class ShortcutTwice(Port):
    """The shortcut is added twice: in attention and after it."""

    born = f"{FIRST}.residual"
    cause = r"twice|doubl|two|2|attn\.cropped: patch_embed\.norm is added to it"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + branch + x if name.endswith("residual") else x + branch


class BranchHalved(Port):
    """The mean of shortcut and branch."""

    born = f"{FIRST}.residual"
    cause = r"mean|half|averag|0\.5|factor|multipl|2"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return (x + branch) / 2 if name.endswith("residual") else x + branch


class DropPathScaled(Port):
    """The branches are multiplied by the probability to keep them, in inference."""

    born = SHIFTED
    cause = r"drop.?path|keep|0\.9|factor|multipl|scal|times"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + branch * (0.9 if name == SHIFTED else 1)


class DropPathDivided(Port):
    """The branches are divided by the probability to keep them, in inference, growing with depth."""

    born = f"{SHIFTED}.residual"
    cause = r"drop.?path|keep|1\.0|factor|multipl|scal|divid|times"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        rate = next((0.1 * index / 3 for index, at in enumerate((FIRST, SHIFTED, SINGLE, LAST)) if at in name), 0.0)
        return x + branch / (1 - rate)


class LayerScale(Port):
    """The branches are multiplied by 1e-4 for each channel, as LayerScale begins."""

    born = f"{SHIFTED}.residual"
    cause = r"layer.?scale|factor|multipl|scal|0\.0001|1e-0?4|times"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + branch * (1 if FIRST in name else 1e-4)


class BlockSkipped(Port):
    """The last block is not executed: the loop ends one too early."""

    born = "norm"
    cause = r"block|layers\.1\.blocks\.0|skip|branch; in all of 2"

    def block(self, x: Tensor, at: str) -> Tensor:
        return x if at == LAST else super().block(x, at)


class BlockTwice(Port):
    """The last block is executed twice."""

    born = f"{LAST}.norm1"
    cause = r"twice|two times|again|second"

    def block(self, x: Tensor, at: str) -> Tensor:
        x = super().block(x, at)
        return super().block(x, at) if at == LAST else x


class StageShortcut(Port):
    """The input of the stage is added to its output."""

    born = "layers.0.downsample.concat"
    cause = r"stage|input|patch_embed|added"

    def block(self, x: Tensor, at: str) -> Tensor:
        if at == FIRST:
            self.stage_input = x
        return super().block(x, at)

    def downsample(self, x: Tensor, at: str) -> Tensor:
        return super().downsample(x + self.stage_input, at)


class BranchClipped(Port):
    """The residual stream is clipped to ±2, against overflow in half precision."""

    born = f"{FIRST}.residual"
    cause = r"clip|clamp|limit|saturat"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return (x + branch).clamp(-2, 2)


class BranchOfFirstImage(Port):
    """The branch of the first image is added to all images: a batch of 1 was assumed."""

    born = f"{SHIFTED}.residual"
    cause = r"first image|image 0|batch|images"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + (branch[:1] if name == f"{SHIFTED}.residual" else branch)


class BranchTransposed(Port):
    """In the single-window stage, the branch is added with rows and columns exchanged."""

    born = f"{SINGLE}.residual"
    cause = r"transpos|row.*column|exchang|swap"

    def add(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + (branch.transpose(1, 2) if name == f"{SINGLE}.residual" else branch)


class BlocksExchanged(Port):
    """The blocks of the first stage run in reversed order."""

    born = f"{FIRST}.norm1"
    cause = r"another order|blocks.*(order|exchang)"

    def block(self, x: Tensor, at: str) -> Tensor:
        return super().block(x, {FIRST: SHIFTED, SHIFTED: FIRST}.get(at, at))


class StageTwice(Port):
    """The second stage is executed twice."""

    born = f"{SINGLE}.norm1"
    cause = r"executed twice.*layers\.1\.blocks\.0 to layers\.1\.blocks\.1"

    def block(self, x: Tensor, at: str) -> Tensor:
        x = super().block(x, at)
        return super().block(super().block(x, SINGLE), LAST) if at == LAST else x


class MlpFirst(Port):
    """The MLP comes before attention."""

    born = f"{FIRST}.norm1"
    cause = r"MLP.*before attention"

    def block(self, x: Tensor, at: str) -> Tensor:
        branch = self.record(f"{at}.norm2", self.norm(x, f"{at}.norm2"))
        x = self.record(at, x + self.mlp(branch, at))
        branch = self.record(f"{at}.norm1", self.norm(x, f"{at}.norm1"))
        return self.record(f"{at}.residual", x + self.windows(branch, at))
