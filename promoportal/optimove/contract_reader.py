"""Read a contract file into frozen dataclasses, and find every problem in it at once."""

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
    """A contract that can't be trusted, with a sentence for each problem in it."""


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
    Read a file into a dataclass, and ask which of its values contradict each other.

    :param contradictions: gives a key, such as `redemptions.batch`, and its problem
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
    """Reads the tables of one file along the type hints, and collects its problems."""

    def __init__(self, path: Path, read: Document) -> None:
        self._path = path
        self._lines = read.lines.all()
        self.problems = Problems(path, read.lines, _position)

    def refuse(self, place: Place, problem: str) -> None:
        """Add a problem; a key that is missing has no line."""
        sentence = f"{named(place)} {problem}."
        self.problems.elsewhere(self._path, self._lines.get(place), sentence)

    def table(self, kind: type[_T], said: object, place: Place) -> _T:
        """Read a table. Use the result only if there are no problems."""
        if not isinstance(said, dict):
            self.refuse(place, f"is {_shown(said)}; it must be a table")
            return cast(_T, None)
        expected = typing.get_type_hints(kind, include_extras=True)
        for name in sorted(said.keys() - expected.keys()):
            self.refuse((*place, name), _unknown(name, list(expected)))
        return kind(
            **{
                name: self._value(hint, said, name, (*place, name))
                for name, hint in expected.items()
            }
        )

    def _value(
        self, hint: Any, said: dict[str, object], name: str, place: Place
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

    def _each(self, reader: Reader, said: object, place: Place) -> object:
        if not isinstance(said, dict):
            self.refuse(place, f"is {_shown(said)}; it must be a table")
            return None
        return {
            word: self._one(reader, value, (*place, word))
            for word, value in said.items()
        }

    def _one(self, reader: Reader, said: object, place: Place) -> object:
        value = reader.read(said)
        if value is None:
            self.refuse(place, f"is {_shown(said)}; it must be {reader.expected}")
        return value


def _expected(how: Reader | Each) -> str:
    return how.expected if isinstance(how, Reader) else "a table"


def _unknown(name: str, expected: list[str]) -> str:
    near = nearest(name, expected)
    hint = f' (did you mean "{near}"?)' if near else ""
    return f"is not a key that is known here{hint}"


def _shown(said: object) -> str:
    # What is wrong with a list is one of its elements, so they are shown.
    return str(said)[:80] if isinstance(said, list) else shown(said)
