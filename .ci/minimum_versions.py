#!/usr/bin/env python3
"""Print the lowest versions that pyproject.toml declares, as a constraints file for pip.

    python .ci/minimum_versions.py test > minimum.txt
    pip install -c minimum.txt -e '.[test]'

The arguments are names of extras; the dependencies of the package itself are always included. An extra that is made of
another one (`npswin[cpu]`) includes that one's. Run the tests in this environment on the lowest Python that
`requires-python` allows: a bound that is declared too low fails there.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,\s-]+)\])?\s*(?P<bounds>[^;]*)(;.*)?")
LOWEST = re.compile(r"(>=|==|~=)\s*(?P<version>[\w.]+)")


def requirements(project: dict, extras: list[str]) -> Iterator[str]:
    """The requirements of the project and of these extras, where an extra that names others is replaced by theirs."""
    yield from project["dependencies"]
    pending, seen = list(extras), set()
    while pending:
        extra = pending.pop()
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in project["optional-dependencies"]:
            raise SystemExit(f"no such extra: {extra}; there are {', '.join(project['optional-dependencies'])}")
        for requirement in project["optional-dependencies"][extra]:
            match = REQUIREMENT.fullmatch(requirement)
            if match and match["name"] == project["name"]:
                pending += re.split(r"\s*,\s*", match["extras"])
            else:
                yield requirement


def minimum_versions(extras: list[str], pyproject: Path = PYPROJECT) -> dict[str, str]:
    """The lowest declared version of each package, by name.

    A package that several extras name has the highest of their bounds.

    Raises:
        SystemExit: an extra does not exist, or a requirement has no lower bound.
    """
    found: dict[str, str] = {}
    for requirement in requirements(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"], extras):
        match = REQUIREMENT.fullmatch(requirement)
        lowest = LOWEST.search(match["bounds"]) if match else None
        if not match or not lowest:
            raise SystemExit(f"no lower bound: {requirement!r}")
        name, version = match["name"], lowest["version"]
        found[name] = max(version, found.get(name, "0"), key=release)
    return found


def release(version: str) -> list[int]:
    """The numbers of a version such as 1.26.4, to compare it by; letters are ignored."""
    return [int(number) for number in re.findall(r"\d+", version)]


if __name__ == "__main__":
    for name, version in sorted(minimum_versions(sys.argv[1:]).items()):
        print(f"{name}=={version}")
