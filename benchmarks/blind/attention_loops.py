"""Mistakes of attention that is written as loops over keys, tiles and windows."""

import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, LAST, SHIFTED, SINGLE, Port


def exponentials(scores: Tensor) -> Tensor:
    return (scores - scores.amax(-1, keepdim=True)).exp()


class _Softmax(Port):
    at = FIRST
    born = f"{FIRST}.attn.probabilities"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return self.changed(scores) if at == self.at else super().softmax(scores, at)

    def changed(self, scores: Tensor) -> Tensor:
        raise NotImplementedError


class OnlineSoftmaxNotRescaled(_Softmax):
    """Keys are read in tiles of four; exponentials are not rescaled when a larger score is found, the sum is."""

    cause = r"tiles of 4.*exponentials are not rescaled"

    def changed(self, scores: Tensor) -> Tensor:
        largest, total = torch.full((*scores.shape[:-1], 1), -torch.inf), torch.zeros(*scores.shape[:-1], 1)
        parts = []
        for tile in scores.split(4, -1):
            new = torch.maximum(largest, tile.amax(-1, keepdim=True))
            parts.append((tile - new).exp())
            total = total * (largest - new).exp() + parts[-1].sum(-1, keepdim=True)
            largest = new
        return torch.cat(parts, -1) / total


class LastKeyNotInSum(_Softmax):
    """The loop that adds the exponentials ends one too early."""

    at, born = SINGLE, f"{SINGLE}.attn.probabilities"
    cause = r"the last key is not in the sum"

    def changed(self, scores: Tensor) -> Tensor:
        powers = exponentials(scores)
        return powers / powers[..., :-1].sum(-1, keepdim=True)


class LastKeyNotAttended(_Softmax):
    """The softmax is that of all keys but the last."""

    at, born = LAST, f"{LAST}.attn.probabilities"
    cause = r"left out: the last key"

    def changed(self, scores: Tensor) -> Tensor:
        return torch.nn.functional.pad(scores[..., :-1].softmax(-1), (0, 1))


class LargeEpsInSum(_Softmax):
    """A tenth is added to the sum of the exponentials, as an eps of another scale."""

    cause = r"0\.1 is added to the sum"

    def changed(self, scores: Tensor) -> Tensor:
        powers = exponentials(scores)
        return powers / (powers.sum(-1, keepdim=True) + 0.1)


class OwnKeyHidden(_Softmax):
    """A token does not attend to itself."""

    cause = r"query's own key"

    def changed(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.eye(scores.shape[-1]) > 0, -torch.inf).softmax(-1)


class ScaledAfterMask(_Softmax):
    """The scale is applied again, to masked scores."""

    at, born = SHIFTED, f"{SHIFTED}.attn.probabilities"
    cause = r"multiplied by (0\.57735|1/√3|0\.5774 = 1/√3)"

    def changed(self, scores: Tensor) -> Tensor:
        return (scores * 3**-0.5).softmax(-1)


class TemperatureOfHeads(_Softmax):
    """Each head has a temperature of its own."""

    at, born = SINGLE, f"{SINGLE}.attn.probabilities"
    cause = r"each head is multiplied by 0\.5, 1\.5, 2"

    def changed(self, scores: Tensor) -> Tensor:
        return (scores * torch.tensor([0.5, 1.5, 2.0])[:, None, None]).softmax(-1)


class LastWindowNotComputed(Port):
    """The grid has one block too few: the scores of the last window stay 0."""

    born = f"{FIRST}.attn.scores"
    cause = (
        r"the last of the \d+ entries of \(image, window row, window column\) is 0"
        r"|the last window of the batch is 0"
    )

    def scores(self, q: Tensor, k: Tensor, at: str) -> Tensor:
        right = super().scores(q, k, at)
        return torch.cat([right[:-1], torch.zeros_like(right[-1:])]) if at == FIRST else right


class LastKeysNotMixed(Port):
    """The last three keys are a tile that the product with the values does not read."""

    born = f"{SHIFTED}.attn.context"
    cause = r"keys \d+ to \d+ are not read|key rows the last left out"

    def mix(self, probabilities: Tensor, v: Tensor, at: str) -> Tensor:
        if at != SHIFTED:
            return super().mix(probabilities, v, at)
        return probabilities[..., :-3] @ v[..., :-3, :]


class MaskTooSmall(Port):
    """The mask is -0.1."""

    born = f"{SHIFTED}.attn.masked_scores"
    cause = r"-0\.1\b"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return super().add_mask(scores, mask * 0.001)


class MaskOfBooleansInverted(Port):
    """True means that a pair is left out, and the mask is passed on as if it meant the opposite."""

    born = f"{SHIFTED}.attn.masked_scores"
    cause = r"masked scores stay, the others are set to -1e\+0?9|invert|neighbours are masked"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        masked = super().add_mask(torch.zeros_like(scores), mask) != 0
        return scores.masked_fill(~masked, -1e9)
