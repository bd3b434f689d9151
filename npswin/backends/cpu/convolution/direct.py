"""A convolution, or its derivative by x, as the sum over the kernel's places that defines it.

    target[rows] += source[rows] W_ij        for each place (i, j)

Rows of a group are summed in working memory that stays in the L2 cache. Each place adds to them a product for each row
of the map, whose left operand is the source map as it lies; only entries on the map are multiplied.
"""

from typing import NamedTuple

from npswin.backends.cpu.convolution.panels import PANEL, pack_panels
from npswin.backends.cpu.convolution.places import Places
from npswin.backends.cpu.machine.arrays import flat, flat_or_full
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import PARTS_PER_THREAD, run_parallel, thread_count
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT
from npswin.types import Array

_GROUP_TOKENS = 256
_MOST_DEPTH = 512  # of one product: a few rows of the source stay in the L1 cache
_BLOCK_BYTES = 256 * 1024  # of the weights of one place, which stay in the L2 cache


class _Sizes(NamedTuple):
    """How the work is cut.

    Attributes:
        depth: channels of the source.
        channels: of the target.
        panels: of the weight.
        rows: of all images' target maps.
        group: rows that are summed together.
        blocks: parts of the target's channels, each a piece of work for each group.
        block: channels of such a part, a multiple of PANEL.
        step: channels of the source that are multiplied together.
    """

    depth: int
    channels: int
    panels: int
    rows: int
    group: int
    blocks: int
    block: int
    step: int


@inner_function
def _add_products(
    source: Array,
    at: int,
    row: int,
    depth: int,
    tokens: int,
    panels: Array,
    panel: int,
    panel_size: int,
    out: Array,
    out_at: int,
    out_row: int,
    width: int,
) -> None:
    """out[token] += source[token] · weights for some tokens of a row of the map, TILE_ROWS at a time."""
    for t in range(0, tokens, TILE_ROWS):
        left = (source, at + t * row, row, 1)
        for c in range(0, width, PANEL):
            right = (panels, panel + c // PANEL * panel_size, PANEL)
            result = (out, out_at + t * out_row + c, out_row)
            lanes_product(min(TILE_ROWS, tokens - t), PANEL, depth, left, right, result, FROM_OUTPUT, (out, 0))


@kernel
def _sum_places(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    source: Array,
    panels: Array,
    bias: Array,
    target: Array,
    p: Places,
    s: _Sizes,
) -> None:
    """first, stop: pairs of a group of rows and a block of channels."""
    panel_size = s.depth * PANEL
    for work in range(first, stop):
        group, block = divmod(work, s.blocks)
        first_row, last_row = group * s.group, min(s.rows, (group + 1) * s.group)
        channel = block * s.block
        width = min(s.block, s.panels * PANEL - channel)
        used = min(width, s.channels - channel)
        for token in range((last_row - first_row) * p.width):
            for c in range(used):
                scratch[token * width + c] = bias[channel + c]
        for start in range(0, s.depth, s.step):
            for place in range(p.kernel_height * p.kernel_width):
                i, j = divmod(place, p.kernel_width)
                panel = (place * s.panels + channel // PANEL) * panel_size + start * PANEL
                for row in range(first_row, last_row):
                    image, image_row = divmod(row, p.height)
                    source_row = p.rows[image_row * p.kernel_height + i]
                    if source_row >= 0:
                        token = (image * p.source_height + source_row) * p.source_width + p.source_first[j]
                        result = (row - first_row) * p.width + p.first[j]
                        _add_products(
                            *(source, token * s.depth + start, p.source_step * s.depth, min(s.step, s.depth - start)),
                            *(p.counts[j], panels, panel, panel_size, scratch, result * width, p.step * width, width),
                        )
        for token in range((last_row - first_row) * p.width):
            out = view(target, (first_row * p.width + token) * s.channels + channel, used)
            summed = view(scratch, token * width, used)
            for c in range(used):
                out[c] = summed[c]


def sum_places(source: Array, weight: Array, bias: Array | None, places: Places, transposed: bool) -> Array:
    """The target map.

    Args:
        source: x (B, H, W, I), or dy (B, H', W', O) where it is transposed.
        weight: (O, I, kh, kw).
        bias: of the target's channels, or None.
        places: which entries of the two meet.
        transposed: whether dx is made of dy.
    """
    panels, layout = pack_panels(weight, transposed)
    depth, channels, threads = layout.depth, layout.size, thread_count()
    rows, steps = len(source) * places.height, -(-depth // _MOST_DEPTH)
    step = -(-depth // steps)
    most = max(1, _BLOCK_BYTES // (step * PANEL * weight.itemsize))
    blocks = -(-layout.panels // most)
    group = min(max(1, _GROUP_TOKENS // places.width), max(1, rows * blocks // (threads * PARTS_PER_THREAD)))
    sizes = _Sizes(depth, channels, layout.panels, rows, group, blocks, min(most, layout.panels) * PANEL, step)
    target = pooled_empty((len(source), places.height, places.width, channels), source.dtype)
    run_parallel(
        *(_sum_places, -(-rows // group) * blocks, group * places.width * sizes.block, source.dtype),
        *(flat(source), panels, flat_or_full(bias, channels, source), target.reshape(-1), places, sizes),
    )
    return target
