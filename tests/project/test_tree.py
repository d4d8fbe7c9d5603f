"""What must not stand in the tree, and what must agree in it."""

from __future__ import annotations

import re

import pytest

from tests.project import tree

# Put together from parts, so that this file does not hold what it looks for.
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
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-forward.lock"]
_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*])?==(\S+)", re.MULTILINE)


def test_no_text_names_a_machine_or_a_registry() -> None:
    found = [
        f"{name}: {match[0]}"
        for name, text in tree.texts()
        for match in UNWELCOME.finditer(text)
        if (name, match[0]) not in _OUR_OWN
    ]
    assert not found


# The option that keeps an index's address out of the lock files names what it keeps out.
_OUR_OWN = {("Makefile", "index" + "-url"), ("tests/project/test_tree.py", "index-url")}


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


def test_what_is_developed_with_is_what_runs() -> None:
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


def test_the_changelog_sorts_what_changed() -> None:
    kinds = set(tree.headings(tree.say("CHANGELOG.md"), 3))
    assert kinds <= {"Added", "Changed", "Fixed", "Security"}
