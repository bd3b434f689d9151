"""The mask of shifted windows, copied to the GPU once; `window_partition` and `window_reverse` are the definition's."""

from functools import partial

from npswin.backends.cuda.runtime.constants import constant
from npswin.ops import windows

shift_mask = partial(constant, windows.shift_mask)
