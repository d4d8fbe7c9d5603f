"""
Line numbers of the values in a TOML file, which tomllib does not return.

The scanner reads text that tomllib has accepted. It finds where keys and values end,
and does not interpret the values.
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
    """The line of every table, key and element, by its path."""

    def __init__(self, text: str) -> None:
        # The parent of a table that is missing in the file; its line is the first.
        self._lines: dict[Path, int] = {(): 1}
        for path, line in _Scanner(text).lines():
            # A path that occurs again keeps its first line.
            self._lines.setdefault(path, line)

    def of(self, path: Path) -> int:
        """Return the line of a path, or of its nearest parent that is in the file."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def all(self) -> Mapping[Path, int]:
        return self._lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        # Number of tables in each array of tables up to here.
        self._tables: dict[Path, int] = defaultdict(int)
        # The position up to which lines are counted, and the number of its line.
        self._counted = (0, 1)

    def lines(self) -> Iterator[tuple[Path, int]]:
        """Yield every path with each line on which it occurs."""
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
        """Read `[a.b]` or `[[a.b]]`, and return the table that follows."""
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, name = self._key()
        self._at += brackets
        path: Path = ()
        for parent in parents:
            path = self._last((*path, parent))
        path = (*path, name)
        if brackets == 2:
            self._tables[path] += 1
        return self._last(path)

    def _last(self, path: Path) -> Path:
        """Return the path of an array's last table, or the same path for a table."""
        count = self._tables.get(path, 0)
        return (*path, count - 1) if count else path

    def _pair(self, table: Path) -> Iterator[tuple[Path, int]]:
        line = self._line()
        path = (*table, *self._key())
        self._at += 1  # =
        yield from _above(path, line)
        yield from self._value(path)

    def _key(self) -> list[str]:
        """Read the names of a dotted key, and skip the blanks around them."""
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
            while self._inside("}"):
                yield from self._pair(path)
        else:
            self._skip(_STRING if first in "\"'" else _PLAIN)

    def _array(self, path: Path) -> Iterator[tuple[Path, int]]:
        number = 0
        while self._inside("]"):
            yield (*path, number), self._line()
            yield from self._value((*path, number))
            number += 1

    def _inside(self, end: str) -> bool:
        """Move to the next element of an array or table; return False at its end."""
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
    """Yield a path and its parents: `a.b = 1` is also the line of `a`."""
    for depth in range(1, len(path) + 1):
        yield path[:depth], line


def _name(key: str) -> str:
    if key[0] not in "\"'":
        return key
    # The escapes are TOML's own, so tomllib decodes them.
    name: str = tomllib.loads(f"key = {key}")["key"]
    return name
