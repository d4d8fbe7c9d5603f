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
_MACHINE_PATH = re.compile("|".join(rf"(?<![\w.<]){path}" for path in _MACHINE_PATHS))
_INDEX_ADDRESS = re.compile(
    r"""
    \w://[^\s"'`]*/simple(?![\w.-])                      # where an index is served
    | (?<![\w-])--(?:(?:extra-|default-)?index(?:-url)?|find-links)(?![\w-])  # options
    | ^\s*(?:extra-index-url|index-url|find-links)\s*[:=]   # files of settings
    | ^\s*\[\[(?:tool\.uv\.)?index\]\] | ^\s*index\s*=\s*\[\s*\{
    | \b(?:PIP|UV)_\w*(?:INDEX|FIND_LINKS)\w*\s*\??[:=]      # the environment
    | \w(?:\[[\w,-]+\])?\s+@\s+\w+://                      # one package's own
    """,
    re.MULTILINE | re.VERBOSE,
)
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-forward.lock"]
PRODUCT = ("promoportal", "executions", "rewards", "redemptions")
_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*])?==(\S+)", re.MULTILINE)


def test_no_text_names_a_machine_or_a_registry() -> None:
    found = [
        f"{name}: {match[0]}"
        for name, text in tree.texts()
        for form in (_MACHINE_PATH, _INDEX_ADDRESS)
        for match in form.finditer(text)
    ]
    assert not found


# As above: put together from parts, so that none is found in this file.
_HOST = "https:" + "//packages.example.com"


@pytest.mark.parametrize(
    "text",
    [
        f"{_HOST}/simple",
        f"See {_HOST}/team/simple/requests/.",
        "--" + f"index-url {_HOST}",
        "pip install --" + "extra-index-url=x",
        "uv lock --" + "default-index x",
        "uv add --" + "index x",
        "--" + "find-links /opt",
        "[pip]\n" + f"index-url = '{_HOST}'",
        "[global]\n" + f"extra-index-url: {_HOST}",
        "  " + "find-links = /opt",
        "[" + "[tool.uv.index]]",
        "[" + "[index]]",
        "index" + " = [{name = 'x'}]",
        "export PIP_" + "INDEX_URL=x",
        "UV_" + "FIND_LINKS: /opt",
        "UV_" + "DEFAULT_INDEX ?= x",
        "requests" + f" @ {_HOST}/requests.whl",
        "requests[socks]" + f" @ {_HOST}/requests.whl",
    ],
)
def test_the_address_of_an_index_is_known_by_its_form(text: str) -> None:
    assert _INDEX_ADDRESS.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "--no-emit-index-url --no-emit-find-links --no-emit-index-annotation",
        f"{_HOST}/simple-steps",
        f"{_HOST}/docs/simple.html",
        "a simple/complex choice",
        "index = rows[0]",
        '{"UV_FIND_LINKS": folder}',
        "git+@example.com",
    ],
)
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert not _INDEX_ADDRESS.search(text)


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
        assert tree.LOCK_LINE.fullmatch(line), line


def test_development_uses_the_versions_of_production() -> None:
    runs, develops, _ = (set(_PIN.findall(tree.say(lock))) for lock in LOCKS)
    assert runs <= develops


def test_every_dependency_is_locked() -> None:
    project = tree.pyproject()
    runs, develops, forward = (
        {name for name, _ in _PIN.findall(tree.say(lock))} for lock in LOCKS
    )
    assert {tree.package(r) for r in project["project"]["dependencies"]} <= runs
    needed = {tree.package(r) for r in project["dependency-groups"]["dev"]}
    assert needed <= develops
    assert needed | runs <= forward


def test_the_forward_lock_has_the_next_django() -> None:
    assert re.search(r"^django==6\.1\.", tree.say(LOCKS[-1]), re.MULTILINE)


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
