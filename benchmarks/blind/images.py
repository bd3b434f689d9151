"""Mistakes of the preprocessing."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.blind.swin import Port


class _Input(Port):
    born = "input"


class BlueFirst(_Input):
    """OpenCV reads the image, blue first."""

    cause = r"BGR|blue|channels.*(revers|order|swap|other)"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.flip(1))


class NotDividedBy255(_Input):
    """The pixels are not divided by 255."""

    cause = r"255"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.float() * 255)


class DividedBy256(_Input):
    """The pixels are divided by 256."""

    cause = r"256"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.float() * 255 / 256)


class InceptionStatistics(_Input):
    """Mean and deviation are 0.5."""

    cause = r"0\.5\b"
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class ClipStatistics(_Input):
    """Mean and deviation are those of CLIP."""

    cause = r"CLIP|0\.48145|0\.4815|0\.48"
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class NotNormalized(_Input):
    """Only divided by 255."""

    cause = r"not? (be )?normal|without.*(mean|normal)|only.*255|0 to 1|\[0, 1\]|mean.* 0\b|not subtracted"
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class NormalizedTwice(_Input):
    """The data loader and the model normalize."""

    cause = r"twice|two times"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(super().preprocess(pixels) * 255)


class DividedBeforeMean(_Input):
    """x / std - mean."""

    cause = r"mean.*(after|order|not divided)|divi.*(before|first)|x */ *std|mean × std"

    def preprocess(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return pixels / 255 / std - mean


class MeanOfBytes(_Input):
    """The mean, on a scale to 1, is subtracted from bytes."""

    cause = r"mean.*(before|scale|255|bytes)|255.*(after|mean)|mean/255|added: 2\.11, 2\.028, 1\.797\b"

    def preprocess(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (pixels - mean) / 255 / std


class DividedByVariance(_Input):
    """Divided by std²."""

    cause = r"varianc|std²|square|std\^2|deviation.*(twice|0\.0524)|0\.0524"
    std = (0.229**2, 0.224**2, 0.225**2)


class OneDigitExchanged(_Input):
    """A digit of the third deviation is mistyped."""

    cause = r"0\.25[45]|std|deviation"
    std = (0.229, 0.224, 0.252)


class StatisticsOfEachImage(_Input):
    """Every image is standardized by its own mean and deviation."""

    cause = r"(its own|each|per).*(image|mean)|image's own"

    def preprocess(self, pixels: Tensor) -> Tensor:
        x = pixels.float()
        return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)


class StatisticsReversed(_Input):
    """Mean and deviation are listed blue first, the image is red first."""

    cause = r"(mean|statistic|deviation|normaliz).*(blue|BGR|reverse|order)|(blue|BGR|reverse).*(mean|std|deviation)"
    mean, std = Port.mean[::-1], Port.std[::-1]


class FlipLeftOn(_Input):
    """The augmentation's horizontal flip is still there."""

    cause = r"flip|mirror|left.*right"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.flip(3))


class RowsAreInterleaved(_Input):
    """The bytes are (H, W, 3) and are read as (3, H, W)."""

    cause = r"NHWC|HWC|H, W, [3c]|interleav|channels.last|channel.*last"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.permute(0, 2, 3, 1).reshape(pixels.shape))


class SignedBytes(_Input):
    """The bytes are read as signed ones."""

    cause = r"signed|with a sign|int8|128|wrap|overflow"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels.to(torch.int8))


class LinearLight(_Input):
    """The image loader removes the gamma."""

    cause = r"gamma|linear light|sRGB|power|2\.2"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess((pixels.float() / 255) ** 2.2 * 255)


class CroppedAndResized(_Input):
    """The evaluation crop of 87.5 % is applied to an image that has the final size."""

    cause = r"crop|resiz|interpolat"

    def preprocess(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        crop = pixels[:, :, height // 16 + 1 : -(height // 16 + 1), 1:-1].float()
        return super().preprocess(F.interpolate(crop, (height, width), mode="bilinear", align_corners=False))


class OnePixelOff(_Input):
    """The image is one pixel to the right."""

    cause = r"pixel.*(right|column|off|shift|moved)|(shift|moved|roll|translat).*(pixel|column|1)"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(F.pad(pixels, (1, 0))[..., :-1])


class ImagesOfHalfPrecision(_Input):
    """The input is in half precision."""

    cause = r"half|float16|fp16|16.bit"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels).half().float()


class FirstImageTwice(_Input):
    """All images of a batch are the first one."""

    cause = r"first image|same image|image 0|batch|image b begins at 0, not"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels[:1].expand_as(pixels))


class LastRowNotRead(_Input):
    """The loop over rows ends one too early."""

    cause = r"last row|row.*(missing|zero|not)|zero.*row"

    def preprocess(self, pixels: Tensor) -> Tensor:
        x = super().preprocess(pixels)
        x[:, :, -1] = 0
        return x


class ClampedToOne(_Input):
    """The normalized image is clipped to 0 to 1, as images are."""

    cause = r"clamp|clip|limit"

    def preprocess(self, pixels: Tensor) -> Tensor:
        return super().preprocess(pixels).clamp(0, 1)


class GreyImage(_Input):
    """The image is converted to grey and stacked three times."""

    cause = r"gr[ae]y|luminance|luma|0\.299"

    def preprocess(self, pixels: Tensor) -> Tensor:
        grey = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return super().preprocess(grey.expand(pixels.shape))


class InputOfEightBits(_Input):
    """The normalized input is quantized, symmetrically and for the whole tensor."""

    cause = r"quanti|int8|8.bit|rounded to"

    def preprocess(self, pixels: Tensor) -> Tensor:
        x = super().preprocess(pixels)
        step = x.abs().max() / 127
        return (x / step).round() * step
