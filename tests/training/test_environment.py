"""The limit on BLAS threads, and libraries that are not installed."""

import numpy as np
import pytest

from npswin.training import set_threads
from npswin.training.environment import import_optional

threadpoolctl = pytest.importorskip("threadpoolctl")


def _threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_set_threads_limits_blas():
    with threadpoolctl.threadpool_limits():  # restores the limits afterwards
        set_threads(1)
        assert _threads() <= {1}


def test_set_threads_takes_at_least_one():
    with pytest.raises(ValueError, match=r"^count: got 0"):
        set_threads(0)


def test_import_optional_names_the_extra():
    with pytest.raises(ImportError, match=r"no_such_library is not installed; pip install 'npswin\[train\]'"):
        import_optional("no_such_library.part")
