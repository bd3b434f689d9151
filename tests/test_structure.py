"""The structure of the package: what may import what, no import cycles, a file per op, no extras at import."""

import ast
import subprocess
import sys
from importlib import import_module

import pytest

from npswin import ops
from npswin.backends import missing_ops
from tests.tools.import_graph import PACKAGE, find_cycles, import_graph, imports_of, package_of

# A package imports from the layers below it only. "npswin" is npswin/__init__.py.
LAYERS = [
    ("types", "deprecation", "devices", "files", "progress"),
    ("checks",),
    ("ops", "data", "weights"),
    ("backends",),
    ("detection",),
    ("layers",),
    ("models",),
    ("verify", "training"),
    ("cli", "npswin"),
    ("__main__",),
]
LAYER_OF = {package: number for number, packages in enumerate(LAYERS) for package in packages}
SAME_LAYER = {("weights", "ops"): "resizes bias tables with resize_bicubic"}
EXTRAS = (
    *("filelock", "matplotlib", "PIL", "pooch", "pycocotools", "tqdm", "threadpoolctl", "torch", "numba", "cupy"),
    "safetensors",
)


@pytest.fixture(scope="module")
def graph():
    return import_graph()


def test_every_package_has_a_layer(graph):
    assert {package_of(module) for module in graph} == set(LAYER_OF)


def test_packages_import_from_lower_layers_only(graph):
    wrong = [
        f"{module} imports {imported}"
        for module, imports in graph.items()
        for imported in imports
        if (package := package_of(module)) != (other := package_of(imported))
        and LAYER_OF[other] >= LAYER_OF[package]
        and (package, other) not in SAME_LAYER
    ]
    assert not wrong, f"imports that are not from a lower layer of {LAYERS}:\n" + "\n".join(wrong)


def test_no_import_cycles(graph):
    cycles = [" -> ".join(cycle) for cycle in find_cycles(graph)]
    assert not cycles, "import cycles, function-level imports included:\n" + "\n".join(cycles)


MODULES = {"a", "a.b", "a.b.c", "a.d"}


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import a.b.c, os", ["a.b.c"]),
        ("from a.b import c, C, D", ["a.b.c", "a.b"]),
        ("from a import d, b", ["a.d", "a.b"]),
        ("def f():\n    from a.d import x", ["a.d"]),
        ("import numpy\nfrom numpy import a", []),
    ],
)
def test_imports_are_resolved_to_modules(source, imported):
    assert list(imports_of(ast.parse(source), MODULES)) == imported


def test_relative_imports_are_refused():
    with pytest.raises(ValueError, match="line 2: a relative import"):
        list(imports_of(ast.parse("import a\nfrom . import b"), MODULES))


def test_cycles_are_found():
    assert find_cycles({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert find_cycles({"a": ["b"], "b": ["c", "a"], "c": ["b"]}) == [["b", "c", "b"], ["a", "b", "a"]]
    assert find_cycles({"a": ["a"]}) == [["a", "a"]]


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_an_op_is_in_a_file_of_the_same_name_in_ops_and_in_backends(backend):
    module = import_module(f"npswin.backends.{backend}")
    missing = missing_ops(backend)
    wrong = []
    for name in ops.__all__:
        if name not in missing:
            file = getattr(ops, name).__module__.removeprefix("npswin.ops.")
            expected, found = f"npswin.backends.{backend}.{file}", getattr(module, name).__module__
            if found != expected:
                wrong.append(f"{name} is in {found}, expected {expected}")
    assert not wrong, "\n".join(wrong)


# PyTorch reads its own files for `npswin convert`, where a function imports it.
FRAMEWORK_IMPORTS = {("torch", PACKAGE / "weights" / "pytorch_file.py")}


@pytest.mark.parametrize("name", ["torch", "tensorflow", "jax"])
def test_no_framework_is_imported_by_the_package(name):
    for file in PACKAGE.rglob("*.py"):
        if (name, file) in FRAMEWORK_IMPORTS:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            assert not any(module.split(".")[0] == name for module in modules), file


def test_import_is_light_and_a_model_runs_without_extras():
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ImportError(f"{{name}} was imported")
sys.meta_path.insert(0, Refuse())
import numpy as np
import npswin
model = npswin.create_model("swin_nano_patch2_window4_32")
logits, cache = model.forward(np.zeros((2, 3, 32, 32), "float32"))
loss, dlogits = npswin.cross_entropy(logits, np.array([1, 2]))
model.backward(dlogits, cache)
npswin.AdamW(model).step()
print("ran")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "ran", result.stderr


def test_no_script_hides_a_module_of_the_standard_library():
    """A script's folder comes first on the path: a file of that name would be imported in the library's place."""
    scripts = [path for folder in ("benchmarks", "examples") for path in (PACKAGE.parent / folder).glob("*.py")]
    assert scripts
    assert not {path.stem for path in scripts} & sys.stdlib_module_names
