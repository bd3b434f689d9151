"""The imports inside the package, as a graph of modules and as one of packages.

python -m tests.tools.import_graph               the packages as a Mermaid graph, with counts of imports
python -m tests.tools.import_graph backends.cpu  the modules whose name contains this, each with what it imports
"""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "npswin"


def module_files(package=PACKAGE):
    """The file of each module; a package is its `__init__.py`."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def imports_of(tree, modules):
    """The modules that a module imports, function-level imports included, once for each import.

    `from a.b import c` imports a.b.c if that is a module, and a.b otherwise. Importing a.b does not count as importing
    the package a.

    Args:
        tree: the module's syntax tree.
        modules: names of all modules; others, such as numpy, are left out.

    Raises:
        ValueError: a relative import.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: a relative import")
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [target if target in modules else node.module for target in targets]
            yield from (name for name in dict.fromkeys(found) if name in modules)


def import_graph(package=PACKAGE):
    """For each module, the list of the modules of the package that it imports."""
    files = module_files(package)
    graph = {}
    for module, file in files.items():
        try:
            graph[module] = list(imports_of(ast.parse(file.read_text(encoding="utf-8")), files))
        except ValueError as error:
            raise ValueError(f"{file}, {error}") from error
    return graph


def find_cycles(graph):
    """Import cycles, as lists of modules that begin and end with the same one; none if there is no cycle.

    A depth-first search; it reports a cycle for each import that leads back to a module whose imports are being
    followed.
    """
    cycles, path, done = [], [], set()

    def visit(module):
        path.append(module)
        for imported in dict.fromkeys(graph[module]):
            if imported in path:
                cycles.append([*path[path.index(imported) :], imported])
            elif imported not in done:
                visit(imported)
        done.add(path.pop())

    for module in graph:
        if module not in done:
            visit(module)
    return cycles


def package_of(module):
    """The part of the package that a module belongs to: "ops" for "npswin.ops.linear", "npswin" for the package."""
    return module.split(".")[1] if "." in module else module


def package_imports(graph):
    """How many imports there are from a package to another: a count for each pair (importing, imported)."""
    return Counter(
        (package_of(module), package_of(imported))
        for module, imports in graph.items()
        for imported in imports
        if package_of(module) != package_of(imported)
    )


def mermaid(graph):
    """The imports between packages as a Mermaid graph."""
    lines = ["graph TD"]
    lines += [f"    {one} -- {count} --> {other}" for (one, other), count in sorted(package_imports(graph).items())]
    return "\n".join(lines)


def main(arguments):
    """Print the graph of packages, or the imports of the modules whose name contains the argument."""
    graph = import_graph()
    if not arguments:
        print(mermaid(graph))
        return
    for module, imports in graph.items():
        if arguments[0] in module:
            print(module, *(f"    {imported}" for imported in sorted(set(imports))), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
