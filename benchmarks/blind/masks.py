"""Mistakes of the shift's mask."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.blind.swin import FIRST, SHIFTED, Port
from benchmarks.blind.words import SKIPPED


class _Mask(Port):
    born = f"{SHIFTED}.attn.mask"


class _AddMask(Port):
    born = f"{SHIFTED}.attn.masked_scores"


class MaskOfMinusOne(_Mask):
    """The mask is -1."""

    cause = r"-1\b|−1\b|value|factor|multipl|0\.01|times"
    mask_value = -1.0


class MaskOfPlusHundred(_Mask):
    """The mask is +100."""

    cause = r"\+?100|sign|negat|-1"
    mask_value = 100.0


class MaskOfInfinity(_Mask):
    """The mask is minus infinity."""

    cause = r"inf|∞"
    mask_value = -torch.inf


class MaskInverted(_Mask):
    """Tokens of the same region are masked."""

    cause = r"invert|same region|negat|revers|opposite|inside|within"

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        return self.mask_value - super().mask(height, width, m, shift)


class MaskOfRowsOnly(_Mask):
    """The regions are rows: the loop's counter is not increased for columns."""

    cause = r"row|column|one axis|only.*(vertical|height)|width"

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        return super().regions(height, width, m, shift) // 3


class MaskRegionsCollide(_Mask):
    """A region's number is row + column, so that some regions have the same."""

    cause = r"same (number|label)|collid|row \+ column|sum|diagonal|fewer|not unique"

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        regions = super().regions(height, width, m, shift)
        return regions // 3 + regions % 3


class MaskOfUnshiftedMap(_Mask):
    """The regions are rolled as the map is, though they already are those of the rolled map."""

    cause = r"roll|shift|twice|unshift"

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        return torch.roll(super().regions(height, width, m, shift), (-shift, -shift), (1, 2))


class MaskOfWrongShift(_Mask):
    """The regions begin at the window's side, not at the shift."""

    cause = r"shift|window|boundar|region|M\b"

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        return super().regions(height, width, m, m - shift)


class MaskOfUnpaddedMap(_Mask):
    """The regions are those of the map before padding; the padding is a region of its own."""

    cause = r"pad"

    def regions(self, height: int, width: int, m: int, shift: int) -> Tensor:
        rows, columns = (side // self.config["patch_size"] for side in self.config["img_size"])
        regions = torch.full((1, height, width, 1), 9.0)
        regions[:, :rows, :columns] = super().regions(rows, columns, m, shift)
        return regions


class PaddingMasked(_Mask):
    """Padded tokens are masked as keys."""

    cause = r"pad"

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        rows, columns = (side // self.config["patch_size"] for side in self.config["img_size"])
        padding = torch.zeros(1, height, width, 1)
        padding[:, rows:] = self.mask_value
        padding[:, :, columns:] = self.mask_value
        padding = Port.partition(self, torch.roll(padding, (-shift, -shift), (1, 2)), m)[:, None, :, 0]
        return torch.minimum(super().mask(height, width, m, shift), padding)


class MaskWindowsDownColumns(_Mask):
    """The mask's windows are counted down the columns."""

    cause = r"column|order|transpos|windows"

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        mask = super().mask(height, width, m, shift)
        return mask.unflatten(0, (height // m, width // m)).transpose(0, 1).flatten(0, 1)


class CausalMask(_Mask):
    """Later tokens are masked too, as in a language model."""

    cause = r"causal|later|triang|future|upper|above the diagonal"

    def mask(self, height: int, width: int, m: int, shift: int) -> Tensor:
        later = torch.ones(m * m, m * m).triu(1) * self.mask_value
        return torch.minimum(super().mask(height, width, m, shift), later)


class MaskOfLabelDifference(_Mask):
    """The difference of the regions' numbers is multiplied by the value; it should only be compared with zero."""

    cause = r"differ|number|multipl|label"

    def mask_of_regions(self, regions: Tensor, m: int) -> Tensor:
        windows = Port.partition(self, regions, m)[:, :, 0]
        return (windows[:, None, :] - windows[:, :, None]).abs() * self.mask_value


class MaskMissing(_AddMask):
    """The mask is not added."""

    cause = SKIPPED + "|mask is not added"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores


class MaskMultiplied(_AddMask):
    """The scores are multiplied by the mask."""

    cause = r"multipl|product|×"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores * (super().add_mask(torch.zeros_like(scores), mask))


class FirstMaskForAllWindows(_AddMask):
    """All windows have the mask of the last window."""

    cause = (
        r"last window|same mask|one window|all windows|every window|another window"
        r"|mask: window row 1 of window column 1 in place of all$|is that of window 3, for all$"
    )

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return super().add_mask(scores, mask[-1:])


class MaskRepeatedForBatch(_AddMask):
    """Each window's mask is repeated for the images of a batch, as if the windows came first."""

    cause = r"repeat|batch|image|order|windows"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores + mask.repeat_interleave(len(scores) // len(mask), 0)[:, None]


class MaskScaled(_AddMask):
    """The mask is scaled with the scores."""

    cause = r"scal|factor|multipl|times|√d|d\^"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return super().add_mask(scores, mask * 3**-0.5)


class MaskedWithTiny(_AddMask):
    """Masked scores are set to -1e4 instead of lowered."""

    cause = r"-?1e\+?0?4|10000|replac|set|fill"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(super().add_mask(torch.zeros_like(scores), mask) < 0, -1e4)


class MaskForFirstImage(_AddMask):
    """Only the first image's windows are masked."""

    cause = r"first image|image 0|image 1|batch|only.*image|images? "

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([scores[: len(mask)] + mask[:, None], scores[len(mask) :]])


class MaskForFirstHead(_AddMask):
    """Only the first head is masked."""

    cause = r"head"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        masked = super().add_mask(scores, mask)
        return torch.cat([masked[:, :1], scores[:, 1:]], 1)


class MaskAfterSoftmax(Port):
    """Probabilities of masked keys are set to zero after the softmax; the others are not divided by their sum."""

    born = f"{SHIFTED}.attn.probabilities"
    cause = r"after.*softmax|softmax.*before|not (re)?normal"

    def add_mask(self, scores: Tensor, mask: Tensor) -> Tensor:
        self.allowed = Port.add_mask(self, torch.zeros_like(scores), mask) == 0
        return scores

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        return super().softmax(scores, at) * (self.allowed if at == SHIFTED else 1)

    def dump(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array for name, array in arrays.items() if not name.endswith("masked_scores")}


class MaskInEveryBlock(Port):
    """Unshifted blocks are masked too."""

    born = f"{FIRST}.attn.probabilities"
    cause = r"mask"

    def softmax(self, scores: Tensor, at: str) -> Tensor:
        if at == FIRST:
            height, width = (-(-side // self.config["patch_size"]) for side in self.config["img_size"])
            m, _ = self.window_and_shift(at)
            scores = self.add_mask(scores, self.mask(height + -height % m, width + -width % m, m, m // 2))
        return super().softmax(scores, at)
