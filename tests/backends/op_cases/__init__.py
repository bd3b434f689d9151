"""Drawn arguments for every op of `npswin.ops`, which backends are compared on.

A function of an op's name, a pair counting as one, draws a `Case`; `large` asks for enough tokens to fill several
tiles. The functions are in a file for each area, and in its `CASES`; case.py has what they share.
"""

from tests.backends.op_cases import attention, boxes, elementwise, losses, maps, patches, updates
from tests.backends.op_cases.case import Case, Seed, norm_parameters, weight_parameter
from tests.ops.drawn import SEEDS

__all__ = ["DRAWING", "OPS", "UPDATES", "Case", "Seed", "draw_cases", "norm_parameters", "weight_parameter"]

_AREAS = (attention, boxes, elementwise, losses, maps, patches, updates)
OPS = dict(sorted((function.__name__, function) for area in _AREAS for function in area.CASES))
# They change their arguments in place; all other ops leave them as they are.
UPDATES = {"adamw_update", "adamw_update_all", "ema_update", "ema_update_all", "sgd_update", "sgd_update_all"}
DRAWING = {"draw_mask"}  # take numbers from a generator


def draw_cases(op, draw, large):
    """A case of the op, and others of the same shapes and variants with other numbers: eight, or one if it is large."""
    draws = []

    def remember(strategy):
        draws.append((strategy, draw(strategy)))
        return draws[-1][1]

    def again(number):
        values = iter([value + number if strategy is SEEDS else value for strategy, value in draws])
        return OPS[op](lambda _: next(values), large)

    return [OPS[op](remember, large), *(again(number) for number in range(1, 2 if large else 9))]
