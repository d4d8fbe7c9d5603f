"""Reads a contract file into frozen dataclasses, and finds all its problems at once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from promoportal.toml import document
from promoportal.toml.document import Document, Fault, UnreadableFile
from promoportal.toml.lines import Path as Place
from promoportal.toml.problems import InvalidFile, Problems, named, nearest
from promoportal.toml.tables import shown

_T = TypeVar("_T")
_UNREADABLE = {
    Fault.INACCESSIBLE: "It can't be read: {}.",
    Fault.NOT_UTF8: "It is not UTF-8.",
    Fault.NOT_TOML: "It is not TOML: {}.",
}


class ContractError(InvalidFile):
    """A contract file that cannot be used, with a sentence for each problem."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one value; None if the value is not as expected."""

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
    Read a file into a dataclass, and check its values for contradictions.

    :param contradictions: yields a key, such as `redemptions.batch`, and its problem
    :raises ContractError: with every problem of the file
    """
    try:
        read = document.read(path, parse_float=float)
    except UnreadableFile as error:
        sentence = _UNREADABLE[error.fault].format(error.reason)
        raise ContractError([f"{path}: {sentence}"]) from None
    reading = _Reading(path, read)
    value = reading.table(kind, read.values, ())
    if not reading.problems:
        for key, problem in contradictions(value):
            reading.refuse(tuple(key.split(".")), problem)
    if reading.problems:
        raise ContractError(reading.problems.sentences())
    return value


def _position(file: Path, line: int | None) -> str:
    return f"{file}, line {line}" if line else str(file)


class _Reading:
    """Reads the tables of one file by their type hints, and collects problems."""

    def __init__(self, path: Path, read: Document) -> None:
        self._path = path
        self._lines = read.lines.all()
        self.problems = Problems(path, read.lines, _position)

    def refuse(self, place: Place, problem: str) -> None:
        """Add a problem; a missing key has no line."""
        sentence = f"{named(place)} {problem}."
        self.problems.elsewhere(self._path, self._lines.get(place), sentence)

    def table(self, kind: type[_T], value: object, place: Place) -> _T:
        """Read a table. The result is valid only if there are no problems."""
        if not isinstance(value, dict):
            self.refuse(place, f"is {_shown(value)}; it must be a table")
            return cast(_T, None)
        expected = typing.get_type_hints(kind, include_extras=True)
        for name in sorted(value.keys() - expected.keys()):
            self.refuse((*place, name), _unknown(name, list(expected)))
        return kind(
            **{
                name: self._value(hint, value, name, (*place, name))
                for name, hint in expected.items()
            }
        )

    def _value(
        self, hint: Any, table: dict[str, object], name: str, place: Place
    ) -> object:
        if dataclasses.is_dataclass(hint):
            if name in table:
                return self.table(cast(type[object], hint), table[name], place)
            self.refuse(place, "is missing; it must be a table")
            return None
        (reader,) = hint.__metadata__
        if name not in table:
            self.refuse(place, f"is missing; it must be {_expected(reader)}")
            return None
        if isinstance(reader, Each):
            return self._each(reader.reader, table[name], place)
        return self._one(reader, table[name], place)

    def _each(self, reader: Reader, table: object, place: Place) -> object:
        if not isinstance(table, dict):
            self.refuse(place, f"is {_shown(table)}; it must be a table")
            return None
        return {
            word: self._one(reader, value, (*place, word))
            for word, value in table.items()
        }

    def _one(self, reader: Reader, raw: object, place: Place) -> object:
        value = reader.read(raw)
        if value is None:
            self.refuse(place, f"is {_shown(raw)}; it must be {reader.expected}")
        return value


def _expected(reader: Reader | Each) -> str:
    return reader.expected if isinstance(reader, Reader) else "a table"


def _unknown(name: str, expected: list[str]) -> str:
    near = nearest(name, expected)
    hint = f' (did you mean "{near}"?)' if near else ""
    return f"is not a key that is known here{hint}"


def _shown(value: object) -> str:
    # The problem of a list is one of its elements, so the elements are shown.
    return str(value)[:80] if isinstance(value, list) else shown(value)
