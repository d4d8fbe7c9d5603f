"""Sample customers: an ID, and the attributes that a sample promotion reads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

Ids = Literal["strings", "numbers", "mixed"]


class Customer(NamedTuple):
    """A customer that a campaign may target."""

    id: str | int
    activity: float  # from 0 to 1, evenly distributed
    deposits: float  # in total, with a long tail


def generated(
    count: int, *, seed: int, ids: Ids = "strings", after: int = 0
) -> Iterator[Customer]:
    """Yield the customers numbered from `after` + 1, the same for the same seed."""
    chance = random.Random(f"{seed}:{after}")  # noqa: S311 - to be repeatable, not secret
    for number in range(after + 1, after + count + 1):
        yield _customer(_id(number, ids), chance)


def named(customer: str | int, *, seed: int) -> Customer:
    """Return one customer with a given ID, the same for the same seed."""
    return _customer(customer, random.Random(f"{seed}:{customer}"))  # noqa: S311


def _customer(customer: str | int, chance: random.Random) -> Customer:
    return Customer(customer, chance.random(), chance.expovariate(1 / 200))


def _id(number: int, ids: Ids) -> str | int:
    as_number = ids == "numbers" or (ids == "mixed" and number % 2 == 0)
    return 1_000_000 + number if as_number else f"C{number:06d}"
