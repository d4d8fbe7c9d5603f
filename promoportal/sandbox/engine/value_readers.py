"""Functions that read a value from a column of the population, or from the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from promoportal.sandbox.engine.model import EVENT, Population, Value

Read = Callable[[int], Value]


def reader(population: Population, event: Mapping[str, Value], name: str) -> Read:
    """
    Return a function that reads the named value by position; None if it is missing.

    CONFIRMED (optimove.md, section 5): attributes, and values sent with the event.
    ASSUMED: the names of event values begin with `event.`.
    """
    if name.startswith(EVENT):
        value = event.get(name.removeprefix(EVENT))
        return lambda _: value
    return column_reader(population, name)


def column_reader(population: Population, attribute: str) -> Read:
    """Return a function that reads an attribute; None if no customer has it."""
    try:
        return population.column(attribute).__getitem__
    except KeyError:
        return lambda _: None
