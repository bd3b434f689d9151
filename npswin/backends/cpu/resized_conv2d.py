"""`resized_conv2d`: the product before the resizing, where there are fewer tokens.

A convolution is a sum over the places (i, j) of its kernel of linear maps of the tokens, each shifted; resizing is a
sum over neighbouring tokens, whose weights do not depend on the channel. So the two can be exchanged:

    y_hw = Σ_ij W_ij (R x)_(h+i)(w+j) = Σ_ij (R z_ij)_(h+i)(w+j)        with z_ij = W_ij x, at x's size

The product takes as many operations as x has tokens, a quarter or less of what it would take at y's size, and R x is
never in memory. What is left at y's size is a sum of a few numbers for each of y's. The sum over i is taken first, for
a whole row of z's columns: V_j = Σ_i (R along the rows) z_ij.

z has k² times as many channels as y; so y's channels are computed a part at a time.

Maps that are not enlarged are resized first, since nothing would be gained, and so that NaN and infinity spread as in
the definition: see `_can_exchange`.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.conv2d import conv2d_backward, conv2d_forward
from npswin.backends.cpu.fused.gathered_linear import GatheredLinearCall
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.resize import resize_bilinear_backward, resize_bilinear_forward
from npswin.backends.cpu.tile.precision import in_bfloat16
from npswin.ops.resize import bilinear_pixels
from npswin.types import Array

_ONE_PIECE = np.zeros((1, 1), np.int64)
_LARGEST_PART = 1 << 25  # bytes of z
_CHANNELS = 16  # a part has a multiple of so many


class _Sizes(NamedTuple):
    """Of one part.

    Attributes:
        height, width: of x and z.
        out_height, out_width: of y.
        side: k, of the kernel.
        channels: of the part.
        first_channel: of the part, in y.
        out_channels: of y.
    """

    height: int
    width: int
    out_height: int
    out_width: int
    side: int
    channels: int
    first_channel: int
    out_channels: int


class _Readings(NamedTuple):
    """What each row and each column of y's size reads of x's: see `bilinear_pixels`; two numbers each, flat.

    `first_reader` and `last_reader` are the first and the last row of y's size that reads a row of x's.
    """

    row: Array
    row_weight: Array
    column: Array
    column_weight: Array
    first_reader: Array
    last_reader: Array


@lru_cache(maxsize=64)
def _readings(size: tuple[int, int], out_size: tuple[int, int], dtype: Any) -> _Readings:
    axes = [bilinear_pixels(out, own) for out, own in zip(out_size, size, strict=True)]
    pixels, weights = [flat(pixel) for pixel, _ in axes], [flat(weight.astype(dtype)) for _, weight in axes]
    first, last = np.full(size[0], out_size[0]), np.full(size[0], -1)
    readers = np.repeat(np.arange(out_size[0]), 2)
    np.minimum.at(first, pixels[0], readers)
    np.maximum.at(last, pixels[0], readers)
    return _Readings(pixels[0], weights[0], pixels[1], weights[1], first, last)


@inner_function
def _add(count: int, factor: float, x: Array, at: int, out: Array, out_at: int) -> None:
    source, result = view(x, at, count), view(out, out_at, count)
    for c in range(count):
        result[c] += factor * source[c]


@inner_function
def _fill_zero(x: Array, at: int, count: int) -> None:
    out = view(x, at, count)
    for c in range(count):
        out[c] = 0


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, z: Array, y: Array, s: _Sizes, r: _Readings) -> None:
    """first, stop: rows of all images of y; z is (B, height, width, k·k·channels)."""
    taps, half = s.side * s.channels, s.side // 2
    for row in range(first, stop):
        image, h = divmod(row, s.out_height)
        _fill_zero(scratch, 0, s.width * taps)
        for i in range(s.side):
            reader = h + i - half
            if 0 <= reader < s.out_height:
                for k in range(2 * reader, 2 * reader + 2):
                    at = (image * s.height + r.row[k]) * s.width
                    for w in range(s.width):
                        _add(taps, r.row_weight[k], z, (at + w) * s.side * taps + i * taps, scratch, w * taps)
        for w in range(s.out_width):
            place = (row * s.out_width + w) * s.out_channels + s.first_channel
            _fill_zero(y, place, s.channels)
            for j in range(s.side):
                reader = w + j - half
                if 0 <= reader < s.out_width:
                    for k in range(2 * reader, 2 * reader + 2):
                        at = r.column[k] * taps + j * s.channels
                        _add(s.channels, r.column_weight[k], scratch, at, y, place)


@kernel
def _backward_columns(
    first: int, stop: int, part: int, scratch: Array, dy: Array, dv: Array, s: _Sizes, r: _Readings
) -> None:
    """dV of each row of dy, (B, out_height, width, k·channels), by the transpose of `_forward`'s last loops."""
    taps, half = s.side * s.channels, s.side // 2
    for row in range(first, stop):
        out = row * s.width * taps
        _fill_zero(dv, out, s.width * taps)
        for w in range(s.out_width):
            place = (row * s.out_width + w) * s.out_channels + s.first_channel
            for j in range(s.side):
                reader = w + j - half
                if 0 <= reader < s.out_width:
                    for k in range(2 * reader, 2 * reader + 2):
                        at = out + r.column[k] * taps + j * s.channels
                        _add(s.channels, r.column_weight[k], dy, place, dv, at)


