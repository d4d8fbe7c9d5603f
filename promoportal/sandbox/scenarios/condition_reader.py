"""The reader of conditions, and the attributes that a condition may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from promoportal.sandbox.engine import (
    EVENT,
    EVERYONE,
    All,
    Comparison,
    Condition,
    Test,
    Value,
)
from promoportal.sandbox.engine import Any as AnyOf
from promoportal.toml.lines import Path as Place
from promoportal.toml.problems import Problems, instead
from promoportal.toml.tables import Table, as_number, shown

_TREES: dict[str, type[All | AnyOf]] = {"all": All, "any": AnyOf}
_MANY = {Comparison.ONE_OF, Comparison.NONE_OF}
_EXAMPLE = '{attribute = "country", is = "DE"}'
# The words for a message: "must be a text, as country is".
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    Decimal: "a number",
    float: "a number",
    str: "a text",
    date: "a date",
}


class Attributes:
    """The names that a condition may use, each with the kind of its values."""

    def __init__(
        self, kinds: Mapping[str, str | None], *, open_event: bool = False
    ) -> None:
        self._kinds = kinds
        self._open_event = open_event  # allows every name of an event value

    def with_event(
        self, values: Mapping[str, str | None], *, open_event: bool = False
    ) -> Attributes:
        """Return these attributes and the values of an event, as `event.NAME`."""
        of_event = {f"{EVENT}{name}": kind for name, kind in values.items()}
        return Attributes({**self._kinds, **of_event}, open_event=open_event)

    @property
    def names(self) -> list[str]:
        return list(self._kinds)

    def kind(self, name: str) -> str | None:
        """Return the kind of an attribute's values, or None if it is unknown."""
        return self._kinds.get(name)

    def check(self, table: Table, key: str, name: str) -> bool:
        """Return whether a name exists. If it does not, add a problem."""
        of_event = name.startswith(EVENT)
        if name in self._kinds or (of_event and self._open_event):
            return True
        sentence = f'names the attribute "{name}", which no customer has'
        if of_event:
            sentence = f'names "{name}", which no event has here'
        table.wrong(key, f"{sentence}; {instead(name, self.names)}")
        return False


def kind_of(value: object) -> str | None:
    """Return the kind of a value, or None if conditions cannot compare such values."""
    return _KINDS.get(type(value))


def condition(table: Table, key: str, attributes: Attributes | None) -> Condition:
    """Return the condition below a key. Without a condition, every customer matches."""
    if not table.has(key):
        return EVERYONE
    branch = table.table(key)
    return EVERYONE if branch is None else _branch(branch, attributes)


def _branch(table: Table, attributes: Attributes | None) -> Condition:
    """Read `{all = [...]}`, `{any = [...]}`, or a comparison of one attribute."""
    trees = [key for key in _TREES if table.has(key)]
    if not trees and table.has("attribute"):
        return _leaf(table, attributes)
    if len(trees) != 1 or len(table.values) != 1:
        sentence = f'must be "all" or "any" of a list, or one comparison: {_EXAMPLE}.'
        table.problems.at(table.place, sentence)
        return EVERYONE
    key = trees[0]
    branches = [
        _branch(below, attributes)
        for below in table.tables(key, written="a list of conditions")
    ]
    return _TREES[key](tuple(branches))


def _leaf(table: Table, attributes: Attributes | None) -> Condition:
    name = table.text("attribute")
    known = attributes is None or (name and attributes.check(table, "attribute", name))
    kind = attributes.kind(name) if attributes is not None and known else None
    tests = [
        Test(name, comparison, _wanted(table, comparison, name, kind))
        for comparison in Comparison
        if table.has(comparison.value)
    ]
    if not tests:
        words = ", ".join(Comparison)
        table.problems.at(table.place, f"must have one of the comparisons {words}.")
    table.end()
    return tests[0] if len(tests) == 1 else All(tuple(tests))


def _wanted(
    table: Table, comparison: Comparison, name: str, kind: str | None
) -> Value | tuple[Value, ...]:
    value = table.values[comparison]
    place = table.at(comparison)
    if comparison not in _MANY:
        return _value(table.problems, place, value, name, kind)
    if not isinstance(value, list) or not value:
        table.wrong(comparison, f"must be a list of values; it is {shown(value)}.")
        return ()
    return tuple(
        _value(table.problems, (*place, number), each, name, kind)
        for number, each in enumerate(value)
    )


def _value(
    problems: Problems, place: Place, value: Any, name: str, kind: str | None
) -> Value:
    found = kind_of(value)
    if kind == "a number" and as_number(value) is not None:
        return as_number(value)  # an amount of money may be a text in the file
    if found is None:
        expected = kind or "a text, a number, a date, true or false"
        problems.at(place, f"must be {expected}; it is {shown(value)}.")
        return None
    if kind is not None and found != kind:
        problems.at(place, f"must be {kind}, as {name} is; it is {shown(value)}.")
        return None
    wanted: Value = value
    return wanted


def kinds_in(column: Iterable[Value]) -> str | None:
    """Return the kind of a column's values, or None if the column has no values."""
    first = next((value for value in column if value is not None), None)
    return "a date" if isinstance(first, datetime) else kind_of(first)
