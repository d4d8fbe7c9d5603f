"""Benchmark of allocating rewards to customers. Floor: a loop over their columns."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal

from bench.stage import Measured, Stage, seconds
from promoportal.sandbox import engine
from promoportal.sandbox.scenarios import Customers

AT_LEAST = engine.Comparison.AT_LEAST
ONE_OF = engine.Comparison.ONE_OF
RICH, COUNTRIES = (500, 200, 0), ("MT", "DE", "SE", "GB")


def measure(_stage: Stage, size: int) -> Measured:
    population, promotion = _people(size), _promotion(size)
    work = seconds(lambda: _allocate(promotion, population))
    floor = seconds(lambda: _decide(population, size))
    return Measured("customers", size, work, floor, "a bare loop, floats, no order")


def _people(size: int) -> Customers:
    chance = random.Random(1)  # noqa: S311 - the same customers every time
    return Customers(
        [f"C{number:07}" for number in range(size)],
        {
            "deposits": [round(chance.uniform(0, 1000), 2) for _ in range(size)],
            "country": [chance.choice(COUNTRIES) for _ in range(size)],
        },
    )


def _promotion(size: int) -> engine.Promotion:
    """Return a promotion with a budget, a cap, unique codes and three tiers."""
    return engine.Promotion(
        id="promo-1",
        code="WB23",
        name="Welcome back",
        tiers=tuple(_tier(floor) for floor in RICH),
        budget=engine.Budget(engine.Category.AMOUNT, "EUR", Decimal(size * 20)),
        cap=engine.Cap(size // 2),
        sorting=engine.Sorting("deposits"),
        unique_codes=engine.UniqueCodes(
            [f"U{number}" for number in range(size // 4)], "ANY"
        ),
    )


def _tier(floor: int) -> engine.Tier:
    part = engine.Percentage(Decimal(10), "deposits", Decimal(5), Decimal(80))
    condition = engine.All(
        (
            engine.Test("deposits", AT_LEAST, floor),
            engine.Test("country", ONE_OF, COUNTRIES[:3]),
        )
    )
    reward = engine.Reward(engine.Category.AMOUNT, "BonusCash", "EUR", part)
    return engine.Tier(f"from-{floor}", f"From {floor}", reward, condition)


def _allocate(promotion: engine.Promotion, population: Customers) -> engine.Allocation:
    return engine.calculate(
        promotion,
        population,
        range(len(population)),
        account=engine.Account(),
        day=date(2026, 1, 15),
        seed=1,
    )


def _decide(population: Customers, size: int) -> list[tuple[int, float]]:
    """Apply the same conditions and limits with floats; do not sort or use codes."""
    served: list[tuple[int, float]] = []
    left = size * 20.0
    deposits, countries = population.column("deposits"), population.column("country")
    for position in range(size):
        deposit = deposits[position]
        assert isinstance(deposit, float)
        for floor in RICH:
            if deposit >= floor and countries[position] in COUNTRIES[:3]:
                value = min(max(deposit / 10, 5.0), 80.0)
                if left >= value and len(served) < size // 2:
                    served.append((position, value))
                    left -= value
                break
    return served
