"""General families of mistakes, tried where the catalogue has no explanation.

An entry of the catalogue is a mistake that is known; a family is a kind of change that can be made at any operation:
another input, another function after it, the operation left out or done twice. What a family finds is described in the
port's terms, such as "the input is layers.0.blocks.0 instead of layers.0.blocks.0.norm1".
"""

from npswin.verify.mistakes.general.backward import BACKWARD
from npswin.verify.mistakes.general.functions import FUNCTIONS_AFTER
from npswin.verify.mistakes.general.inputs import INPUTS
from npswin.verify.mistakes.general.norms import NORMS
from npswin.verify.mistakes.general.parameters import PARAMETERS
from npswin.verify.mistakes.general.places import PLACES
from npswin.verify.mistakes.general.pool import POOL
from npswin.verify.mistakes.general.recomputed import RECOMPUTED
from npswin.verify.mistakes.general.saved import SAVED
from npswin.verify.mistakes.general.scores import SCORES
from npswin.verify.mistakes.general.softmax import SOFTMAX
from npswin.verify.mistakes.mistake import Mistake

GENERAL: tuple[Mistake, ...] = (
    *INPUTS,
    *SCORES,
    *NORMS,
    *SOFTMAX,
    *POOL,
    *PARAMETERS,
    *FUNCTIONS_AFTER,
    *PLACES,
    *BACKWARD,
    *RECOMPUTED,
    *SAVED,
)

__all__ = ["GENERAL"]
