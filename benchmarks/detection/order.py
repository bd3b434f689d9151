"""The order in which sums are taken, which changes rounding errors only."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class Order:
    """An order drawn at random, or without a seed the usual one.

    Every permutation is undone where its axis remains, so a sum over that axis in the backward pass is taken in another
    order too.

    Args:
        seed: of the order.
        stored: the dtype to which a product's parts are rounded before they are added, where an order is drawn.
    """

    def __init__(self, seed: int | None, stored: torch.dtype) -> None:
        self.stored = stored
        self.rng = None if seed is None else np.random.default_rng(seed)

    def permutation(self, size: int) -> Tensor:
        assert self.rng is not None
        return torch.from_numpy(self.rng.permutation(size))

    def choice(self, alternatives: Sequence[T]) -> T:
        """One of several equal formulas; the first without a seed."""
        return alternatives[0 if self.rng is None else int(self.rng.integers(len(alternatives)))]

    def shuffled(self, x: Tensor, dim: int) -> Tensor:
        """x permuted along an axis that is summed next."""
        return x if self.rng is None else x.index_select(dim, self.permutation(x.shape[dim]))

    def around(self, function: Callable[[Tensor], Tensor], x: Tensor, *dims: int) -> Tensor:
        """function(x) with x permuted along these axes and the result permuted back; the function has to allow it."""
        if self.rng is None:
            return function(x)
        permutations = {dim: self.permutation(x.shape[dim]) for dim in dims}
        for dim, permutation in permutations.items():
            x = x.index_select(dim, permutation)
        y = function(x)
        for dim, permutation in permutations.items():
            y = y.index_select(dim, permutation.argsort())
        return y

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """a (..., n, k) times b (..., k, m), in up to three sums of a part of k each."""
        if self.rng is None:
            return a @ b
        inner, columns = self.permutation(a.shape[-1]), self.permutation(b.shape[-1])
        b = b.index_select(-2, inner).index_select(-1, columns)
        part = -(-len(inner) // self.choice((1, 2, 3)))

        def multiply(rows: Tensor) -> Tensor:
            pairs = zip(rows.index_select(-1, inner).split(part, -1), b.split(part, -2), strict=True)
            products = [(left @ right).to(self.stored).to(left.dtype) for left, right in pairs]
            return sum(products[1:], products[0])

        return self.around(multiply, a, -2).index_select(-1, columns.argsort())
