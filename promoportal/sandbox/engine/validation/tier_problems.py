"""Checks of a promotion's tiers and their rewards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from promoportal.sandbox.engine.model import (
    EVENT,
    Category,
    Fixed,
    Percentage,
    Reward,
    Tier,
)
from promoportal.sandbox.engine.validation.condition_problems import of_condition
from promoportal.sandbox.engine.validation.problem import (
    Mistake,
    Where,
    of_measure,
    of_size,
)

# For money, more than 1,000 % is a typing mistake; 100 points for each euro is not.
MAX_PERCENT_OF_MONEY = 1_000


def of_tiers(tiers: Sequence[Tier]) -> Iterator[Mistake]:
    """Yield the mistakes in each tier, and IDs that two tiers share."""
    if not tiers:
        yield Mistake(("tiers",), "The promotion has no tiers. Give it at least one.")
    seen: dict[str, int] = {}
    for number, tier in enumerate(tiers):
        where = ("tiers", number)
        yield from _of_id(tier, seen, where)
        if tier.reward is not None:
            yield from _of_reward(tier.reward, (*where, "reward"))
        yield from of_condition(tier.condition, (*where, "condition"))
        seen.setdefault(tier.id, number)


def _of_id(tier: Tier, seen: dict[str, int], where: Where) -> Iterator[Mistake]:
    if not tier.id.strip():
        yield Mistake((*where, "id"), "The tier has no id. Give it one.")
    elif tier.id in seen:
        sentence = (
            f"Tier {seen[tier.id] + 1} has the id {tier.id!r} too. Give each tier an id "
            "of its own."
        )
        yield Mistake((*where, "id"), sentence)


def _of_reward(reward: Reward, where: Where) -> Iterator[Mistake]:
    if not reward.type.strip():
        sentence = "The reward has no type. Say what it is: 'BonusCash'."
        yield Mistake((*where, "type"), sentence)
    yield from of_measure(reward.category, reward.measure, (*where, "measure"))
    if isinstance(reward.size, Fixed):
        value = reward.size.value
        yield from of_size(value, reward.category, reward.measure, (*where, "value"))
    else:
        yield from _of_percentage(reward, reward.size, where)


def _of_percentage(reward: Reward, size: Percentage, where: Where) -> Iterator[Mistake]:
    yield from _of_percent(reward.category, size.percent, (*where, "percent"))
    if not size.attribute.removeprefix(EVENT).strip():
        sentence = "The percentage names no attribute. Say what it is a part of."
        yield Mistake((*where, "attribute"), sentence)
    bounds = {"minimum": size.minimum, "maximum": size.maximum}
    found: list[Mistake] = []
    for name, bound in bounds.items():
        if bound is not None:
            at = (*where, name)
            found += of_size(bound, reward.category, reward.measure, at)
    yield from found
    if not found:
        yield from _of_bounds(size.minimum, size.maximum, where)


def _of_percent(
    category: Category, percent: Decimal, where: Where
) -> Iterator[Mistake]:
    if not percent.is_finite():
        yield Mistake(where, f"The percentage is {percent}. Write a number.")
    elif percent <= 0:
        yield Mistake(where, f"The percentage is {percent}. Make it more than 0.")
    elif category is Category.AMOUNT and percent > MAX_PERCENT_OF_MONEY:
        sentence = (
            f"{percent} % gives more than {MAX_PERCENT_OF_MONEY // 100} times the "
            f"amount. Write at most {MAX_PERCENT_OF_MONEY}."
        )
        yield Mistake(where, sentence)


def _of_bounds(
    least: Decimal | None, most: Decimal | None, where: Where
) -> Iterator[Mistake]:
    if least is not None and most is not None and least > most:
        sentence = (
            f"The minimum {least} is above the maximum {most}. Lower the one or raise "
            "the other."
        )
        yield Mistake((*where, "minimum"), sentence)
