"""
Random promotions, customers and events, small enough to influence each other.

They are made from a random source that Hypothesis provides: thousands a second from
`CHANCE`. Replace that by `st.randoms(use_true_random=False)` for a while to shrink a
failing example, which is fifty times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from random import Random
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from promoportal.sandbox import engine
from tests.sandbox.engine.people import DAY, NEXT_DAY, People

T = TypeVar("T")
CHANCE = st.randoms(use_true_random=True)

# Few values, so that ties occur, and values that are easily confused with each other.
ODD: list[engine.Value] = [
    *(0, 1, 2, 5, 10, 0.1, 0.5, 2.5, 10.0, 10.05, -3.0, 1e-7, 1e17, 33, 66.65, 10**17),
    *(Decimal("0.1"), Decimal("2.50"), Decimal(10), Decimal("1E+17"), True, False),
    *(None, float("nan"), float("inf"), -float("inf"), Decimal("NaN")),
    *("", "MT", "DE", "10", "true", DAY, NEXT_DAY, date(2025, 12, 31)),
]
IDS: list[str | int] = [*range(40), "C1", "C10", "C9", "c1", "040", "é"]
ATTRIBUTES = ["x", "y", "z", "nobody has it", "event.deposit", "event.nothing"]
SIZES = [Decimal(size) for size in ("0.5", "1", "2.50", "3", "0.005", "7.77", "20")]
MONEY, UNITS = engine.Category.AMOUNT, engine.Category.UNITS
MEASURES = [(MONEY, "EUR"), (MONEY, "JPY"), (MONEY, "KWD"), (UNITS, "spins")]


class Step(NamedTuple):
    """One execution of a campaign, or one customer's trigger."""

    targeted: Sequence[int]
    day: date
    seed: int
    event: dict[str, engine.Value]


class History(NamedTuple):
    """A promotion, and the executions that follow each other."""

    promotion: engine.Promotion
    population: People
    steps: list[Step]


def history(chance: Random) -> History:
    population = people(chance)
    happens = [step(chance, population) for _ in range(chance.randint(1, 4))]
    return History(promotion(chance), population, happens)


def step(chance: Random, population: People) -> Step:
    everyone = range(len(population))
    some = len(population) - max(0, chance.randint(-5, len(population)))
    return Step(
        targeted=chance.sample(everyone, some),
        day=chance.choice([DAY, NEXT_DAY]),
        seed=chance.randint(-5, 5),
        event={"deposit": value(chance)},
    )


# --- Customers ------------------------------------------------------------------------


def value(chance: Random) -> engine.Value:
    usual: list[Callable[[], engine.Value]] = [
        lambda: chance.randint(-2, 60),
        lambda: round(chance.uniform(-5, 200), chance.randint(0, 4)),
        lambda: chance.uniform(0, 100),
        lambda: Decimal(chance.randint(0, 100_000)).scaleb(-3),
    ]
    return chance.choice(ODD) if chance.random() < 0.2 else chance.choice(usual)()


def people(chance: Random) -> People:
    ids = chance.sample(IDS, chance.randint(0, 20))
    names = ["x", "y", "z"]
    return People(ids, {name: column(chance, len(ids)) for name in names})


def column(chance: Random, count: int) -> list[engine.Value]:
    """Return a column that is mostly of one type, as real columns are."""
    likely: Callable[[], engine.Value] = chance.choice(
        [
            lambda: value(chance),
            lambda: chance.choice(ODD),
            lambda: round(chance.uniform(0, 100), 2),
            lambda: chance.randint(0, 9),
        ]
    )
    return [likely() for _ in range(count)]


# --- Promotions -----------------------------------------------------------------------


def promotion(chance: Random) -> engine.Promotion:
    category, measure = chance.choice(MEASURES)
    total = Decimal(chance.choice(["0", "1", "7.5", "12.34", "50", "200"]))
    return engine.Promotion(
        id="promo-1",
        code="WB23",
        name="Welcome back",
        tiers=tuple(
            engine.Tier(name, name, *tier(chance, category, measure))
            for name in ["gold", "silver", "bronze", "tin"][: chance.randint(0, 4)]
        ),
        budget=perhaps(chance, lambda: engine.Budget(category, measure, total)),
        cap=perhaps(chance, lambda: cap(chance)),
        sorting=perhaps(chance, lambda: sorting(chance)),
        unique_codes=perhaps(chance, lambda: codes(chance)),
        state=chance.choice([engine.State.ACTIVE] * 19 + [engine.State.DEACTIVATED]),
    )


def perhaps(chance: Random, make: Callable[[], T]) -> T | None:
    return make() if chance.random() < 0.5 else None


def tier(
    chance: Random, category: engine.Category, measure: str
) -> tuple[engine.Reward | None, engine.Condition]:
    return reward(chance, category, measure), condition(chance)


def reward(
    chance: Random, category: engine.Category, measure: str
) -> engine.Reward | None:
    """Return a reward that the budget usually measures; rarely another one, or None."""
    if chance.random() < 0.1:
        return None
    if chance.random() < 0.1:
        category, measure = chance.choice([(MONEY, "SEK"), (UNITS, "points")])
    return engine.Reward(category, "Bonus", measure, size(chance))


def size(chance: Random) -> engine.Fixed | engine.Percentage:
    if chance.random() < 0.4:
        return engine.Fixed(chance.choice(SIZES))
    bounds = [perhaps(chance, lambda: chance.choice(SIZES)) for _ in range(2)]
    percent = Decimal(chance.choice(["10", "0.5", "33.3", "150", "2.5"]))
    return engine.Percentage(percent, chance.choice(["x", *ATTRIBUTES]), *bounds)


def cap(chance: Random) -> engine.Cap:
    return engine.Cap(chance.randint(0, 9), chance.choice(list(engine.Timeframe)))


def sorting(chance: Random) -> engine.Sorting:
    return engine.Sorting(
        chance.choice(["x", "y", "nobody"]), chance.choice(list(engine.Direction))
    )


def codes(chance: Random) -> engine.UniqueCodes:
    listed = [f"U{number}" for number in range(chance.randint(0, 12))]
    return engine.UniqueCodes(listed, perhaps(chance, lambda: "FALLBACK"))


# --- Conditions -----------------------------------------------------------------------


def condition(chance: Random, depth: int = 0) -> engine.Condition:
    kind = chance.random()
    if kind < 0.25 and depth < 3:
        inner = [condition(chance, depth + 1) for _ in range(chance.randint(0, 3))]
        all_or_any = engine.All if chance.random() < 0.5 else engine.Any
        return all_or_any(tuple(inner))
    if kind < 0.7:
        return plain_test(chance)
    return engine.Test(
        chance.choice(ATTRIBUTES),
        chance.choice(list(engine.Comparison)),
        wanted(chance),
    )


def plain_test(chance: Random) -> engine.Test:
    """Return a test as an operator would write it, so that enough customers match."""
    comparison = chance.choice([engine.Comparison.AT_LEAST, engine.Comparison.BELOW])
    return engine.Test(chance.choice(["x", "y"]), comparison, chance.randint(0, 50))


def wanted(chance: Random) -> engine.Value | tuple[engine.Value, ...]:
    if chance.random() < 0.6:
        return value(chance)
    return tuple(value(chance) for _ in range(chance.randint(0, 3)))
