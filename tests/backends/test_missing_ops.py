"""Which ops a backend implements, and that each op of `npswin.ops` has drawn arguments to compare it on."""

from importlib import import_module

import pytest

from npswin import ops
from npswin.backends import missing_ops
from tests.backends.comparison import op_of
from tests.backends.missing_ops import MISSING
from tests.backends.op_cases import OPS

both_backends = pytest.mark.parametrize("backend", sorted(MISSING))


@both_backends
def test_the_ops_that_a_backend_lacks_are_listed(backend):
    found, listed = set(missing_ops(backend)), set(MISSING[backend])
    assert not found - listed, (
        f"the {backend} backend lacks {', '.join(sorted(found - listed))}: implement them in "
        f"npswin/backends/{backend}, in a file with the same name as in npswin/ops; or add them to "
        f"MISSING['{backend}'] in tests/backends/missing_ops.py, and they run as their definition"
    )
    assert not listed - found, (
        f"the {backend} backend has {', '.join(sorted(listed - found))}, which tests/backends/missing_ops.py lists as "
        "missing: remove them from the list"
    )


@both_backends
def test_a_backend_has_both_functions_of_a_pair_or_none(backend):
    module = import_module(f"npswin.backends.{backend}")
    for name in ops.__all__:
        if name.endswith("_forward"):
            assert hasattr(module, name) == hasattr(module, f"{op_of(name)}_backward"), name


def test_every_op_has_drawn_arguments():
    op_names = {op_of(name) for name in ops.__all__}
    assert not op_names - set(OPS), (
        f"no drawn arguments for {', '.join(sorted(op_names - set(OPS)))}: add a function of each op's name, which "
        "draws a Case, and its name to CASES, in a file of tests/backends/op_cases; backends are then compared on them"
    )
    assert not set(OPS) - op_names, "tests/backends/op_cases has arguments for ops that npswin.ops lacks"
