"""Compilation of the cpu backend: for other processors, and with its code cached on disk or not at all."""

import gc
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from npswin.backends.cpu.machine.compilation import without_garbage_collection

ROOT = Path(__file__).resolve().parents[3]


def run(program, folder, path=ROOT, **variables):
    """The output of a program in a new Python process that caches compiled code in a folder."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(path), **variables}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.thorough
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of the x86 family")
@pytest.mark.parametrize(
    ("name", "features", "vector_bytes"),
    [("x86-64", "sse2", 16), ("haswell", "sse4.2 avx avx2 fma bmi bmi2", 32)],
)
def test_ops_equal_their_definitions_on_processors_with_shorter_vectors(
    name, features, vector_bytes, request, tmp_path
):
    missing = [feature for feature in features.split() if not llvm.get_host_cpu_features().get(feature)]
    if missing:
        pytest.skip(f"this processor lacks {', '.join(missing)}")
    program = f"""
import sys, pytest
from npswin.backends.cpu.machine.processor import VECTOR_BYTES
assert VECTOR_BYTES == {vector_bytes}, VECTOR_BYTES
selected = "contiguous-float32 and equals_its_definition and (attention_branch or mlp_branch or patch_merging)"
sys.exit(pytest.main([
    *("-q", "-p", "no:cacheprovider", "-k", f"test_the_product or ({{selected}})"),
    *("tests/backends/cpu/test_ops.py", "tests/backends/cpu/test_matrix_product.py"),
]))
"""
    features = ",".join(f"+{feature}" for feature in features.split())
    # kept from one run of the suite to the next, since compiling takes far longer than the tests
    pytest_cache = getattr(request.config, "cache", None)
    folder = pytest_cache.mkdir(f"npswin-{vector_bytes}-byte-vectors") if pytest_cache else tmp_path
    printed = run(program, folder, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert "7 passed" in printed


GELU = """
import npswin, numpy as np
from npswin.backends import cpu
from npswin.backends.cpu.gelu import _forward as kernel
y, _ = cpu.gelu_forward(np.ones(50, np.float32))
print(npswin.__file__, y[0], sum(kernel.stats.cache_hits.values()), kernel.stats.cache_path)
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package that a test may change."""
    shutil.copytree(ROOT / "npswin", tmp_path / "copy" / "npswin", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def gelu_of_one(package, folder, **variables):
    """GELU(1) by a copy of the package; whether its code was found on disk; the cache's folder."""
    file, y, hits, cache_path = run(GELU, folder, package, **variables).split()
    assert Path(file).is_relative_to(package)
    return float(y), bool(int(hits)), cache_path


def test_cached_code_is_used_until_any_source_file_changes(package, tmp_path):
    folder = tmp_path / "cache"
    y, found, cache_path = gelu_of_one(package, folder)
    assert y == pytest.approx(0.8413447)
    assert not found
    assert Path(cache_path).is_relative_to(folder)
    assert gelu_of_one(package, folder) == (y, True, cache_path)

    # not the file of the kernel
    source = package / "npswin" / "backends" / "cpu" / "simd" / "elementary_functions.py"
    source.write_text(
        source.read_text(encoding="utf-8").replace("bottom + f(0.5)", "bottom + f(1.5)"), encoding="utf-8"
    )
    assert gelu_of_one(package, folder) == (pytest.approx(1 + y), False, cache_path)


def test_processes_that_compile_concurrently_do_not_mix_up_their_code(tmp_path):
    program = """
import sys
from npswin.backends.cpu.machine.code_cache import CodeFiles

compiled = {name: CodeFiles(sys.argv[1], "function", "stamp") for name in ("one", "other")}
# both have looked for code before either has saved its own
assert all(files.load(name) is None for name, files in compiled.items())
for number, (name, files) in enumerate(compiled.items(), 1):
    files.save(name, number)
print(compiled["one"].load("one"), compiled["other"].load("other"))
"""
    assert run(f"import sys; sys.argv.append({str(tmp_path)!r})\n{program}", tmp_path).split() == ["1", "2"]


def test_ops_work_where_no_code_can_be_cached(package, tmp_path):
    backend = package / "npswin" / "backends" / "cpu"
    for folder in (backend, *(path for path in backend.iterdir() if path.is_dir())):
        (folder / "__pycache__").touch()  # a file where a folder would have to be
    file = tmp_path / "file"
    file.touch()
    environment = {"HOME": str(file), "XDG_CACHE_HOME": str(file / "cache"), "LOCALAPPDATA": str(file / "cache")}
    y, found, cache_path = gelu_of_one(package, file / "cache", **environment)
    assert y == pytest.approx(0.8413447)
    assert not found
    assert cache_path == "None"


def test_code_from_disk_is_loaded_without_what_compiles_it(tmp_path):
    program = f"{GELU}\nimport sys\nprint('numba.np.arraymath' in sys.modules)"
    assert run(program, tmp_path).split()[-1] == "True"
    assert run(program, tmp_path).split()[-1] == "False"


@pytest.mark.parametrize("enabled", [False, True])
def test_garbage_is_collected_again_after_something_was_compiled(enabled, monkeypatch):
    states = []
    monkeypatch.setattr(gc, "isenabled", lambda: enabled)
    monkeypatch.setattr(gc, "disable", lambda: states.append(False))
    monkeypatch.setattr(gc, "enable", lambda: states.append(True))
    with suppress(KeyError), without_garbage_collection():
        raise KeyError
    assert states == ([False, True] if enabled else [False])
