"""Weights in bfloat16 as the left operand of many tiles' products: W itself, and Wᵀ for the backward pass.

Their rows are as in `npswin.backends.cpu.simd.bfloat16`, each from the beginning of a line of the caches on. A weight
is used for many tokens, and rounded in about the time in which it is read from memory.
"""

from numba.extending import register_jitable

from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.bfloat16 import NUMBERS, round_rows, round_transposed
from npswin.backends.cpu.tile.sizes import CROWDED_BYTES
from npswin.types import Array


@register_jitable  # kernels call it too
def pairs_per_row(numbers: int) -> int:
    """Pairs from one row of so many numbers to the next."""
    pairs = round_up(numbers, NUMBERS) // 2
    return pairs + NUMBERS // 2 if 4 * pairs % CROWDED_BYTES == 0 else pairs


@kernel
def _round(
    first: int, stop: int, part: int, scratch: Array, weight: Array, inputs: int, pairs: Array, row: int
) -> None:
    """first, stop: rows of the weight."""
    round_rows(stop - first, inputs, (weight, first * inputs, inputs), (pairs, first * row, row))


@kernel
def _round_transposed(
    first: int, stop: int, part: int, scratch: Array, weight: Array, inputs: int, pairs: Array, row: int
) -> None:
    """first, stop: rows of the weight, in as many as fill a vector of pairs."""
    start, end = first * NUMBERS, min(stop * NUMBERS, weight.size // inputs)
    round_transposed(end - start, inputs, (weight, start * inputs, inputs), (pairs, start // 2, row))


def rounded_weight(weight: Array, inputs: int) -> Array:
    """W in rows of pairs, `pairs_per_row(inputs)` from one to the next, flat int32.

    Args:
        weight: W (outputs, inputs), flat float32.
        inputs: its columns.
    """
    outputs, row = weight.size // inputs, pairs_per_row(inputs)
    pairs = pooled_empty(outputs * row, "int32")
    run_parallel(_round, outputs, 0, weight.dtype, weight, inputs, pairs, row)
    return pairs


def rounded_transpose(weight: Array, inputs: int) -> Array:
    """Wᵀ in rows of pairs, `pairs_per_row(outputs)` from one to the next, flat int32; arguments as `rounded_weight`."""
    outputs = weight.size // inputs
    row = pairs_per_row(outputs)
    pairs = pooled_empty(inputs * row, "int32")
    run_parallel(_round_transposed, -(-outputs // NUMBERS), 0, weight.dtype, weight, inputs, pairs, row)
    return pairs
