"""The public names, the README and the version agree with each other and with the files that repeat them."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import npswin
from tests.tools.misuse_surface import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + "".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))
CODE = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"`[^`\n]+`", README)
USED = sorted({name for text in CODE + INLINE for name in re.findall(r"npswin\.(\w+)", text)})


def test_the_readme_has_code():
    assert len(CODE) >= 4
    assert {"create_model", "gradcheck", "verify"} <= set(USED)


@pytest.mark.parametrize("name", npswin.__all__)
def test_public_names_exist_and_are_documented(name):
    assert hasattr(npswin, name)
    assert re.search(rf"npswin\.{name}\b", PAGES), f"npswin.{name} is mentioned neither in README.md nor in docs/"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_of_public_names_has_all_of_a_package(package):
    """In the section of the package, or in the first one, where names begin with "npswin."."""
    first, *sections = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("\n## ")
    own = "".join(one for one in sections if f"`{package}`" in one.partition("\n")[0])
    listed = set(re.findall(r"`(\w+)`", own)) | set(re.findall(r"`npswin\.(\w+)`", first))
    assert set(importlib.import_module(package).__all__) - listed - {"data"} == set()


def test_type_checkers_and_python_find_the_same_names_in_the_same_modules():
    imported = {
        alias.name: node.module.removeprefix("npswin").lstrip(".")
        for node in ast.walk(ast.parse(Path(npswin.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("npswin") and node.col_offset == 4
        for alias in node.names
    }
    assert imported == {**npswin._SOURCE_OF, "data": ""}
    assert set(npswin.__all__) == set(imported)
    assert set(npswin.__all__) <= set(dir(npswin))


def test_a_name_that_is_not_public():
    with pytest.raises(AttributeError, match="module 'npswin' has no attribute 'no_such_name'"):
        npswin.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", USED)
def test_names_that_the_readme_uses_are_public(name):
    """They are in `__all__`, or are modules of the package that the README names by their folder."""
    is_module = importlib.util.find_spec(f"npswin.{name}") is not None and f"npswin/{name}" in README
    assert name in npswin.__all__ or is_module


class TestVersion:
    def test_it_is_three_numbers(self):
        assert re.fullmatch(r"\d+\.\d+\.\d+", npswin.__version__)

    def test_the_citation_has_it(self):
        citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        assert re.findall(r'^version: "?([^"\n]+)"?$', citation, re.MULTILINE) == [npswin.__version__]

    def test_the_changelog_begins_with_it(self):
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)[0] == npswin.__version__

    def test_the_package_takes_it_from_the_source(self):
        pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert 'version = { attr = "npswin.__version__" }' in pyproject
        assert not re.search(r'^version = "', pyproject, re.MULTILINE)
