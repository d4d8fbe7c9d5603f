"""Texts that must not be in the tree, and files that must agree."""

from __future__ import annotations

import re

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
