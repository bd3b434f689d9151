"""The limit on BLAS threads."""

import numpy as np
import pytest

from npswin.training import set_threads

threadpoolctl = pytest.importorskip("threadpoolctl")


def _threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_limit_holds():
    with threadpoolctl.threadpool_limits():  # puts back what was
        set_threads(1)
        assert _threads() <= {1}


def test_at_least_one():
    with pytest.raises(ValueError, match=r"^threads: got 0"):
        set_threads(0)
