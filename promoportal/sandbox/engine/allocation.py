"""Allocation of a promotion, which decides the outcome of each targeted customer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from promoportal.sandbox.engine.caps_and_budgets import Limits, rolled
from promoportal.sandbox.engine.conditions import matching
from promoportal.sandbox.engine.model import (
    NOTHING,
    Account,
    Allocation,
    Outcome,
    Population,
    Promotion,
    State,
    Status,
    Tier,
    Value,
)
from promoportal.sandbox.engine.reward_values import worth
from promoportal.sandbox.engine.serving_order import served_first


def calculate(
    promotion: Promotion,
    population: Population,
    targeted: Sequence[int],
    *,
    account: Account,
    day: date,
    seed: int,
    event: Mapping[str, Value] = NOTHING,
) -> Allocation:
    """
    Return the outcome of each targeted customer, and the account afterwards.

    CONFIRMED (optimove.md, section 5): a customer must be eligible and gets one tier,
    within budget and cap. The order of tiers is their priority. ASSUMED: the order of
    the checks. The status is the first that applies:

    1. NotEligible: the promotion is not active, or no tier matches.
    2. Failed: the reward of the first matching tier cannot be calculated, or the budget
       has another category, currency or unit.
    3. NotEligible: the value of that reward is zero or less.
    4. AudienceCapReached, BudgetExceeded or NoCodeAvailable: a limit is exceeded. The
       customers are served in the order of `served_first`, by `Limits.serve`.
    5. Assigned.

    The caller passes the returned account to the next allocation of the promotion. Two
    allocations of one promotion must not run at the same time.
    """
    _check_targeted(targeted, population)
    if promotion.state is not State.ACTIVE:
        return Allocation([_not_eligible(each) for each in targeted], account)
    outcomes = _offers(promotion, population, targeted, event)
    eligible = [each for each in targeted if outcomes[each].status is Status.ASSIGNED]
    limits = Limits(promotion, rolled(account, day))
    for position in served_first(eligible, population, promotion.sorting, seed):
        outcomes[position] = limits.serve(outcomes[position])
    return Allocation([outcomes[each] for each in targeted], limits.account())


def _check_targeted(targeted: Sequence[int], population: Population) -> None:
    if len(set(targeted)) < len(targeted):
        raise ValueError("A position is targeted twice. Name each position once.")
    if targeted and not 0 <= min(targeted) <= max(targeted) < len(population):
        msg = f"A targeted position is outside the population of {len(population)}."
        raise ValueError(msg)


def _not_eligible(position: int) -> Outcome:
    return Outcome(position, Status.NOT_ELIGIBLE)


def _offers(
    promotion: Promotion,
    population: Population,
    targeted: Sequence[int],
    event: Mapping[str, Value],
) -> dict[int, Outcome]:
    """Return the outcomes without the limits, by position."""
    outcomes: dict[int, Outcome] = {}
    for tier in promotion.tiers:
        offer = _offer(promotion, tier, population, event)
        rest = [each for each in targeted if each not in outcomes]
        for position in matching(tier.condition, population, rest, event):
            outcomes[position] = offer(position)
    for position in targeted:
        if position not in outcomes:
            outcomes[position] = _not_eligible(position)
    return outcomes


def _offer(
    promotion: Promotion,
    tier: Tier,
    population: Population,
    event: Mapping[str, Value],
) -> Callable[[int], Outcome]:
    """Return a function that takes a position and returns the tier's outcome for it."""
    if tier.reward is None:
        return lambda position: Outcome(position, Status.ASSIGNED, tier)
    if not _is_measured(promotion, tier):
        return lambda position: Outcome(position, Status.FAILED)
    value = worth(tier.reward, population, event)
    return lambda position: _of_value(position, tier, value(position))


def _is_measured(promotion: Promotion, tier: Tier) -> bool:
    """Return whether the budget, if there is one, can count the tier's reward."""
    budget, reward = promotion.budget, tier.reward
    return (
        budget is None
        or reward is None
        or (budget.category, budget.measure) == (reward.category, reward.measure)
    )


def _of_value(position: int, tier: Tier, value: Decimal | None) -> Outcome:
    if value is None:
        return Outcome(position, Status.FAILED)
    if value <= 0:
        return _not_eligible(position)
    return Outcome(position, Status.ASSIGNED, tier, value)
