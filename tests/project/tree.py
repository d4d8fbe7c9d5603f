"""The files of the tree, and their text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A pinned package, where it is needed, its hashes, and who needs it.
LOCK_LINE = re.compile(
    r"""
    [a-z0-9._-]+(?:\[[a-z0-9,._-]+])?==[\w.!+-]+ (?:\ ;\ [\w\s().<>=!'-]+)? \ \\
    | \ {4}--hash=sha256:[0-9a-f]{64} (?:\ \\)?
    | \ {4}\#\ (?:via|\ {2})? (?:\ ?[a-z0-9._-]+(?:\ \(pyproject\.toml(?::dev)?\))?)?
    """,
    re.VERBOSE,
)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@cache
def files() -> tuple[Path, ...]:
    """Return every file that is tracked, or would be if it were added now."""
    # Without git, which may be missing, or may refuse another user's folder.
    return tuple(sorted(_files(ROOT, {".git", *say(".gitignore").split()})))


def _files(folder: Path, ignored: set[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        if any(fnmatch(path.name, pattern.strip("/")) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _files(path, ignored)
        elif path.is_file():
            yield path


def pages() -> list[Path]:
    """Return every page of documentation."""
    return [path for path in files() if path.suffix == ".md"]


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each text file."""
    for path in files():
        content = path.read_bytes()
        if b"\0" not in content:
            yield name_of(path), content.decode()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def say(name: str) -> str:
    return (ROOT / name).read_text()


def prose(page: Path) -> str:
    """Return a page without its examples."""
    return _FENCED.sub("", page.read_text())


def headings(text: str, level: int) -> list[str]:
    """Return the headings of one level, outside examples."""
    return re.findall(rf"^#{{{level}}} (.+)$", _FENCED.sub("", text), re.MULTILINE)


def section(text: str, heading: str) -> str:
    """
    Return the text under a heading, up to the next one of its level or a higher one.

    Empty if there is no such heading.
    """
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    if found is None:
        return ""
    end = rf"^#{{1,{len(found[1])}}} "
    return re.split(end, text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads(say("pyproject.toml"))


def package(requirement: str) -> str:
    """Return the name in a requirement, normalised as package indexes do."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()
