"""
On which line of a TOML file each value stands, which tomllib does not tell.

A scanner of what tomllib has accepted: it knows where keys, values and strings end, and
nothing of what they mean.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''',
    re.DOTALL,
)
# A number, a date (with a blank before its time), true or false.
_PLAIN = re.compile(r"[^,\]}#\n]*")


class Lines:
    """The line of every table, key and element, by the path to it."""

    def __init__(self, text: str) -> None:
        # Nothing is written before the first line: what is missing is missing there.
        self._lines: dict[Path, int] = {(): 1, **dict(_Scanner(text).lines())}

    def of(self, path: Path) -> int:
        """Give the line of what is there, or of the nearest that it would be in."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def all(self) -> Mapping[Path, int]:
        return self._lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        # How often each array of tables has begun anew.
        self._tables: dict[Path, int] = defaultdict(int)
        # Where lines begin is counted on from where it was counted last.
        self._counted = (0, 1)

    def lines(self) -> Iterator[tuple[Path, int]]:
        """Give every path as it comes; the first line of one that comes again counts."""
        seen: set[Path] = set()
        for path, line in self._document():
            if path not in seen:
                seen.add(path)
                yield path, line

    def _document(self) -> Iterator[tuple[Path, int]]:
        table: Path = ()
        while self._next():
            if self._text[self._at] == "[":
                line = self._line()
                table = self._header()
                yield from _above(table, line)
            else:
                yield from self._pair(table)

    def _next(self) -> bool:
        self._skip(_SPACE)
        return self._at < len(self._text)

    def _header(self) -> Path:
        """Read `[a.b]` or `[[a.b]]`: the table that follows."""
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        names = self._key()
        self._at += brackets
        path = self._within((), names[:-1])
        path = (*path, names[-1])
        if brackets == 2:
            self._tables[path] += 1
        return self._last(path)

    def _within(self, path: Path, names: list[str]) -> Path:
        for name in names:
            path = self._last((*path, name))
        return path

    def _last(self, path: Path) -> Path:
        """Step into the last table of an array, if it is one."""
        begun = self._tables.get(path, 0)
        return (*path, begun - 1) if begun else path

    def _pair(self, table: Path) -> Iterator[tuple[Path, int]]:
        line = self._line()
        path = (*table, *self._key())
        self._at += 1  # =
        yield from _above(path, line)
        yield from self._value(path)

    def _key(self) -> list[str]:
        """Read names with dots between them, and whatever blanks are around."""
        names = []
        while True:
            self._skip(_BLANK)
            names.append(_name(self._skip(_KEY)))
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._skip(_BLANK)
        first = self._text[self._at]
        if first == "[":
            yield from self._array(path)
        elif first == "{":
            yield from self._inline(path)
        else:
            self._skip(_STRING if first in "\"'" else _PLAIN)

    def _array(self, path: Path) -> Iterator[tuple[Path, int]]:
        number = 0
        while self._inside("]"):
            yield (*path, number), self._line()
            yield from self._value((*path, number))
            number += 1

    def _inline(self, path: Path) -> Iterator[tuple[Path, int]]:
        while self._inside("}"):
            yield from self._pair(path)

    def _inside(self, end: str) -> bool:
        """Go on to what follows an opening bracket, or a value and its comma."""
        if self._text[self._at] in "[{":
            self._at += 1
        self._skip(_SPACE)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_SPACE)
        if self._text[self._at] != end:
            return True
        self._at += 1
        return False

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"This is not TOML, at character {self._at}.")
        self._at = found.end()
        return found[0]

    def _line(self) -> int:
        at, line = self._counted
        line += self._text.count("\n", at, self._at)
        self._counted = (self._at, line)
        return line


def _above(path: Path, line: int) -> Iterator[tuple[Path, int]]:
    """Give a path and whatever it is in: `a.b = 1` is also where `a` begins."""
    for depth in range(1, len(path) + 1):
        yield path[:depth], line


def _name(key: str) -> str:
    if key[0] not in "\"'":
        return key
    # The escapes are TOML's own: let its reader say what they mean.
    name: str = tomllib.loads(f"key = {key}")["key"]
    return name
