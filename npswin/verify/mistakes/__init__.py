"""The catalogue of mistakes that ports make, each as a change of the graph, and general families beside it."""

from npswin.verify.mistakes.attention import ATTENTION
from npswin.verify.mistakes.bias_use import BIAS_USE
from npswin.verify.mistakes.blocks import BLOCKS
from npswin.verify.mistakes.detached import DETACHED
from npswin.verify.mistakes.drop_path import DROP_PATH
from npswin.verify.mistakes.dropped_input import DROPPED_INPUT
from npswin.verify.mistakes.execution import EXECUTION
from npswin.verify.mistakes.fitted import FITTED as FITTED_NUMBERS
from npswin.verify.mistakes.fitted import FittedMistake
from npswin.verify.mistakes.general import GENERAL
from npswin.verify.mistakes.gradients import GRADIENTS
from npswin.verify.mistakes.images import IMAGES
from npswin.verify.mistakes.later_bias import LATER_BIAS
from npswin.verify.mistakes.later_norm import LATER_NORM
from npswin.verify.mistakes.loss import LOSS
from npswin.verify.mistakes.mask import MASK
from npswin.verify.mistakes.mask_fit import MASK_FIT
from npswin.verify.mistakes.mask_use import MASK_USE
from npswin.verify.mistakes.mask_values import MASK_VALUES
from npswin.verify.mistakes.mistake import Changes, Mistake
from npswin.verify.mistakes.norm_order import NORM_ORDER
from npswin.verify.mistakes.norms import NORMS
from npswin.verify.mistakes.padded_keys import PADDED_KEYS
from npswin.verify.mistakes.padding import PADDING
from npswin.verify.mistakes.padding_order import PADDING_ORDER
from npswin.verify.mistakes.parameters import PARAMETERS
from npswin.verify.mistakes.position import POSITION
from npswin.verify.mistakes.preprocessing import PREPROCESSING
from npswin.verify.mistakes.scale import SCALE
from npswin.verify.mistakes.scale_use import SCALE_USE
from npswin.verify.mistakes.shift import SHIFT
from npswin.verify.mistakes.sizes import SIZES
from npswin.verify.mistakes.windows import WINDOWS

CATALOGUE: tuple[Mistake, ...] = (
    *IMAGES,
    *NORMS,
    *LATER_NORM,
    *LATER_BIAS,
    *SHIFT,
    *PADDING_ORDER,
    *PADDING,
    *PADDED_KEYS,
    *SIZES,
    *WINDOWS,
    *ATTENTION,
    *SCALE,
    *SCALE_USE,
    *POSITION,
    *BIAS_USE,
    *MASK,
    *MASK_USE,
    *BLOCKS,
    *EXECUTION,
    *NORM_ORDER,
    *PARAMETERS,
    *LOSS,
    *GRADIENTS,
    *DETACHED,
)

FITTED: tuple[FittedMistake, ...] = (
    *PREPROCESSING,
    *MASK_FIT,
    *MASK_VALUES,
    *DROP_PATH,
    *DROPPED_INPUT,
    *FITTED_NUMBERS,
)

__all__ = ["CATALOGUE", "FITTED", "GENERAL", "Changes", "Mistake"]
