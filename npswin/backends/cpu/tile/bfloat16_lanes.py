"""A tile's tokens, normalized, as the right operand of a product in bfloat16."""

from npswin.backends.cpu.machine.compilation import shared_function
from npswin.backends.cpu.simd.bfloat16 import LANES, store_paired
from npswin.backends.cpu.simd.intrinsics import load
from npswin.backends.cpu.tile.lanes import Lanes, compute_stats
from npswin.types import Array


@shared_function
def normalize_to_pairs(
    lanes: Lanes,
    count: int,
    channels: int,
    norm: tuple[Array, Array],
    stats: tuple[Array, int],
    out: tuple[Array, int, int],
) -> None:
    """`normalize` with its result in pair rows: those of two channels in one row.

    Args:
        lanes: the tile, float32.
        count: of lanes, whole vectors.
        channels: of the tile, an even number.
        norm, stats: as of `normalize`.
        out: (pairs, offset, row); may be the tile's own memory.
    """
    x, offset, stride = lanes
    pairs, place, row = out
    weight, bias = norm
    compute_stats(lanes, count, channels, stats)
    means, rstds = stats[1], stats[1] + stride
    for k in range(channels // 2):
        c, low_at, high_at = 2 * k, offset + 2 * k * stride, offset + (2 * k + 1) * stride
        for i in range(0, count, LANES):
            mean, rstd = load(stats[0], means + i), load(stats[0], rstds + i)
            low = (load(x, low_at + i) - mean) * rstd * weight[c] + bias[c]
            high = (load(x, high_at + i) - mean) * rstd * weight[c + 1] + bias[c + 1]
            store_paired(pairs, place + k * row + i, low, high)
