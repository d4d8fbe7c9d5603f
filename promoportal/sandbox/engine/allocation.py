"""What becomes of each targeted customer: the engine, from one end to the other."""

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
    Decide what each targeted customer gets, and count it on the account.

    Of optimove.md, section 5. CONFIRMED: eligibility, budget and cap, tier; the order of
    tiers is their priority. ASSUMED: of several reasons the status tells the first of

    1. NotEligible: the promotion is not active, or no tier matches;
    2. Failed: the first tier that matches has a reward that cannot be computed, or that
       the budget does not measure;
    3. NotEligible: that reward comes to nothing;
    4. in the order of serving (`served_first`) AudienceCapReached, BudgetExceeded,
       NoCodeAvailable (`Limits.serve`);
    5. Assigned.

    The account is for the caller to keep: one allocation at a time begins with what the
    one before came to.

    :raises ValueError: if someone is targeted twice, or is no one of the population
    """
    _refuse_nonsense(targeted, population)
    if promotion.state is not State.ACTIVE:
        return Allocation([_nothing(each) for each in targeted], account)
    outcomes = _offers(promotion, population, targeted, event)
    eligible = [each for each in targeted if outcomes[each].status is Status.ASSIGNED]
    limits = Limits(promotion, rolled(account, day))
    for position in served_first(eligible, population, promotion.sorting, seed):
        outcomes[position] = limits.serve(outcomes[position])
    return Allocation([outcomes[each] for each in targeted], limits.account())


def _refuse_nonsense(targeted: Sequence[int], population: Population) -> None:
    if len(set(targeted)) < len(targeted):
        raise ValueError("A customer is targeted twice; name each position once.")
    if targeted and not 0 <= min(targeted) <= max(targeted) < len(population):
        msg = f"A targeted position is outside the population of {len(population)}."
        raise ValueError(msg)


def _nothing(position: int) -> Outcome:
    return Outcome(position, Status.NOT_ELIGIBLE)


def _offers(
    promotion: Promotion,
    population: Population,
    targeted: Sequence[int],
    event: Mapping[str, Value],
) -> dict[int, Outcome]:
    """Find what each would get if there were no limits: ASSUMED, of the first tier."""
    outcomes: dict[int, Outcome] = {}
    for tier in promotion.tiers:
        offer = _offer(promotion, tier, population, event)
        rest = [each for each in targeted if each not in outcomes]
        for position in matching(tier.condition, population, rest, event):
            outcomes[position] = offer(position)
    for position in targeted:
        if position not in outcomes:
            outcomes[position] = _nothing(position)
    return outcomes


def _offer(
    promotion: Promotion,
    tier: Tier,
    population: Population,
    event: Mapping[str, Value],
) -> Callable[[int], Outcome]:
    """Make a tier ready: a function of the position that tells what it would give."""
    if tier.reward is None:
        return lambda position: Outcome(position, Status.ASSIGNED, tier)
    if not _is_measured(promotion, tier):
        return lambda position: Outcome(position, Status.FAILED)
    value = worth(tier.reward, population, event)
    return lambda position: _of_value(position, tier, value(position))


def _is_measured(promotion: Promotion, tier: Tier) -> bool:
    """Tell whether the budget, if there is one, can count what the tier gives."""
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
        return _nothing(position)
    return Outcome(position, Status.ASSIGNED, tier, value)
