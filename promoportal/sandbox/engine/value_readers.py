"""Functions that read a customer's value from the population, or from the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from promoportal.sandbox.engine.model import EVENT, Population, Value

Read = Callable[[int], Value]


def reader(population: Population, event: Mapping[str, Value], name: str) -> Read:
    """
    Return a function that reads an attribute or an event value by position.

    The function returns None for a customer without the value. If `name` begins with
    `event.`, the value is that of the event, the same for all customers. CONFIRMED
    (optimove.md, section 5): attributes, and values sent with the event. ASSUMED: the
    prefix.
    """
    if name.startswith(EVENT):
        value = event.get(name.removeprefix(EVENT))
        return lambda _: value
    return column_reader(population, name)


def column_reader(population: Population, attribute: str) -> Read:
    """
    Return a function that reads an attribute by the customer's position.

    If no customer has the attribute, the function always returns None.
    """
    try:
        return population.column(attribute).__getitem__
    except KeyError:
        return lambda _: None
