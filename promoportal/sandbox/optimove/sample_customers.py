"""Generated customers for executions without a scenario."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

Ids = Literal["strings", "numbers", "mixed"]


class Customer(NamedTuple):
    """A customer, with the values that decide the outcome."""

    id: str | int
    activity: float  # from 0 to 1, evenly distributed
    deposits: float  # in total, with a long tail


def generated(
    count: int, *, seed: int, ids: Ids = "strings", after: int = 0
) -> Iterator[Customer]:
    """
    Yield `count` customers with the numbers from `after` + 1.

    The same arguments always give the same customers.
    """
    chance = random.Random(f"{seed}:{after}")  # noqa: S311 - to be repeatable, not secret
    for number in range(after + 1, after + count + 1):
        yield _customer(_id(number, ids), chance)


def named(customer: str | int, *, seed: int) -> Customer:
    """Return the customer with a given ID; the seed and the ID decide its values."""
    return _customer(customer, random.Random(f"{seed}:{customer}"))  # noqa: S311


def _customer(customer: str | int, chance: random.Random) -> Customer:
    return Customer(customer, chance.random(), chance.expovariate(1 / 200))


def _id(number: int, ids: Ids) -> str | int:
    as_number = ids == "numbers" or (ids == "mixed" and number % 2 == 0)
    return 1_000_000 + number if as_number else f"C{number:06d}"