@kernel
def _backward_rows(
    first: int, stop: int, part: int, scratch: Array, dv: Array, dz: Array, s: _Sizes, r: _Readings
) -> None:
    """first, stop: rows of all images of dz, which sums what reads it."""
    taps, half = s.side * s.channels, s.side // 2
    for row in range(first, stop):
        image, h = divmod(row, s.height)
        _fill_zero(dz, row * s.width * s.side * taps, s.width * s.side * taps)
        for reader in range(r.first_reader[h], r.last_reader[h] + 1):
            for k in range(2 * reader, 2 * reader + 2):
                if r.row[k] == h:
                    for i in range(s.side):
                        out_row = reader - i + half
                        if 0 <= out_row < s.out_height:
                            at = (image * s.out_height + out_row) * s.width * taps
                            for w in range(s.width):
                                out = (row * s.width + w) * s.side * taps + i * taps
                                _add(taps, r.row_weight[k], dv, at + w * taps, dz, out)


class _Call:
    """One call of the op, and what the backward pass needs: its arguments."""

    def __init__(self, x: Array, weight: Array, size: tuple[int, int]) -> None:
        self.x, self.weight, self.size = x, weight, size
        self.readings = _readings(x.shape[1:3], size, x.dtype)
        self.in_bfloat16 = in_bfloat16(x.dtype)

    def parts(self) -> list[_Sizes]:
        """The sizes of each part of the channels."""
        batch, height, width, _ = self.x.shape
        outputs, _, side, _ = self.weight.shape
        bytes_a_channel = batch * height * width * side**2 * self.x.itemsize
        channels = max(_LARGEST_PART // bytes_a_channel // _CHANNELS, 1) * _CHANNELS
        return [
            _Sizes(height, width, *self.size, side, min(channels, outputs - first), first, outputs)
            for first in range(0, outputs, channels)
        ]

    def product(self, sizes: _Sizes) -> GatheredLinearCall:
        """z of a part: one linear map of x's tokens for each place of the kernel."""
        own = self.weight[sizes.first_channel : sizes.first_channel + sizes.channels]
        own = own.transpose(2, 3, 0, 1).reshape(-1, self.x.shape[-1])
        call = GatheredLinearCall(self.x, self.x.size // self.x.shape[-1], _ONE_PIECE, own, None)
        call.in_bfloat16 = self.in_bfloat16
        return call

    def forward(self) -> Array:
        """y."""
        batch, dtype = len(self.x), self.x.dtype
        y = pooled_empty((batch, *self.size, len(self.weight)), dtype)
        for s in self.parts():
            z = self.product(s).forward(for_backward=False).reshape(-1)
            scratch = s.width * s.side * s.channels
            run_parallel(_forward, batch * s.out_height, scratch, dtype, z, y.reshape(-1), s, self.readings)
        return y

    def backward(self, dy: Array) -> tuple[Array, Array]:
        """dx and dweight."""
        batch, dtype, source = len(self.x), self.x.dtype, flat(dy)
        dweight, dx = np.empty(self.weight.shape, self.weight.dtype), None
        for s in self.parts():
            taps = s.side * s.channels
            dv = pooled_empty(batch * s.out_height * s.width * taps, dtype)
            run_parallel(_backward_columns, batch * s.out_height, 0, dtype, source, dv, s, self.readings)
            dz = pooled_empty(batch * s.height * s.width * s.side * taps, dtype)
            run_parallel(_backward_rows, batch * s.height, 0, dtype, dv, dz, s, self.readings)
            dpart, dproduct, *_ = self.product(s).backward(dz)
            dx = dpart if dx is None else dx + dpart
            dproduct = dproduct.reshape(s.side, s.side, s.channels, -1).transpose(2, 3, 0, 1)
            dweight[s.first_channel : s.first_channel + s.channels] = dproduct
        assert dx is not None
        return dx.reshape(self.x.shape), dweight


def _can_exchange(x: Array, weight: Array, size: tuple[int, int]) -> bool:
    """Whether the map is enlarged so much that each of its tokens meets each place of the kernel."""
    half = weight.shape[-1] // 2
    return all(
        out > own and (pixel[half:] == 0).any() and (pixel[: out - half] == own - 1).any()
        for out, own in zip(size, x.shape[1:3], strict=True)
        for pixel, _ in [bilinear_pixels(out, own)]
    )


def resized_conv2d_forward(x: Array, weight: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.resized_conv2d_forward`."""
    if not _can_exchange(x, weight, size):
        resized, resize_cache = resize_bilinear_forward(x, size)
        y, conv_cache = conv2d_forward(resized, weight, padding=weight.shape[-1] // 2)
        return y, (resize_cache, conv_cache)
    call = _Call(x, weight, size)
    return call.forward(), call


def resized_conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.resized_conv2d_backward`."""
    if isinstance(cache, _Call):
        return cache.backward(dy)
    resize_cache, conv_cache = cache
    dresized, dweight, _ = conv2d_backward(dy, conv_cache)
    return resize_bilinear_backward(dresized, resize_cache), dweight
