"""
The rules of optimove.md, section 5, a second time: slow, obvious and independent.

Only the data classes are shared with the engine. Numbers are fractions, customers are
dictionaries, and every condition is evaluated again for each customer.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from promoportal.sandbox import engine
from tests.sandbox.engine.people import People

Person = Mapping[str, engine.Value]
DECIMALS = {"EUR": 2, "SEK": 2, "JPY": 0, "KWD": 3, "spins": 0, "points": 0}


def calculate(  # noqa: C901 - can be read from top to bottom
    promotion: engine.Promotion,
    population: People,
    targeted: Sequence[int],
    *,
    account: engine.Account,
    day: date,
    seed: int,
    event: Person,
) -> engine.Allocation:
    if promotion.state != "Active":
        refused = [
            engine.Outcome(each, engine.Status.NOT_ELIGIBLE) for each in targeted
        ]
        return engine.Allocation(refused, account)
    if account.day is None or day > account.day:
        account = replace(account, day=day, today=0)

    outcomes: dict[int, engine.Outcome] = {}
    offered: dict[int, tuple[engine.Tier, Fraction | None]] = {}
    for position in targeted:
        customer = person(population, position, event)
        for tier in promotion.tiers:
            if matches(tier.condition, customer):
                break
        else:
            outcomes[position] = engine.Outcome(position, engine.Status.NOT_ELIGIBLE)
            continue
        if tier.reward is None:
            offered[position] = (tier, None)
            continue
        budget = promotion.budget
        worth = _worth(tier.reward, customer)
        if worth is None or (
            budget is not None
            and (
                budget.category != tier.reward.category
                or budget.measure != tier.reward.measure
            )
        ):
            outcomes[position] = engine.Outcome(position, engine.Status.FAILED)
        elif worth <= 0:
            outcomes[position] = engine.Outcome(position, engine.Status.NOT_ELIGIBLE)
        else:
            offered[position] = (tier, worth)

    for position in _in_order(list(offered), population, promotion.sorting, seed):
        tier, worth = offered[position]
        status, code = _serve(promotion, account, worth)
        if status is not engine.Status.ASSIGNED:
            outcomes[position] = engine.Outcome(position, status)
            continue
        value = None if worth is None else _decimal(worth)
        outcomes[position] = engine.Outcome(position, status, tier, value, code)
        account = replace(
            account, recipients=account.recipients + 1, today=account.today + 1
        )
        if promotion.budget is not None and value is not None:
            account = replace(account, spent=account.spent + value)
        if code is not None and code != "FALLBACK":
            account = replace(account, codes_used=account.codes_used + 1)

    return engine.Allocation([outcomes[each] for each in targeted], account)


def person(population: People, position: int, event: Person) -> Person:
    known = {name: population.columns[name][position] for name in population.columns}
    return known | {f"event.{name}": value for name, value in event.items()}


def _serve(
    promotion: engine.Promotion, account: engine.Account, worth: Fraction | None
) -> tuple[engine.Status, str | None]:
    cap, budget, unique = promotion.cap, promotion.budget, promotion.unique_codes
    if cap is not None and cap.timeframe == "daily" and account.today >= cap.recipients:
        return engine.Status.AUDIENCE_CAP_REACHED, None
    if (
        cap is not None
        and cap.timeframe == "lifetime"
        and account.recipients >= cap.recipients
    ):
        return engine.Status.AUDIENCE_CAP_REACHED, None
    if budget is not None and Fraction(account.spent) + (worth or 0) > Fraction(
        budget.total
    ):
        return engine.Status.BUDGET_EXCEEDED, None
    if unique is None:
        return engine.Status.ASSIGNED, None
    unused = unique.codes[account.codes_used :]
    if unused:
        return engine.Status.ASSIGNED, unused[0]
    if unique.fallback is None:
        return engine.Status.NO_CODE_AVAILABLE, None
    return engine.Status.ASSIGNED, unique.fallback


# --- What a reward is worth -----------------------------------------------------------


def _worth(reward: engine.Reward, person: Person) -> Fraction | None:
    size = reward.size
    if isinstance(size, engine.Fixed):
        return _rounded(Fraction(size.value), reward.measure)
    whole = person.get(size.attribute)
    if kind(whole) != "number":
        return None
    part = _fraction(whole) * Fraction(size.percent) / 100
    if size.minimum is not None:
        part = max(part, Fraction(size.minimum))
    if size.maximum is not None:
        part = min(part, Fraction(size.maximum))
    return _rounded(part, reward.measure)


def _rounded(value: Fraction, measure: str) -> Fraction:
    smallest = Fraction(1, 10 ** DECIMALS[measure])
    return math.floor(value / smallest + Fraction(1, 2)) * smallest


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


# --- Conditions -----------------------------------------------------------------------


def kind(value: engine.Value) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "number"
    if isinstance(value, float | Decimal):
        return "number" if math.isfinite(value) else None
    return "text" if isinstance(value, str) else "date"


def _fraction(value: engine.Value) -> Fraction:
    return Fraction(str(value))


def matches(condition: engine.Condition, person: Person) -> bool:
    if isinstance(condition, engine.All):
        return all(matches(branch, person) for branch in condition.branches)
    if isinstance(condition, engine.Any):
        return any(matches(branch, person) for branch in condition.branches)
    value, wanted = person.get(condition.attribute), condition.wanted
    if kind(value) is None:
        return False
    if condition.comparison in ("one_of", "none_of"):
        listed = wanted if isinstance(wanted, tuple) else (wanted,)
        if condition.comparison == "one_of":
            return any(compare(value, "is", one) for one in listed)
        return all(compare(value, "is_not", one) for one in listed)
    if isinstance(wanted, tuple):
        return False
    return compare(value, condition.comparison.value, wanted)


def compare(value: engine.Value, comparison: str, wanted: engine.Value) -> bool:
    if kind(value) is None or kind(value) != kind(wanted):
        return False
    if kind(value) == "truth" and comparison not in ("is", "is_not"):
        return False
    if comparison == "is":
        return not less(value, wanted) and not less(wanted, value)
    if comparison == "is_not":
        return less(value, wanted) or less(wanted, value)
    if comparison == "at_least":
        return not less(value, wanted)
    if comparison == "at_most":
        return not less(wanted, value)
    if comparison == "above":
        return less(wanted, value)
    assert comparison == "below"
    return less(value, wanted)


def less(one: engine.Value, other: engine.Value) -> bool:
    """Return whether `one` is less than `other`; both are of one kind."""
    if kind(one) == "number":
        return _fraction(one) < _fraction(other)
    return one < other  # type: ignore[operator]


# --- Order ----------------------------------------------------------------------------


def _in_order(
    positions: list[int],
    population: People,
    sorting: engine.Sorting | None,
    seed: int,
) -> list[int]:
    positions.sort()
    if sorting is None:
        random.Random(str(seed)).shuffle(positions)  # noqa: S311
        return positions
    kinds = ["number", "date", "text", "truth", None]

    def comes_first(one: int, other: int) -> int:
        column = population.columns.get(sorting.attribute, [None] * len(population))
        first, second = column[one], column[other]
        if kind(first) != kind(second):
            return kinds.index(kind(first)) - kinds.index(kind(second))
        if kind(first) is not None and less(first, second):
            return 1 if sorting.direction == "high to low" else -1
        if kind(first) is not None and less(second, first):
            return -1 if sorting.direction == "high to low" else 1
        return -1 if str(population.ids[one]) < str(population.ids[other]) else 1

    return sorted(positions, key=functools.cmp_to_key(comes_first))
