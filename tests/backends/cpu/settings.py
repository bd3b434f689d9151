"""The cpu backend under other settings than the default, and the ops that its tests are run for."""

import inspect
import sys
from contextlib import contextmanager
from unittest import mock

from npswin.backends import cpu
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import set_thread_count, thread_count
from tests.backends.comparison import implemented_ops, is_pair

IMPLEMENTED = implemented_ops("cpu")
PAIRS = [op for op in IMPLEMENTED if is_pair(op)]
INFERENCE = [op for op in PAIRS if inspect.isfunction(getattr(cpu, op, None))]  # else it is the op's module

LIMIT = 3  # times the error to be expected; the largest seen in thousands of cases is 1.9


@contextmanager
def cpu_settings(threads=1, chunk_bytes=None, tile_bytes=None, own_sums_bytes=None):
    """The backend with this many threads, and with tiles and chunks of tiles of another size than the default.

    own_sums_bytes: 0 where no part adds up gradients for itself, as it does where they are small by default.
    """
    before = thread_count()
    wanted = {"CHUNK_BYTES": chunk_bytes, "TILE_BYTES": tile_bytes, "OWN_SUMS_BYTES": own_sums_bytes}
    wanted["HIDDEN_ROWS"] = None if tile_bytes is None else TILE_ROWS  # several pieces of a small hidden layer
    patches = [
        mock.patch.object(module, name, value)
        for module_name, module in list(sys.modules.items())
        if module_name.startswith(cpu.__name__)
        for name, value in wanted.items()
        if value is not None and hasattr(module, name)
    ]
    assert len(patches) >= sum(value is not None for value in wanted.values())
    try:
        for patch in patches:
            patch.start()
        set_thread_count(threads)
        yield
    finally:
        set_thread_count(before)
        for patch in patches:
            patch.stop()
