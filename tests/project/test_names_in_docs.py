"""Files, functions, terms and checks that the pages name exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import tree

ARCHITECTURE, GLOSSARY = "docs/architecture.md", "docs/glossary.md"
TOP = ("promoportal", "executions", "rewards", "redemptions")
# The old names of two modules, for one release.
SHIMS = {"promoportal/embedded/"}
_FILE = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`")


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row, without heads and rulers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("|---") and not below.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def files_in(text: str) -> list[str]:
    """Return the files and folders of the project that a text names in backticks."""
    named = _FILE.findall(text)
    roots = {path.name for path in tree.ROOT.iterdir()}
    return [name for name in named if name.split("/")[0] in roots]


@pytest.mark.parametrize("page", tree.pages(), ids=tree.name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = [
        name for name in files_in(tree.prose(page)) if not (tree.ROOT / name).exists()
    ]
    assert not missing


# --- The modules ----------------------------------------------------------------------


def packages() -> set[str]:
    """Return the folders of the product and of `bench` that are Python packages."""
    found = {
        f"{tree.name_of(path.parent)}/"
        for path in tree.files()
        if path.name == "__init__.py" and "migrations" not in path.parts
    }
    return {name for name in found if name.split("/")[0] in (*TOP, "bench")} - SHIMS


def test_the_table_of_modules_lists_every_package_once() -> None:
    part = tree.section(tree.say(ARCHITECTURE), "Modules and dependencies")
    assert sorted(row[0].strip("`") for row in rows(part)) == sorted(packages())


def test_the_figure_of_layers_names_what_the_contract_names() -> None:
    part = tree.section(tree.say(ARCHITECTURE), "Modules and dependencies")
    [figure] = re.findall(r"```text\n(.*?)```", part, re.DOTALL)
    shown = set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", figure)))
    contracts = tree.pyproject()["tool"]["importlinter"]["contracts"]
    layers = {
        name for line in contracts[0]["layers"] for name in re.findall(r"[a-z]+", line)
    }
    assert shown == layers | {*TOP, "bench"} - {"promoportal"}


def test_the_tree_for_contributors_exists() -> None:
    part = tree.section(tree.say("CONTRIBUTING.md"), "Project layout")
    [shown] = re.findall(r"```text\n(.*?)```", part, re.DOTALL)
    for line in shown.splitlines():
        assert (tree.ROOT / line.split()[0]).exists(), line


# --- The path of a reward -------------------------------------------------------------


def stations() -> list[tuple[str, str]]:
    part = tree.section(tree.say(ARCHITECTURE), "From webhook to report")
    return [(row[1].strip("`"), row[2].strip("`")) for row in rows(part)]


def test_the_path_has_its_stations() -> None:
    assert len(stations()) > 30


@pytest.mark.parametrize(("file", "function"), dict.fromkeys(stations()))
def test_every_function_of_the_path_exists(file: str, function: str) -> None:
    assert function in set(_functions(ast.parse(tree.say(file))))


def _functions(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}"


# --- The glossary ---------------------------------------------------------------------


def terms() -> list[str]:
    parts = ("Objects", "Processes", "Request outcomes")
    told = [tree.section(tree.say(GLOSSARY), part) for part in parts]
    return [row[0].strip("*") for part in told for row in rows(part)]


def test_every_term_has_its_modules() -> None:
    listed = rows(tree.section(tree.say(GLOSSARY), "Modules"))
    modules = {term: files_in(cell) for term, cell in listed}
    assert list(modules) == terms()
    assert all(modules.values())


def test_no_term_is_explained_twice() -> None:
    assert len(terms()) == len(set(terms()))


def test_every_identifier_of_the_glossary_is_in_the_code() -> None:
    code = "\n".join(
        text for name, text in tree.texts() if name.endswith((".py", "Makefile"))
    )
    for part, column in (("Objects", 2), ("Processes", 2), ("Request outcomes", 2)):
        for row in rows(tree.section(tree.say(GLOSSARY), part)):
            for name in re.findall(r"`([^`]+)`", row[column]):
                assert re.search(rf"\b{re.escape(name)}\b", code), (row[0], name)


# --- Contributing ---------------------------------------------------------------------


def test_every_check_is_explained_in_its_order() -> None:
    [checks] = re.findall(r"^CHECKS := (.+)$", tree.say("Makefile"), re.MULTILINE)
    explained = rows(tree.section(tree.say("CONTRIBUTING.md"), "Checks"))
    assert [row[0].strip("`") for row in explained] == checks.split()


def test_every_guide_is_a_numbered_list() -> None:
    guide = tree.say("CONTRIBUTING.md")
    guides = [each for each in tree.headings(guide, 2) if each.startswith("Add a")]
    assert len(guides) > 8
    for each in guides:
        steps = re.findall(r"^(\d+)\. ", tree.section(guide, each), re.MULTILINE)
        assert steps == [str(number) for number in range(1, len(steps) + 1)], each
        assert len(steps) > 2, each
