"""The reader of promotions: tiers, rewards, limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from promoportal.sandbox.engine import (
    Budget,
    Cap,
    Category,
    Direction,
    Fixed,
    Percentage,
    Promotion,
    Reward,
    Sorting,
    State,
    Tier,
    Timeframe,
    UniqueCodes,
    Where,
    mistakes,
    mistakes_in,
)
from promoportal.sandbox.engine import Condition as Tree
from promoportal.sandbox.scenarios.condition_reader import Attributes, condition
from promoportal.sandbox.scenarios.data_files import column
from promoportal.toml.lines import Path as Place
from promoportal.toml.problems import named
from promoportal.toml.tables import Table

_MEASURES = {Category.AMOUNT: "currency", Category.UNITS: "unit"}
_COMPARISONS = ("is", "is_not", "at_least", "at_most", "above", "below")
# For each name in a path of the engine, the names that a scenario file may use.
_WRITTEN: dict[str, tuple[str, ...]] = {
    "condition": ("when", "where"),
    "branches": ("all", "any"),
    "wanted": (*_COMPARISONS, "one_of", "none_of"),
    "measure": ("currency", "unit"),
    "attribute": ("attribute", "of", "sort_by"),
    "codes": ("file",),
}


def promotion(table: Table, attributes: Attributes | None) -> Promotion:
    """Return the promotion in a table, and add a problem for each mistake."""
    before = len(table.problems)
    has_codes = table.has("unique_codes")
    tiers = [_tier(each, attributes, has_codes) for each in table.tables("tiers")]
    found = Promotion(
        id=table.text("id"),
        code=table.text("code"),
        name=table.text("name"),
        properties=_properties(table),
        sorting=_sorting(table, attributes),
        budget=table.read("budget", _budget) if table.has("budget") else None,
        cap=table.read("cap", _cap) if table.has("cap") else None,
        unique_codes=table.read("unique_codes", _codes) if has_codes else None,
        tiers=tuple(tiers),
        state=table.choice("state", State, default=State.ACTIVE),
    )
    table.end()
    # Fields that could not be read are empty here: the engine would report them, too.
    if len(table.problems) == before:
        for mistake in mistakes(found):
            _note(table, mistake.where, mistake.sentence)
    return found


def check(table: Table, tree: Tree) -> None:
    """Add a problem for each mistake that the engine finds in a table's condition."""
    for mistake in mistakes_in(tree, ("condition",)):
        _note(table, mistake.where, mistake.sentence)


def _note(table: Table, where: Where, sentence: str) -> None:
    place = written(where, table.values, table.place)
    table.problems.at(place, f"is invalid. {sentence}")


def written(where: Where, values: object, place: Place) -> Place:
    """Return the path in the file for a path of the engine."""
    for part in where:
        names = _WRITTEN.get(part, (part,)) if isinstance(part, str) else (part,)
        name = next((name for name in names if _has(values, name)), None)
        if name is not None:
            values = values[name]  # type: ignore[index]  # it has the name
            place = (*place, name)
    return place


def _has(values: object, name: str | int) -> bool:
    if isinstance(values, list):
        return isinstance(name, int) and name < len(values)
    return isinstance(values, dict) and name in values


# --- Tiers ----------------------------------------------------------------------------


def _tier(table: Table, attributes: Attributes | None, has_codes: bool) -> Tier:
    reward = None
    if table.has("reward"):
        reward = table.read("reward", lambda below: _reward(below, attributes))
    elif not has_codes:
        reason = (
            "is missing; only a promotion with unique codes may have tiers without "
            "rewards."
        )
        table.wrong("reward", reason)
    tier = Tier(
        id=table.text("id"),
        name=table.text("name"),
        condition=condition(table, "when", attributes),
        reward=reward,
    )
    table.end()
    return tier


def _reward(table: Table, attributes: Attributes | None) -> Reward:
    category, measure = _measure(table)
    return Reward(
        category=category,
        type=table.text("type"),
        measure=measure,
        size=_size(table, attributes),
    )


def _measure(table: Table) -> tuple[Category, str]:
    """Read the category, and then the currency of an Amount or the unit of Units."""
    category = table.choice("category", Category)
    right = _MEASURES[category]
    for key in _MEASURES.values():
        if key != right and table.has(key):
            reason = f'does not fit the category "{category}"; use "{right}".'
            table.wrong(key, reason)
            return category, ""
    return category, table.text(right)


def _size(table: Table, attributes: Attributes | None) -> Fixed | Percentage:
    if table.has("value") == table.has("percent"):
        reason = 'must have either "value", or "percent" and "of".'
        table.problems.at(table.place, reason)
    if not table.has("percent"):
        for key in ("of", "minimum", "maximum"):
            if table.has(key):
                table.wrong(key, 'needs "percent", which is missing.')
        return Fixed(table.number("value") if table.has("value") else Decimal(0))
    of = table.text("of")
    if of and attributes is not None and attributes.check(table, "of", of):
        kind = attributes.kind(of)
        if kind not in (None, "a number"):
            table.wrong("of", f"must be an attribute that is a number; {of} is {kind}.")
    return Percentage(table.number("percent"), of, *_bounds(table))


def _bounds(table: Table) -> tuple[Decimal | None, Decimal | None]:
    least, most = (
        table.number(key) if table.has(key) else None for key in ("minimum", "maximum")
    )
    if least is not None and most is not None and least > most:
        table.wrong("minimum", f"must be at most the maximum ({most}); it is {least}.")
    return least, most


# --- Limits ---------------------------------------------------------------------------


def _properties(table: Table) -> Mapping[str, object]:
    if not table.has("properties"):
        return {}
    below = table.table("properties")
    return {} if below is None else _as_json(below.values)


def _as_json(value: Any) -> Any:
    """Return a value with JSON's types. Properties do not need exact decimals."""
    if isinstance(value, dict):
        return {name: _as_json(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_as_json(below) for below in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date | time) else value


def _sorting(table: Table, attributes: Attributes | None) -> Sorting | None:
    has_direction = table.has("sort")
    if not table.has("sort_by"):
        if has_direction:
            table.wrong("sort", 'needs "sort_by", which is missing.')
        return None
    attribute = table.text("sort_by")
    if attribute and attributes is not None:
        attributes.check(table, "sort_by", attribute)
    return Sorting(
        attribute, table.choice("sort", Direction, default=Direction.HIGH_TO_LOW)
    )


def _budget(table: Table) -> Budget:
    return Budget(*_measure(table), table.number("total"))


def _cap(table: Table) -> Cap:
    return Cap(
        table.whole("recipients"),
        table.choice("timeframe", Timeframe, default=Timeframe.LIFETIME),
    )


def _codes(table: Table) -> UniqueCodes:
    fallback = table.text("fallback") if table.has("fallback") else None
    return UniqueCodes(column(table, "file"), fallback)


def check_unique(tables: list[Table], key: str) -> None:
    """Add a problem for each table with the same `key` value as an earlier table."""
    seen: dict[object, Table] = {}
    for table in tables:
        value = table.values.get(key)
        if not isinstance(value, str | int):
            continue
        if value in seen:
            table.wrong(key, f"is the same as in {named(seen[value].place)}.")
        seen.setdefault(value, table)
