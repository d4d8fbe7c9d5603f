"""Reads a contract file into frozen dataclasses, and finds all its problems at once."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from promoportal.toml import document
from promoportal.toml.document import Document, Fault, UnreadableFile
from promoportal.toml.problems import InvalidFile, Problems, named, nearest
from promoportal.toml.tables import shown

Place = tuple[str, ...]  # empty in a contract: the tenant has no such field
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
    """A reader of one value. `read` returns None if the value is not as expected."""

    expected: str
    read: Callable[[object], object | None]


@dataclass(frozen=True, slots=True)
class Each:
    """A reader of a table whose keys are the tenant's own words."""

    reader: Reader


@dataclass(frozen=True, slots=True)
class Target:
    """The place of a value in a request."""

    in_query: bool
    place: Place


# --- Reading a file ------------------------------------------------------------------


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
    """A reader of the tables of one file by type hints, which collects problems."""

    def __init__(self, path: Path, read: Document) -> None:
        self._path = path
        self._lines = read.lines.all()
        self.problems = Problems(path, read.lines, _position)

    def refuse(self, place: Place, problem: str) -> None:
        """Add a problem with the line of its key, if the file contains the key."""
        sentence = f"{named(place)} {problem}."
        self.problems.elsewhere(self._path, self._lines.get(place), sentence)

    def table(self, kind: type[_T], value: object, place: Place) -> _T:
        """Read a table. The result is valid only if no problem was found."""
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
        reader: Any = hint if dataclasses.is_dataclass(hint) else hint.__metadata__[0]
        if name not in table:
            expected = reader.expected if isinstance(reader, Reader) else "a table"
            self.refuse(place, f"is missing; it must be {expected}")
            return None
        if isinstance(reader, Reader):
            return self._one(reader, table[name], place)
        if isinstance(reader, Each):
            return self._each(reader.reader, table[name], place)
        return self.table(reader, table[name], place)

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


def _unknown(name: str, expected: list[str]) -> str:
    near = nearest(name, expected)
    hint = f' (did you mean "{near}"?)' if near else ""
    return f"is not a key that is known here{hint}"


def _shown(value: object) -> str:
    # If a list has a problem, one of its elements is the cause, so show the elements.
    return str(value)[:80] if isinstance(value, list) else shown(value)


# --- Readers of values ---------------------------------------------------------------


def _text(expected: str, pattern: str) -> Reader:
    matches = re.compile(pattern).fullmatch
    return Reader(
        expected, lambda data: data if isinstance(data, str) and matches(data) else None
    )


def one_of(**choices: object) -> Reader:
    """Return a reader that accepts these words, and returns the value of the word."""
    expected = " or ".join(f'"{choice}"' for choice in choices)
    return Reader(
        expected, lambda data: choices.get(data) if isinstance(data, str) else None
    )


def whole(least: int, most: int) -> Reader:
    """Return a reader that accepts whole numbers within these limits."""

    def read(data: object) -> int | None:
        if not isinstance(data, int) or isinstance(data, bool):
            return None
        return data if least <= data <= most else None

    return Reader(f"a whole number from {least:,} to {most:,}", read)


def list_of(reader: Reader, *, least: int = 0) -> Reader:
    """Return a reader that accepts lists, and returns the set of their values."""

    def read(data: object) -> frozenset[object] | None:
        if not isinstance(data, list) or len(data) < least:
            return None
        items = [reader.read(item) for item in data]
        return None if None in items else frozenset(items)

    some = "a list, not empty," if least else "a list"
    return Reader(f"{some} of which each is {reader.expected}", read)


def _split(data: object) -> Place | None:
    steps = tuple(data.split(".")) if isinstance(data, str) else ("",)
    return steps if all(steps) else None


def _place_or_none(data: object) -> Place | None:
    return () if data == "" else _split(data)


def _target(data: object) -> Target | None:
    where, _, what = data.partition(":") if isinstance(data, str) else ("", "", "")
    if where == "query":
        return Target(in_query=True, place=(what,)) if what else None
    place = _split(what)
    return Target(in_query=False, place=place) if where == "body" and place else None


def _body_target(data: object) -> Target | None:
    target = _target(data)
    return None if target is None or target.in_query else target


def _zone(data: object) -> tzinfo | None:
    if data == "UTC":  # works even if the system has no list of time zones
        return UTC
    try:
        return ZoneInfo(data) if isinstance(data, str) else None
    except (ValueError, OSError, KeyError):
        return None


def _host(data: object) -> str | None:
    try:
        parts = urlsplit(data) if isinstance(data, str) else None
    except ValueError:
        return None
    known = parts and parts.scheme in {"http", "https"} and parts.hostname
    return cast(str, data) if data == "" or known else None


def _status(data: object) -> int | None:
    status = whole(400, 599).read(data)
    # These statuses mean that the portal's configuration is wrong.
    return None if status in {401, 403, 405, 415} else cast("int | None", status)


FLAG = Reader("true or false", lambda data: data if isinstance(data, bool) else None)
_PATH_EXPECTED = 'a path that begins with "/", without ? or #'
PATH = _text(_PATH_EXPECTED, r"/[^\s?#]*")
PATH_OR_NONE = _text(f'{_PATH_EXPECTED}, or ""', r"(/[^\s?#]*)?")
HEADER = _text("the name of a header", r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HOST = Reader('an address such as "https://host", or ""', _host)
PLACE = Reader('a place such as "reward.value"', _split)
PLACE_OR_NONE = Reader('a place such as "reward.value", or ""', _place_or_none)
TARGET = Reader('"body:<place>" or "query:<name>"', _target)
BODY_TARGET = Reader('"body:<place>"', _body_target)
ZONE = Reader('a time zone such as "Europe/Lisbon"', _zone)
_WORD = _text("a word", r"(?s).*\S.*")
WORDS = list_of(_WORD)
SOME_WORDS = list_of(_WORD, least=1)
STATUS = Reader("a status from 400 to 599 other than 401, 403, 405 and 415", _status)
