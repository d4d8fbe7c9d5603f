"""Checks of a promotion's limits: budget, cap, sorting and codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from promoportal.sandbox.engine.model import (
    EVENT,
    Budget,
    Cap,
    Category,
    Promotion,
    Reward,
    Sorting,
    Tier,
    UniqueCodes,
)
from promoportal.sandbox.engine.validation.problem import Mistake, of_measure, of_size


def of_limits(promotion: Promotion) -> Iterator[Mistake]:
    """Yield the mistakes in the limits that are set; all are optional."""
    if promotion.budget is not None:
        yield from _of_budget(promotion.budget, promotion.tiers)
    if promotion.cap is not None:
        yield from _of_cap(promotion.cap)
    if promotion.sorting is not None:
        yield from _of_sorting(promotion.sorting)
    if promotion.unique_codes is not None:
        yield from _of_codes(promotion.unique_codes)


def _of_budget(budget: Budget, tiers: tuple[Tier, ...]) -> Iterator[Mistake]:
    category, measure = budget.category, budget.measure
    yield from of_measure(category, measure, ("budget", "measure"))
    yield from of_size(budget.total, category, measure, ("budget", "total"))
    if tiers and all(tier.reward is None for tier in tiers):
        sentence = (
            "There is a budget, but no tier gives anything it could count. Leave it out, "
            "or cap the recipients."
        )
        yield Mistake(("budget",), sentence)
    for number, tier in enumerate(tiers):
        if tier.reward is not None:
            yield from _of_measuring(budget, tier.reward, number)


def _of_measuring(budget: Budget, reward: Reward, number: int) -> Iterator[Mistake]:
    where = ("tiers", number, "reward")
    if reward.category is not budget.category:
        sentence = (
            f"The tier gives {_things(reward.category)}, but the budget counts "
            f"{_things(budget.category)}. Let both be the same."
        )
        yield Mistake((*where, "category"), sentence)
    elif reward.measure != budget.measure:
        sentence = (
            f"The tier gives {reward.measure!r}, but the budget counts "
            f"{budget.measure!r}. Let both be the same."
        )
        yield Mistake((*where, "measure"), sentence)


def _things(category: Category) -> str:
    return "money" if category is Category.AMOUNT else "units"


def _of_cap(cap: Cap) -> Iterator[Mistake]:
    if cap.recipients < 1:
        sentence = (
            f"The cap lets {cap.recipients} recipients through. Make it at least 1, or "
            "leave it out."
        )
        yield Mistake(("cap", "recipients"), sentence)


def _of_sorting(sorting: Sorting) -> Iterator[Mistake]:
    if not sorting.attribute.strip():
        sentence = "The sorting names no attribute. Say what to sort by."
        yield Mistake(("sorting", "attribute"), sentence)
    elif sorting.attribute.startswith(EVENT):
        sentence = (
            f"{sorting.attribute!r} is the same for everyone an event is about. Sort by "
            "an attribute of the customers."
        )
        yield Mistake(("sorting", "attribute"), sentence)


def _of_codes(unique: UniqueCodes) -> Iterator[Mistake]:
    where = ("unique_codes", "codes")
    if not unique.codes:
        sentence = "There are no unique codes. Add some, or leave the list out."
        yield Mistake(where, sentence)
    if not all(code.strip() for code in unique.codes):
        yield Mistake(where, "A unique code is blank. Take the empty line out.")
    yield from _of_repeated(unique)
    yield from _of_fallback(unique)


def _of_repeated(unique: UniqueCodes) -> Iterator[Mistake]:
    if len(set(unique.codes)) == len(unique.codes):
        return
    code, times = Counter(unique.codes).most_common(1)[0]
    sentence = (
        f"The unique code {code!r} is in the list {times} times, so two customers would "
        "get it. Leave it in once."
    )
    yield Mistake(("unique_codes", "codes"), sentence)


def _of_fallback(unique: UniqueCodes) -> Iterator[Mistake]:
    where = ("unique_codes", "fallback")
    if unique.fallback is None:
        return
    if not unique.fallback.strip():
        yield Mistake(where, "The fallback code is blank. Write one, or leave it out.")
    elif unique.fallback in unique.codes:
        sentence = (
            f"The fallback {unique.fallback!r} is one of the unique codes, so many "
            "customers would get it. Choose another."
        )
        yield Mistake(where, sentence)
