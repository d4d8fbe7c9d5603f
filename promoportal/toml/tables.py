"""TOML tables that are read key by key, and collect all problems of their values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from promoportal.toml.lines import Path as Place
from promoportal.toml.problems import Problems, instead

_E = TypeVar("_E", bound=enum.StrEnum)
_V = TypeVar("_V")
_MAX_NUMBER = 5_000_000


class Table:
    """
    One table of a file, which records the keys that were read.

    If a value has a problem, the problem is added, and the method returns a default or
    empty value. So all problems are found at once. A file with problems is not used.
    """

    def __init__(
        self, values: Mapping[str, Any], place: Place, problems: Problems
    ) -> None:
        self.values = values
        self.place = place
        self.problems = problems
        self._asked: dict[str, None] = {}

    def has(self, key: str) -> bool:
        self._asked[key] = None
        return key in self.values

    def at(self, key: str) -> Place:
        return (*self.place, key)

    def wrong(self, key: str, problem: str) -> None:
        self.problems.at(self.at(key), problem)

    def end(self) -> None:
        """Add a problem for each key of the table that was not read."""
        for key in self.values:
            if key not in self._asked:
                offered = instead(key, list(self._asked))
                self.wrong(key, f"is not known here; {offered}")

    # --- Values -----------------------------------------------------------------------

    def text(self, key: str, *, default: str | None = None) -> str:
        """Read a text that is not blank."""
        value = self._value(key, "a text", default)
        if isinstance(value, str) and value.strip():
            return value
        self._must(key, "be a text")
        return default or ""

    def whole(
        self,
        key: str,
        *,
        least: int = 1,
        most: int = _MAX_NUMBER,
        default: int | None = None,
    ) -> int:
        """Read a whole number within bounds."""
        value = self._value(key, "a whole number", default)
        if is_whole(value) and least <= value <= most:
            return int(value)
        bounds = f" from {least:,} to {most:,}"
        self._must(key, f"be a whole number{bounds}")
        return least

    def number(self, key: str) -> Decimal:
        """Read an amount or a percentage, which is written as a number or a text."""
        value = self._value(key, 'a number, such as "10.00"', None)
        number = as_number(value)
        if number is None:
            self._must(key, 'be a number, such as "10.00"')
            return Decimal(0)
        return number

    def choice(self, key: str, kind: type[_E], *, default: _E | None = None) -> _E:
        """Read one of the values of an enum."""
        words = " or ".join(f'"{each.value}"' for each in kind)
        value = self._value(key, words, default)
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        self._must(key, f"be {words}")
        return default or next(iter(kind))

    def clock(self, key: str) -> time | None:
        """Read a time of day, which is written as a TOML time or a text."""
        value = self.values.get(key)
        self.has(key)
        if isinstance(value, time):
            return value
        try:
            return time.fromisoformat(value)  # type: ignore[arg-type]  # see below
        except (TypeError, ValueError):
            self._must(key, 'be a time of day, such as "09:30"')
            return None

    def wholes(self, key: str) -> tuple[int, ...]:
        """Read a list of one or more whole numbers, each of which occurs once."""
        return tuple(self._many(key, "whole numbers", int))

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of one or more texts, each of which occurs once."""
        return tuple(self._many(key, "texts", str))

    # --- Tables -----------------------------------------------------------------------

    def table(self, key: str) -> Table | None:
        """Read a nested table; None if it is missing or not a table."""
        value = self._value(key, "a table", None)
        if isinstance(value, dict):
            return Table(value, self.at(key), self.problems)
        self._must(key, "be a table")
        return None

    def read(self, key: str, read: Callable[[Table], _V]) -> _V | None:
        """Read a nested table by `read`; None if missing. Unread keys are problems."""
        nested = self.table(key)
        if nested is None:
            return None
        result = read(nested)
        nested.end()
        return result

    def tables(
        self, key: str, *, at_least_one: bool = True, written: str | None = None
    ) -> list[Table]:
        """Read an array of tables; `written` is its expected form, for messages."""
        written = written or f"one or more {self._header(key)}"
        if not self.has(key):
            if at_least_one:
                self.wrong(key, f"is missing; write {written}.")
            return []
        value = self.values[key]
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            if not value and at_least_one:
                self.wrong(key, f"must be {written}; it is an empty list.")
            return [
                Table(each, (*self.at(key), number), self.problems)
                for number, each in enumerate(value)
            ]
        self._must(key, f"be {written}")
        return []

    def _header(self, key: str) -> str:
        path = [part for part in self.at(key) if isinstance(part, str)]
        return f"[[{'.'.join(path)}]]"

    # --- Problems ---------------------------------------------------------------------

    def _value(self, key: str, expected: str, default: object) -> Any:
        """Return a value, or None. A missing value without a default is a problem."""
        if not self.has(key):
            if default is None:
                self.wrong(key, f"is missing; it must be {expected}.")
            return None
        return self.values[key]

    def _must(self, key: str, expected: str) -> None:
        if key in self.values:
            self.wrong(key, f"must {expected}; it is {shown(self.values[key])}.")

    def _many(self, key: str, kind: str, of: type) -> list[Any]:
        value = self._value(key, f"a list of {kind}", None)
        if isinstance(value, list) and value and all(_is(each, of) for each in value):
            if len(set(value)) < len(value):
                self.wrong(key, "must name each of them once.")
            return value
        self._must(key, f"be a list of {kind}, at least one")
        return []


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is(value: object, of: type) -> bool:
    return is_whole(value) if of is int else isinstance(value, str) and bool(value)


def as_number(value: object) -> Decimal | None:
    """Return the finite number that a value contains, as a number or text, or None."""
    if not (is_whole(value) or isinstance(value, str | Decimal)):
        return None
    try:
        number = Decimal(value)  # type: ignore[arg-type]  # int, str or Decimal
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def shown(value: object) -> str:
    """Return a value as written in the file; a long text is cut, a list not shown."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, datetime):
        return f"{value.isoformat()}, a moment"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return str(value)
