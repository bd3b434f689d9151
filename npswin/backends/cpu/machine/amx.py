"""Asking Linux for the processor's tile registers (AMX).

The tiles of a thread are 8 KiB that the system saves where it switches threads. So Linux grants them only to a process
that asks; the first tile instruction of one that did not ask ends it by SIGILL. What is granted holds for all threads
of the process, those that run already too, and for processes that it forks. Linux refuses for lack of space (ENOSPC)
where a thread has set up a stack for signals that cannot hold the tiles.

Source: https://docs.kernel.org/arch/x86/xstate.html
"""

import ctypes
import os
import sys
from functools import lru_cache

_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


@lru_cache(maxsize=1)
def why_tiles_are_refused() -> str | None:
    """Ask for the tile registers of a processor that has them, once in a process.

    Returns:
        None where the process may use them, else the reason, in a few words.
    """
    if sys.platform != "linux":
        return f"tile instructions (AMX) are used on Linux only, not on {sys.platform}"
    system = ctypes.CDLL(None, use_errno=True)
    request = map(ctypes.c_long, (_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA))
    if system.syscall(*request) == 0:
        return None
    return f"Linux refuses the tile registers (AMX) to this process: {os.strerror(ctypes.get_errno())}"
