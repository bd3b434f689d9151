"""The house: rooms import only from floors below, and importing the package needs none of the extras."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "npswin"
FLOORS = {
    "types": 0,
    "deprecation": 0,
    "devices": 0,
    "ops": 1,
    "data": 1,
    "weights": 1,
    "backends": 2,
    "layers": 3,
    "models": 4,
    "verify": 5,
    "training": 5,
    "cli": 6,
    "__main__": 7,
}
# weights resizes bias tables with an operation of ops, which it may read as a neighbour
NEIGHBOURS = {("weights", "ops")}
EXTRAS = ("matplotlib", "PIL", "pooch", "tqdm", "threadpoolctl", "torch", "numba", "cupy", "safetensors")


def imports():
    """(file, its room, the room that it imports from) for each import of the package's own."""
    for file in sorted(PACKAGE.rglob("*.py")):
        relative = file.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{relative}: relative import"
                module = node.module or ""
                names = [f"{module}.{alias.name}" for alias in node.names] if module == "npswin" else [module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.startswith("npswin."):
                    yield str(relative), room, name.split(".")[1]


def test_nothing_imports_upward():
    upward = [
        f"{file} imports {other}"
        for file, room, other in imports()
        if room != other and FLOORS[other] >= FLOORS[room] and (room, other) not in NEIGHBOURS
    ]
    assert not upward


@pytest.mark.parametrize("name", ["torch", "tensorflow", "jax"])
def test_no_framework_is_imported_by_the_package(name):
    for file in PACKAGE.rglob("*.py"):
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
