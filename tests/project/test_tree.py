"""Texts that must not be in the tree, and files that must agree."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import tree

# Composed of parts, so that this file does not contain what it looks for.
_SLASH = "/"
_MACHINE_PATHS = [
    _SLASH + place + _SLASH
    for place in ("work", "farm", "root", "home" + _SLASH + r"[a-z][\w.-]*", "Users")
]
_REGISTRIES = [
    r"\.".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "(?:com|org)"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
]
UNWELCOME = re.compile(
    "|".join(
        [rf"(?<![\w.<]){path}" for path in _MACHINE_PATHS]
        + [rf"(?<![\w-]){host}" for host in _REGISTRIES]
        + [r"index-url", r"(?<=\W)simple" + _SLASH]
    )
)
LOCKS = ["requirements.lock", "requirements-dev.lock"]
PRODUCT = ("promoportal", "executions", "rewards", "redemptions")
_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*])?==(\S+)", re.MULTILINE)


def test_no_text_names_a_machine_or_a_registry() -> None:
    found = [
        f"{name}: {match[0]}"
        for name, text in tree.texts()
        for match in UNWELCOME.finditer(text)
        if (name, match[0]) not in _ALLOWED
    ]
    assert not found


# The option that keeps an index's address out of the lock files contains its name.
_ALLOWED = {("Makefile", "index" + "-url"), ("tests/project/test_tree.py", "index-url")}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_its_hashes(lock: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", tree.say(lock), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        first = entry.splitlines()[0]
        assert _PIN.match(first), f"{first} is not pinned"
        assert "--hash=sha256:" in entry, f"{first} has no hash"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_packages_and_nothing_else(lock: str) -> None:
    for line in tree.say(lock).splitlines():
        assert re.match(r"[a-z0-9]|    --hash=sha256:|    #", line), line


def test_development_uses_the_versions_of_production() -> None:
    production, development = (set(_PIN.findall(tree.say(lock))) for lock in LOCKS)
    assert production <= development


def test_every_dependency_is_locked() -> None:
    project = tree.pyproject()
    production, development = (
        {name for name, _ in _PIN.findall(tree.say(lock))} for lock in LOCKS
    )
    assert {tree.package(r) for r in project["project"]["dependencies"]} <= production
    assert {tree.package(r) for r in project["dependency-groups"]["dev"]} <= development


def test_the_changelog_begins_with_this_version() -> None:
    versions = tree.headings(tree.say("CHANGELOG.md"), 2)
    assert versions[0].split()[0] == tree.pyproject()["project"]["version"]


def test_the_changelog_uses_the_standard_sections() -> None:
    kinds = set(tree.headings(tree.say("CHANGELOG.md"), 3))
    assert kinds <= {"Added", "Changed", "Fixed", "Security"}


def test_the_product_imports_neither_bench_nor_tests() -> None:
    modules = [path for path in tree.files() if _is_product(path)]
    found = {
        f"{tree.name_of(path)}: {name}"
        for path in modules
        for name in _imports(ast.parse(path.read_text()))
        if name.split(".")[0] in ("bench", "tests")
    }

    assert len(modules) > 250
    assert not found


def test_a_second_contract_places_every_part_of_promoportal_around_the_apps() -> None:
    inside, stages = tree.pyproject()["tool"]["importlinter"]["contracts"][:2]
    named = {name for layer in stages["layers"] for name in re.split(r" [:|] ", layer)}
    import_no_app = {"middleware", "sandbox", "settings", "wsgi"}

    children = {name for layer in inside["layers"] for name in layer.split(" | ")}

    assert {f"promoportal.{name}" for name in children - import_no_app} == {
        name for name in named if name.startswith("promoportal.")
    }
    assert import_no_app < children


def test_chaos_says_that_it_is_not_available_where_bench_is_missing(
    tmp_path: Path,
) -> None:
    shutil.copy(tree.ROOT / "manage.py", tmp_path)
    for name in PRODUCT:
        (tmp_path / name).symlink_to(tree.ROOT / name)

    said = subprocess.run(
        [sys.executable, "manage.py", "chaos", "--rewards", "5"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )

    assert said.returncode == 1
    assert said.stderr.startswith("chaos is not available: ")
    assert said.stderr.count("\n") == 1


def _is_product(path: Path) -> bool:
    return path.suffix == ".py" and tree.name_of(path).startswith(
        tuple(f"{name}/" for name in PRODUCT)
    )


def _imports(module: ast.Module) -> list[str]:
    nodes = list(ast.walk(module))
    plain = [
        one for node in nodes if isinstance(node, ast.Import) for one in node.names
    ]
    return [one.name for one in plain] + [
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)
    ]
