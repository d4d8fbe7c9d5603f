"""Short constructors for customers and promotions with valid defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from promoportal.sandbox import engine

DAY = date(2026, 1, 15)
NEXT_DAY = date(2026, 1, 16)
UNUSED = engine.Account()


@dataclass(frozen=True)
class People:
    """Customers and their attributes in columns."""

    ids: Sequence[str | int]
    columns: Mapping[str, Sequence[engine.Value]] = field(default_factory=dict)

    @property
    def attributes(self) -> Sequence[str]:
        return list(self.columns)

    def column(self, attribute: str) -> Sequence[engine.Value]:
        return self.columns[attribute]

    def __len__(self) -> int:
        return len(self.ids)


def people(count: int, **columns: Sequence[engine.Value]) -> People:
    return People([f"C{number:04}" for number in range(count)], columns)


def with_values(*values: engine.Value) -> People:
    """Return one customer for each value of the attribute `x`."""
    return people(len(values), x=values)


def euros(size: str) -> engine.Reward:
    return reward(engine.Fixed(Decimal(size)))


def percent(
    size: str, of: str = "x", *, least: str | None = None, most: str | None = None
) -> engine.Percentage:
    return engine.Percentage(
        Decimal(size),
        of,
        None if least is None else Decimal(least),
        None if most is None else Decimal(most),
    )


def reward(
    size: engine.Fixed | engine.Percentage,
    measure: str = "EUR",
    category: engine.Category = engine.Category.AMOUNT,
) -> engine.Reward:
    return engine.Reward(category, "BonusCash", measure, size)


def tier(
    name: str = "only",
    gives: engine.Reward | None = None,
    condition: engine.Condition = engine.EVERYONE,
) -> engine.Tier:
    return engine.Tier(name, name.title(), gives, condition)


def promotion(*tiers: engine.Tier, **more: Any) -> engine.Promotion:
    return engine.Promotion(
        id="promo-1", code="WB23", name="Welcome back", tiers=tiers or (tier(),), **more
    )


def budget(total: str, measure: str = "EUR") -> engine.Budget:
    return engine.Budget(engine.Category.AMOUNT, measure, Decimal(total))


def allocate(
    offered: engine.Promotion,
    population: People,
    targeted: Sequence[int] | None = None,
    *,
    account: engine.Account = UNUSED,
    day: date = DAY,
    seed: int = 1,
    event: Mapping[str, engine.Value] = engine.NOTHING,
) -> engine.Allocation:
    return engine.calculate(
        offered,
        population,
        range(len(population)) if targeted is None else targeted,
        account=account,
        day=day,
        seed=seed,
        event=event,
    )


def statuses(allocation: engine.Allocation) -> list[str]:
    return [outcome.status.value for outcome in allocation.outcomes]


def served(allocation: engine.Allocation) -> list[engine.Outcome]:
    return [
        outcome
        for outcome in allocation.outcomes
        if outcome.status is engine.Status.ASSIGNED
    ]
