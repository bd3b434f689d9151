"""Arithmetic of a given precision: stored numbers are rounded, to nearest or at random.

A port takes sums in another order than npswin, and its compiler contracts other products. The effect on a tensor is
that of random roundings (Vignes 1993: stochastic arithmetic): each stored number y becomes y (1 + u ξ), with ξ uniform
in (-1, 1) and u the unit roundoff.

A sum of n terms that are added one after the other is rounded n times, each time as large as it is by then. With terms
of deviation σ the k-th partial sum is √k σ, a rounding of it has the deviation u √k σ/√3, and all together
u σ √(Σ k / 3) = u σ n/√6: relative to the sum's own size √n σ that is u √(n/6). Noise of this size is added as well.
Products of 16 bits are summed in float32. The rows of a parameter's gradient are not always, as in PyTorch's norms on a
CPU: there each thread adds its rows one after the other in 16 bits. A sum that has grown no longer changes by a small
row, so that the error depends on the rows themselves, and such sums are computed as they are there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any
from zlib import crc32

import numpy as np

from npswin.types import Array

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
UNIT_ROUNDOFF["int8"] = UNIT_ROUNDOFF["float32"]  # its products have int8 factors, and nothing else is rounded to int8
THREADS = (1, 2, 4, 8)  # that share the rows of a sum, in one random run after the other
INT8_ROUNDING = 1 / 254  # the largest rounding error of int8 over the largest number, with 127 steps up to it
SMALL = 4096  # numbers of an array whose random numbers are cached: a search computes the same tensors many times


@dataclass
class Arithmetic:
    """How numbers are computed and stored.

    Attributes:
        precision: "float64", "float32", "tf32", "int8", "float16" or "bfloat16"; the last two are computed in float32
            and rounded when they are stored, as tensor cores do; tf32 is float32 with products of float16's digits,
            int8 is float32 with products whose factors have 255 steps, one scale for a tensor.
        seed: of random roundings, which for a tensor depend on its name alone; None rounds to nearest.
    """

    precision: str
    seed: int | None = None

    @property
    def dtype(self) -> Any:
        """The dtype in which NumPy computes."""
        return np.float64 if self.precision == "float64" else np.float32

    @property
    def sums_rows_in_16_bits(self) -> bool:
        """Whether it is a port's arithmetic in which the sums over the rows of a norm may be taken in 16 bits."""
        return self.seed is not None and self.precision in ("float16", "bfloat16")

    def sum_of_rows(self, terms: Array) -> Array:
        """The sum (C,) over the rows of terms (..., C), partial sums rounded; the seed chooses how many threads."""
        rows = np.asarray(terms, np.float32).reshape(-1, terms.shape[-1])
        parts = [
            self._sum_in_order(part)
            for part in np.array_split(rows, THREADS[(self.seed or 0) % len(THREADS)])
            if len(part)
        ]
        return self._sum_in_order(parts)

    def _sum_in_order(self, rows: Iterable[Array]) -> Array:
        return reduce(lambda total, row: rounded(total + row, self.precision), rows)

    def factor(self, array: Array, name: str) -> Array:
        """A factor of a product of matrices; of int8 with a rounding error, which is as large for each number.

        Args:
            array: the numbers.
            name: seeds the random roundings.
        """
        if self.precision != "int8" or self.seed is None:
            return array
        uniform = _random_numbers(self.seed, name, array.shape, 0)[0]
        largest = np.abs(array, where=np.isfinite(array), out=np.zeros_like(array)).max(initial=0)
        return np.asarray(array + INT8_ROUNDING * largest * uniform, self.dtype)

    def load(self, array: Array, name: str = "", precision: str | None = None) -> Array:
        """A given array, with numbers of `precision`, rounded as this arithmetic stores it; integers stay."""
        if not np.issubdtype(array.dtype, np.floating):
            return array
        return self.store(array, name, unit=storage_roundoff(precision or self.precision))

    def store(
        self,
        array: Array,
        name: str = "",
        terms: int = 1,
        rows: bool = False,
        product: bool = False,
        unit: float = 0.0,
    ) -> Array:
        """A computed array, rounded as this arithmetic stores it.

        Args:
            array: the numbers.
            name: of the tensor; seeds its random roundings.
            terms: how many terms were summed for each number.
            rows: whether these terms are the rows of a parameter's gradient.
            product: whether it is a product of matrices.
            unit: the unit roundoff of the numbers, where it is coarser than the arithmetic's.
        """
        array = np.asarray(array, self.dtype)
        if self.seed is not None:
            own = storage_roundoff(self.precision)
            coarse_factors = product and self.precision == "tf32"
            draw = _cached_random_numbers if array.size <= SMALL else _random_numbers
            uniform, *normal = draw(self.seed, name, array.shape, (terms > 1) + coarse_factors)
            is_finite = array.ndim > 0 and array.flags.c_contiguous and np.isfinite(array).all()
            finite = array if is_finite else np.where(np.isfinite(array), array, 0)
            noise = uniform.copy()
            noise *= max(unit, own) * finite
            if terms > 1:
                sums = normal.pop(0)
                noise += (own if rows else np.finfo(self.dtype).eps / 2) * np.sqrt(terms / 6) * _rms(finite) * sums
            if coarse_factors:  # both factors of each term were rounded
                noise += UNIT_ROUNDOFF["tf32"] * _rms(finite) * normal.pop(0)
            with np.errstate(over="ignore"):
                noisy = array + noise
            if is_finite and np.isfinite(noisy).all():
                array = noisy
            else:
                array = np.where(np.isfinite(noisy), noisy, array).astype(self.dtype)
        return rounded(array, self.precision)


def storage_roundoff(precision: str) -> float:
    """The unit roundoff of numbers stored in a precision; those of tf32 are float32 numbers."""
    return UNIT_ROUNDOFF["float32" if precision == "tf32" else precision]


def _random_numbers(seed: int, name: str, shape: tuple[int, ...], normal: int) -> list[Array]:
    """Uniform numbers from -1 to 1, then so many arrays of standard normal ones, each of this shape."""
    rng = np.random.default_rng([seed, crc32(name.encode())])
    numbers = [rng.random(shape, np.float32) * 2 - 1]
    numbers += [rng.standard_normal(shape, np.float32) for _ in range(normal)]
    return numbers


_cached_random_numbers = lru_cache(maxsize=2048)(_random_numbers)


def _rms(array: Array) -> float:
    """The root mean square."""
    flat = array.reshape(-1)
    return float(np.sqrt(np.vdot(flat, flat) / flat.size)) if flat.size else 0.0


def is_representable_in(precision: str, array: Array) -> bool:
    """Whether a precision represents every number of an array exactly."""
    finite = array[np.isfinite(array)]
    with np.errstate(over="ignore"):
        short = finite.astype(np.float64 if precision == "float64" else np.float32)
    return bool(np.array_equal(rounded(short, precision), finite))


def rounded(array: Array, precision: str) -> Array:
    """Float32 numbers rounded to the nearest of 16 bits, for float16 and bfloat16; the dtype stays float32."""
    if precision == "float16":
        with np.errstate(over="ignore"):
            return array.astype(np.float16).astype(np.float32)
    if precision == "bfloat16":
        bits = np.asarray(array, np.float32, order="C").view(np.uint32)
        even = (bits >> 16) & 1
        nearest = ((bits + 0x7FFF + even) & np.uint32(0xFFFF0000)).view(np.float32)
        return np.where(np.isfinite(array), nearest, array)
    return array


FLOAT64 = Arithmetic("float64")
