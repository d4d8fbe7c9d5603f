"""
Checks that find the mistakes in a promotion before it is used.

All checks are ASSUMED: optimove.md, section 5, does not say what Optimove's promotion
builder accepts. The engine itself accepts a promotion with these mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from promoportal.sandbox.engine.conditions import UNORDERED
from promoportal.sandbox.engine.model import (
    EVENT,
    Budget,
    Category,
    Condition,
    Fixed,
    Percentage,
    Promotion,
    Reward,
    Test,
    Tier,
    Value,
)
from promoportal.sandbox.engine.rounding import Uncomputable, minor_unit, rounded
from promoportal.sandbox.engine.value_kinds import Kind, kind_of

# For money, more than 1,000 % is probably a typing mistake. For units, it may be
# intended: 100 points for each euro are possible.
MAX_PERCENT_OF_MONEY = 1_000
Where = tuple[str | int, ...]


class Mistake(NamedTuple):
    """The path to a mistake, and a sentence with the problem and its solution."""

    where: Where
    sentence: str


def mistakes(promotion: Promotion) -> list[Mistake]:
    """Return the mistakes in a promotion: in its code, its tiers and its limits."""
    return [
        *_of_code(promotion.code),
        *_of_tiers(promotion.tiers),
        *_of_limits(promotion),
    ]


def mistakes_in(condition: Condition, where: Where = ()) -> list[Mistake]:
    """Return the mistakes in a condition; `where` is the path to the condition."""
    return list(_of_condition(condition, where))


def _of_code(code: str) -> Iterator[Mistake]:
    # CONFIRMED (optimove.md, section 3): a list of codes is also sent as one text.
    if "," in code:
        sentence = (
            f'Code "{code}" contains a comma, which separates codes in webhooks. '
            "Remove the comma."
        )
        yield Mistake(("code",), sentence)


# --- Tiers ----------------------------------------------------------------------------


def _of_tiers(tiers: Sequence[Tier]) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for number, tier in enumerate(tiers):
        where = ("tiers", number)
        if tier.id in seen:
            sentence = (
                f'Tier {seen[tier.id] + 1} also has the ID "{tier.id}". Give each tier '
                "its own ID."
            )
            yield Mistake((*where, "id"), sentence)
        if tier.reward is not None:
            yield from _of_reward(tier.reward, (*where, "reward"))
        yield from _of_condition(tier.condition, (*where, "condition"))
        seen.setdefault(tier.id, number)


def _of_reward(reward: Reward, where: Where) -> Iterator[Mistake]:
    category, measure, size = reward.category, reward.measure, reward.size
    yield from _of_measure(category, measure, (*where, "measure"))
    if isinstance(size, Fixed):
        sizes = {"value": size.value}
    else:
        yield from _of_percentage(category, size, where)
        bounds = {"minimum": size.minimum, "maximum": size.maximum}
        sizes = {name: bound for name, bound in bounds.items() if bound is not None}
    for name, one in sizes.items():
        yield from _of_size(one, category, measure, (*where, name))


def _of_percentage(
    category: Category, size: Percentage, where: Where
) -> Iterator[Mistake]:
    percent = size.percent
    if percent <= 0:
        sentence = f"The percentage is {percent}. It must be more than 0."
        yield Mistake((*where, "percent"), sentence)
    elif category is Category.AMOUNT and percent > MAX_PERCENT_OF_MONEY:
        sentence = (
            f"{percent} % is more than {MAX_PERCENT_OF_MONEY // 100} times the "
            f"amount. Use at most {MAX_PERCENT_OF_MONEY:,} %."
        )
        yield Mistake((*where, "percent"), sentence)
    if not size.attribute.removeprefix(EVENT).strip():
        sentence = "The percentage has no base attribute. Add one."
        yield Mistake((*where, "attribute"), sentence)


def _of_measure(category: Category, measure: str, where: Where) -> Iterator[Mistake]:
    if category is Category.AMOUNT and not re.fullmatch("[A-Z]{3}", measure):
        sentence = (
            f'Unknown currency "{measure}". Use an ISO 4217 code, for example "EUR".'
        )
        yield Mistake(where, sentence)


def _of_size(
    size: Decimal, category: Category, measure: str, where: Where
) -> Iterator[Mistake]:
    """Yield a mistake if a size is not positive, or not a multiple of the unit."""
    field, unit = where[-1], minor_unit(category, measure)
    if size <= 0:
        yield Mistake(where, f"The {field} is {size}. It must be more than 0.")
    elif not _is_whole(size, unit):
        sentence = (
            f"The {field} is {size}, but the smallest unit of {measure} is {unit}. "
            f"Use a multiple of {unit}."
        )
        yield Mistake(where, sentence)


def _is_whole(size: Decimal, unit: Decimal) -> bool:
    try:
        return rounded(size, unit) == size
    except Uncomputable:
        return False


# --- Conditions -----------------------------------------------------------------------


def _of_condition(condition: Condition, where: Where) -> Iterator[Mistake]:
    if isinstance(condition, Test):
        yield from _of_test(condition, where)
        return
    for number, branch in enumerate(condition.branches):
        yield from _of_condition(branch, (*where, "branches", number))


def _of_test(test: Test, where: Where) -> Iterator[Mistake]:
    if not test.attribute.removeprefix(EVENT).strip():
        sentence = "The condition has no attribute. Add one."
        yield Mistake((*where, "attribute"), sentence)
    values = test.wanted if isinstance(test.wanted, tuple) else (test.wanted,)
    if not values:
        sentence = "The list of values is empty. Add at least one value."
        yield Mistake((*where, "wanted"), sentence)
    elif len({kind_of(value) for value in values}) > 1:
        sentence = (
            "The list mixes numbers, texts, dates or booleans. Use values of one type."
        )
        yield Mistake((*where, "wanted"), sentence)
    else:
        yield from _of_value(test, values[0], where)


def _of_value(test: Test, wanted: Value, where: Where) -> Iterator[Mistake]:
    kind = kind_of(wanted)
    if kind is None:
        sentence = (
            f'"{test.attribute}" is compared with {wanted}, which matches no customer. '
            "Use a number, a text, a date or a boolean."
        )
        yield Mistake((*where, "wanted"), sentence)
    elif kind is Kind.TRUTH and test.comparison not in UNORDERED:
        sentence = (
            f'"{test.comparison.value}" cannot compare "{test.attribute}" with a '
            'boolean. Use "is" or "is_not".'
        )
        yield Mistake((*where, "comparison"), sentence)


# --- Limits ---------------------------------------------------------------------------


def _of_limits(promotion: Promotion) -> Iterator[Mistake]:
    if promotion.budget is not None:
        yield from _of_budget(promotion.budget, promotion.tiers)
    sorting, unique = promotion.sorting, promotion.unique_codes
    if sorting is not None and sorting.attribute.startswith(EVENT):
        sentence = (
            f'"{sorting.attribute}" is a value of the event. Sort by an attribute of '
            "the customers."
        )
        yield Mistake(("sorting", "attribute"), sentence)
    if unique is not None and unique.fallback in unique.codes:
        sentence = (
            f'The fallback "{unique.fallback}" is also a unique code. Choose another '
            "fallback."
        )
        yield Mistake(("unique_codes", "fallback"), sentence)


def _of_budget(budget: Budget, tiers: Sequence[Tier]) -> Iterator[Mistake]:
    category, measure = budget.category, budget.measure
    yield from _of_measure(category, measure, ("budget", "measure"))
    yield from _of_size(budget.total, category, measure, ("budget", "total"))
    if all(tier.reward is None for tier in tiers):
        sentence = (
            "The promotion has a budget, but no tier has a value to count. Remove the "
            "budget, or use a recipient cap."
        )
        yield Mistake(("budget",), sentence)
    for number, tier in enumerate(tiers):
        if tier.reward is not None:
            yield from _of_measuring(budget, tier.reward, ("tiers", number, "reward"))


def _of_measuring(budget: Budget, reward: Reward, where: Where) -> Iterator[Mistake]:
    if reward.category is not budget.category:
        sentence = (
            f"The tier gives {_things(reward.category)}, but the budget counts "
            f"{_things(budget.category)}. Use the same category for both."
        )
        yield Mistake((*where, "category"), sentence)
    elif reward.measure != budget.measure:
        sentence = (
            f"The tier gives {reward.measure}, but the budget counts "
            f"{budget.measure}. Use the same {_measured_in(reward.category)} for both."
        )
        yield Mistake((*where, "measure"), sentence)


def _things(category: Category) -> str:
    return "money" if category is Category.AMOUNT else "units"


def _measured_in(category: Category) -> str:
    return "currency" if category is Category.AMOUNT else "unit"
