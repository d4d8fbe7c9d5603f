"""
Files, folders, modules and functions that the docs name exist.

Names are in backticks. A dotted name may also be a key of the contract, or a string in
the code: a signal, a crash point, the number of a check.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string

from promoportal.optimove import contract
from tests.project import modules, tree

_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|html|css|js|svg|lock)")
_FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*/")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# Packages of others that pages name in full, and a class that is their convention.
_THEIRS = {"django", "unittest", "Meta", "bonus_engine"}
# What pages call by the names that tests use.
_EXAMPLES = {
    "world": "tests.world.World",
    "box": "promoportal.sandbox.SandboxHandle",
}
_OURS = {*modules.PRODUCT, "docs", "static", "templates", "tests"}


def _named(page: Path) -> Iterator[str]:
    """Yield what stands in backticks on a page; released changes are history."""
    prose = tree.prose(page)
    if page.name == "CHANGELOG.md":
        prose, *_ = re.split(r"^## (?!.*unreleased)", prose, flags=re.MULTILINE)
    yield from _INLINE.findall(prose)


def _missing(named: str) -> bool:
    """Tell whether this looks like the name of something of ours that is not there."""
    if "<" in named:
        return False
    if _FILE.fullmatch(named):
        return not _is_path(named)
    if _FOLDER.fullmatch(named) or (named.partition("/")[0] in _OURS and "/" in named):
        return not _is_path(named.rstrip("/"))
    name = named.removesuffix("()")
    if not _NAME.fullmatch(name) or name.partition(".")[0] in _THEIRS | _theirs():
        return False
    if "." in name:
        return not (_is_code(name) or _is_key(name) or _is_text(name))
    return named.endswith("()") and not _defining(name)


@cache
def _paths() -> frozenset[str]:
    files = {f"/{tree.name_of(path)}" for path in tree.files()}
    folders = {file.rpartition("/")[0] for file in files}
    return frozenset(files | folders)


def _is_path(named: str) -> bool:
    """Tell whether it is one, from the root or from a folder that the page is about."""
    return any(path.endswith(f"/{named}") for path in _paths())


@cache
def _theirs() -> frozenset[str]:
    """Return what the product imports from elsewhere, as it calls it."""
    froms = (
        node
        for module in modules.product().values()
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.ImportFrom) and not _is_ours(node.module or "")
    )
    return frozenset(each.asname or each.name for node in froms for each in node.names)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in modules.PRODUCT


def _defining(name: str) -> list[str]:
    """Return the modules that define a function or a class of this name."""
    every = modules.product().items()
    return [module for module, each in every if name in modules.defined(each.syntax)]


def _is_code(name: str) -> bool:
    """Tell whether a module has it, named in full, by its base name, or by its class."""
    first, _, rest = name.partition(".")
    every = modules.product()
    if first in modules.PRODUCT:
        candidates = [name, f"{first}.signals.{rest}"]
    elif first in _EXAMPLES:
        return _has(import_string(_EXAMPLES[first]), rest.split("."))
    elif first.lstrip("_")[0].isupper():
        candidates = [f"{module}.{name}" for module in _defining(first)]
    else:
        named = [module for module in every if module.rpartition(".")[2] == first]
        candidates = [f"{module}.{rest}" for module in named]
    return any(map(_exists, candidates))


def _exists(dotted: str) -> bool:
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in modules.product():
            return _has(import_module(module), parts[length:])
    return False


def _has(found: Any, attributes: list[str]) -> bool:
    for name in attributes:
        if name in getattr(found, "__annotations__", {}) and not hasattr(found, name):
            return name == attributes[-1]
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _is_key(name: str) -> bool:
    """Tell whether the contract has it."""
    found: Any = _contract()
    for key in name.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return False
        found = found[key]
    return True


@cache
def _contract() -> Mapping[str, Any]:
    return tomllib.loads(contract.BUILT_IN.read_text())


def _is_text(name: str) -> bool:
    """Tell whether the product holds it as a whole text."""
    return any(f'"{name}"' in source for source in _sources())


@cache
def _sources() -> tuple[str, ...]:
    kinds = {".py", ".toml"}
    kept = (path for path in tree.files() if path.suffix in kinds)
    return tuple(
        path.read_text()
        for path in kept
        if tree.name_of(path).startswith(modules.PRODUCT)
    )


@pytest.mark.parametrize("page", tree.pages(), ids=tree.name_of)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert not [named for named in _named(page) if _missing(named)]


@pytest.mark.parametrize(
    "named",
    [
        "rewards/limits.py",
        "limits.py",
        "rewards/activation/",
        "promoportal/wire",
        "requirements.lock",
        "rewards.limits",
        "rewards.limits.is_due",
        "limits.is_due",
        "limits.is_due()",
        "is_due()",
        "Assignment.unique_code",
        "rewards.owed",
        "promoportal.E001",
        "assignments.page.next",
        "activating.claimed",
    ],
)
def test_what_is_there_is_found(named: str) -> None:
    assert not _missing(named)


@pytest.mark.parametrize(
    "named",
    [
        "rewards/limit.py",
        "standing.py",
        "rewards/activating/",
        "promoportal/embeded",
        "requirements.txt.lock",
        "rewards.limit",
        "rewards.limits.are_due",
        "limits.are_due",
        "limits.are_due()",
        "states.move_all",
        "are_due()",
        "promoportal.E999",
        "assignments.page.previous",
    ],
)
def test_what_is_not_there_is_missed(named: str) -> None:
    assert _missing(named)


@pytest.mark.parametrize(
    "named",
    ["HELD", "not_before", "make test", "42", "/admin/", "transaction.on_commit()"],
)
def test_other_words_are_no_names(named: str) -> None:
    assert not _missing(named)
