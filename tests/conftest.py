"""Settings of the whole suite."""

import os

# Before NumPy is imported: test arrays are small, and several workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests import thorough
from tests.gradient_errors import table

# Examples are the same in every run, so that a failure can be reproduced on another machine. `--thorough` draws more of
# them. HYPOTHESIS_PROFILE=explore draws new examples, and more; first_failure does not simplify a failing one.
settings.register_profile(
    "default", max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=40)
settings.register_profile("first_failure", settings.get_profile("thorough"), phases=[Phase.explicit, Phase.generate])
settings.register_profile("explore", max_examples=400, deadline=None, derandomize=False)

LEFT = pytest.StashKey[int]()  # how many tests are left to --thorough
WORKER_LEFT = "left_to_thorough"


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="run tests marked thorough too, draw more examples")
    parser.addoption("--gradient-errors", action="store_true", help="print the largest error of each gradient check")


def pytest_configure(config):
    thorough.enabled = config.getoption("--thorough")
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "thorough" if thorough.enabled else "default"))


def pytest_collection_modifyitems(config, items):
    """Deselect the tests marked thorough, unless --thorough or a test's own name is given."""
    if thorough.enabled or any("::" in argument for argument in config.args):
        return
    left = [item for item in items if item.get_closest_marker("thorough")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    config.stash[LEFT] = len(left)
    if hasattr(config, "workeroutput"):
        config.workeroutput[WORKER_LEFT] = len(left)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Take the number of deselected tests from a worker of pytest-xdist, since only workers collect."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get(WORKER_LEFT, 0)


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--gradient-errors"):
        terminalreporter.section("gradient checks")
        for line in table():
            terminalreporter.write_line(line)
    if left := config.stash.get(LEFT, 0):
        terminalreporter.write_line(f"{left} more tests run with --thorough")
