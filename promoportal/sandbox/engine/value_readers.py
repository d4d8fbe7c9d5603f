"""Where a value is read from: a column of the population, or the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from promoportal.sandbox.engine.model import EVENT, Population, Value

Read = Callable[[int], Value]


def reader(population: Population, event: Mapping[str, Value], name: str) -> Read:
    """
    Find what reads the named value of a customer, by position; missing is None.

    CONFIRMED (optimove.md, section 5): attributes, and values given with the event.
    ASSUMED: the latter are told by how their names begin.
    """
    if name.startswith(EVENT):
        return _always(event.get(name.removeprefix(EVENT)))
    return column_reader(population, name)


def column_reader(population: Population, attribute: str) -> Read:
    """Find what reads an attribute; one that no customer has is missing for all."""
    try:
        return population.column(attribute).__getitem__
    except KeyError:
        return _always(None)


def _always(value: Value) -> Read:
    return lambda _: value
