"""Functions that read a customer's value from the population, or from the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from promoportal.sandbox.engine.model import EVENT, Population, Value

Read = Callable[[int], Value]


def reader(population: Population, event: Mapping[str, Value], name: str) -> Read:
    """Return a function that reads an attribute or an `event.` value by position."""
    if name.startswith(EVENT):
        value = event.get(name.removeprefix(EVENT))
        return lambda _: value
    return column_reader(population, name)


def column_reader(population: Population, attribute: str) -> Read:
    """Return a function that reads an attribute by position; None if it is unknown."""
    try:
        return population.column(attribute).__getitem__
    except KeyError:
        return lambda _: None
