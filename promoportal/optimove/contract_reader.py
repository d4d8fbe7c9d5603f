"""Reading a TOML file into frozen dataclasses, with every mistake in it at once."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


class ContractError(Exception):
    """A contract that can't be trusted, with each mistake in it as a sentence."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one value: None where it is not what was expected."""

    expected: str
    read: Callable[[object], object | None]


@dataclass(frozen=True, slots=True)
class Each:
    """Reads a table whose keys are the tenant's own words."""

    reader: Reader


def read_file(
    path: Path,
    kind: type[_T],
    contradictions: Callable[[_T], Iterable[tuple[str, str]]],
) -> _T:
    """
    Read a file as `kind` says, field by field, and ask what can't be true together.

    :raises ContractError: with every mistake in it
    """
    text = _text(path)
    try:
        said = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractError([f"{path}: It is not TOML: {error}."]) from None
    reading = _Reading(path, _lines(text))
    value = reading.table(kind, said, "")
    if not reading.mistakes:
        for place, problem in contradictions(value):
            reading.refuse(place, problem)
    if reading.mistakes:
        raise ContractError(reading.mistakes)
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ContractError([f"{path}: It is not UTF-8."]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ContractError([f"{path}: It can't be read: {reason}."]) from None


class _Reading:
    """One reading of a file, and what was wrong with it."""

    def __init__(self, path: Path, lines: Mapping[str, int]) -> None:
        self._path = path
        self._lines = lines
        self.mistakes: list[str] = []

    def refuse(self, place: str, problem: str) -> None:
        line = self._lines.get(place)
        where = f"{self._path}, line {line}" if line else str(self._path)
        self.mistakes.append(f"{where}: {place} {problem}.")

    def table(self, kind: type[_T], said: object, place: str) -> _T:
        """Read a table. What comes back is only to be used if there are no mistakes."""
        if not isinstance(said, dict):
            self.refuse(place, f"is {_shown(said)}; it must be a table")
            return cast(_T, None)
        expected = typing.get_type_hints(kind, include_extras=True)
        for name in sorted(said.keys() - expected.keys()):
            self.refuse(_join(place, name), _unknown(name, expected))
        return kind(
            **{
                name: self._value(hint, said, name, _join(place, name))
                for name, hint in expected.items()
            }
        )

    def _value(
        self, hint: Any, said: dict[str, object], name: str, place: str
    ) -> object:
        if dataclasses.is_dataclass(hint):
            if name in said:
                return self.table(cast(type[object], hint), said[name], place)
            self.refuse(place, "is missing; it must be a table")
            return None
        (how,) = hint.__metadata__
        if name not in said:
            self.refuse(place, f"is missing; it must be {_expected(how)}")
            return None
        if isinstance(how, Each):
            return self._each(how.reader, said[name], place)
        return self._one(how, said[name], place)

    def _each(self, reader: Reader, said: object, place: str) -> object:
        if not isinstance(said, dict):
            self.refuse(place, f"is {_shown(said)}; it must be a table")
            return None
        return {
            word: self._one(reader, value, _join(place, word))
            for word, value in said.items()
        }

    def _one(self, reader: Reader, said: object, place: str) -> object:
        value = reader.read(said)
        if value is None:
            self.refuse(place, f"is {_shown(said)}; it must be {reader.expected}")
        return value


def _expected(how: Reader | Each) -> str:
    return how.expected if isinstance(how, Reader) else "a table"


def _unknown(name: str, expected: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, expected, n=1)
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    return f"is not a key that is known here{hint}"


def _shown(said: object) -> str:
    """Show a value as the file has it, near enough."""
    if isinstance(said, bool):
        return str(said).lower()
    if isinstance(said, str):
        return f'"{said[:80]}"'
    return "a table" if isinstance(said, dict) else str(said)[:80]


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


_HEADING = re.compile(r"\s*\[\s*([^\[\]#]+?)\s*\]\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+|\"[^\"]*\"|'[^']*')\s*=")


def _lines(text: str) -> dict[str, int]:
    """Find the line of each key, near enough to help: the TOML reader does not say."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := _HEADING.fullmatch(line):
            table = heading[1]
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(_join(table, key[1].strip("\"'")), number)
    return lines
