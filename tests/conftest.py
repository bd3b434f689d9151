"""Settings of the whole suite."""

import os

# Before NumPy is imported: test arrays are small, and several workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import HealthCheck, Phase, settings

from tests.gradient_errors import table

# Examples are the same in every run, so that a failure can be reproduced on another machine.
# HYPOTHESIS_PROFILE=explore draws new examples, and more; first_failure does not simplify a failing one.
settings.register_profile(
    "default", max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("first_failure", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate])
settings.register_profile("explore", max_examples=400, deadline=None, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    parser.addoption("--gradient-errors", action="store_true", help="print the largest error of each gradient check")


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--gradient-errors"):
        terminalreporter.section("gradient checks")
        for line in table():
            terminalreporter.write_line(line)
