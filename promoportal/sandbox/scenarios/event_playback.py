"""The members of target groups, and the customers and values of events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from zlib import crc32

from promoportal.sandbox.engine import Population, Value, select
from promoportal.sandbox.scenarios.compact_columns import decimal_places
from promoportal.sandbox.scenarios.population import Customers
from promoportal.sandbox.scenarios.scenario import Event, Scenario, TargetGroup


def members(group: TargetGroup, population: Population) -> list[int]:
    """Return the positions of a target group's customers. Unknown IDs are left out."""
    if group.members is None:
        return select(group.condition, population)
    return _found(group.members, population)


def occurrences(
    event: Event, population: Population, seed: int
) -> Iterator[tuple[int, Mapping[str, Value]]]:
    """Yield the position of each customer of an event, with the customer's values."""
    chance = random.Random(f"event:{event.name}:{seed}")  # noqa: S311 - to be repeatable
    for position in _customers(event, population, chance):
        yield (
            position,
            {name: _drawn(one, chance) for name, one in event.values.items()},
        )


def seed_for(scenario: Scenario, plan: int, promotion: str) -> int:
    """
    Return the seed for one promotion of one campaign.

    If promotions shared a seed, their random order would favour the same customers.
    """
    return crc32(f"{scenario.seed}:{plan}:{promotion}".encode())


def finder(population: Population) -> Callable[[str], int | None]:
    """Return a function that takes an ID and returns the position, or None."""
    if isinstance(population, Customers):
        return population.position
    return {str(each): number for number, each in enumerate(population.ids)}.get


def _customers(
    event: Event, population: Population, chance: random.Random
) -> Iterator[int]:
    if isinstance(event.customers, int):
        count = min(event.customers, len(population))
        yield from chance.sample(range(len(population)), count)
        return
    yield from _found(event.customers, population)


def _found(customers: Iterable[str], population: Population) -> list[int]:
    position = finder(population)
    found = (position(customer) for customer in customers)
    return [each for each in found if each is not None]


def _drawn(value: Value | tuple[Decimal, Decimal], chance: random.Random) -> Value:
    """Return a fixed value, or draw one from a range, with the decimals of its ends."""
    if not isinstance(value, tuple):
        return value
    places = max(decimal_places(end) for end in value)
    least, most = (int(end.scaleb(places)) for end in value)
    return Decimal(chance.randint(least, most)).scaleb(-places)
