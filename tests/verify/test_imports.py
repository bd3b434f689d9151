"""The modules of npswin.verify and npswin.cli import each other without a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "npswin"


def module_name(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(package):
    """By module the modules of the package that it imports, at its top or inside a function."""
    files = {module_name(file): file for file in (PACKAGE / package).rglob("*.py")}
    found = {}
    for name, file in files.items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(files)
                names |= submodules or {node.module}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[name] = names & set(files)
    return found


@pytest.mark.parametrize("package", ["verify", "cli"])
def test_the_imports_have_no_circle(package):
    order = list(TopologicalSorter(imports(package)).static_order())
    assert f"npswin.{package}" in order


def test_a_circle_would_be_found():
    assert imports("verify")["npswin.verify.port.search"] >= {"npswin.verify.port.comparer", "npswin.verify.mistakes"}
