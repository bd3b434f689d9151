"""The modules of npswin.training import each other without cycles, also counting imports within functions."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import npswin.training

PACKAGE = Path(npswin.training.__file__).parent


def _imports():
    """Module -> the modules of the package that it imports."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        module = ".".join(("npswin.training", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        nodes = [
            node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        found[module] = {node.module for node in nodes if node.module.startswith("npswin.training")}
    return found


def test_no_import_cycles():
    imports = _imports()
    assert len(imports) > 10
    assert all(names <= imports.keys() for names in imports.values())
    TopologicalSorter(imports).prepare()  # raises for a cycle
