"""The factor of x in GELU, and wrong ones."""

import math
from collections.abc import Callable

from torch import Tensor

from benchmarks.detection.order import Order

Gate = Callable[[Tensor], Tensor]


def right_gate(order: Order) -> Gate:
    """(1 + erf(x/√2)) / 2."""
    root = math.sqrt(0.5)
    return order.choice((lambda x: 0.5 * (1 + (x * root).erf()), lambda x: 0.5 * (-x * root).erfc()))


def with_tanh(x: Tensor) -> Tensor:
    return 0.5 * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


def with_rational_erf(x: Tensor) -> Tensor:
    """Abramowitz and Stegun 7.1.26: erf(z) = 1 - (a1 t + ... + a5 t⁵) exp(-z²), t = 1 / (1 + p z), for z > 0."""
    z = x.abs() * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * z)
    powers = 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429
    series = sum(factor * t ** (power + 1) for power, factor in enumerate(powers))
    return 0.5 * (1 + x.sign() * (1 - series * (-z * z).exp()))


WRONG_GATES: dict[str, Gate] = {
    "gelu-tanh": with_tanh,
    "gelu-sigmoid": lambda x: (1.702 * x).sigmoid(),
    "gelu-erf": with_rational_erf,
    "gelu-relu": lambda x: (x > 0).to(x.dtype),
    "gelu-silu": lambda x: x.sigmoid(),
}
