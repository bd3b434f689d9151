"""A finished run of each task, made once."""

import pytest

from npswin import backends

pytest.importorskip("PIL")
pytest.importorskip("filelock")
pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

from tests.training.prediction.runs import finished_run


@pytest.fixture(autouse=True, scope="package")
def plain_numpy():
    """The numpy backend, which compiles nothing; commands that set another one do so for themselves."""
    before = backends.get_backend()
    backends.set_backend("numpy")
    yield
    backends.set_backend(before)


@pytest.fixture(scope="package")
def run_of(plain_numpy, tmp_path_factory):
    """A function that returns the `FinishedRun` of a kind."""
    runs = {}

    def get(kind):
        if kind not in runs:
            runs[kind] = finished_run(kind, tmp_path_factory.mktemp(kind))
        return runs[kind]

    return get
