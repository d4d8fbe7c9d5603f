"""Limits are never exceeded, in whatever order customers come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promoportal.sandbox import engine
from tests.sandbox.engine import generated
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import (
    DAY,
    NEXT_DAY,
    UNUSED,
    allocate,
    budget,
    euros,
    people,
    percent,
    promotion,
    reward,
    served,
    statuses,
    tier,
)

DEPOSITS = st.lists(st.decimals(1, 400, places=2), min_size=1, max_size=12)
DAILY, LIFETIME = engine.Timeframe.DAILY, engine.Timeframe.LIFETIME
TENTH = tier(gives=reward(percent("10", "event.deposit", least="0.50", most="25")))


# --- Budget ---------------------------------------------------------------------------


@given(DEPOSITS, st.decimals("0.01", 100, places=2), st.randoms())
def test_single_triggers_never_spend_more_than_the_budget(
    deposits: list[Decimal], total: Decimal, chance: Random
) -> None:
    offered = promotion(TENTH, budget=budget(str(total)))
    population, account = people(len(deposits)), UNUSED
    arrivals = list(enumerate(deposits))
    chance.shuffle(arrivals)

    spent = Decimal(0)
    for position, deposit in arrivals:
        found = allocate(
            offered, population, [position], account=account, event={"deposit": deposit}
        )
        account = found.account
        spent += sum(outcome.value or 0 for outcome in found.outcomes)

        assert spent == account.spent <= total


@settings(max_examples=200, deadline=None)
@given(CHANCE)
def test_no_history_spends_more_than_the_budget(chance: Random) -> None:
    history = generated.history(chance)
    spent = Decimal(0)
    for found in _allocations(history):
        spent += sum(outcome.value or 0 for outcome in found.outcomes)

        if history.promotion.budget is not None:
            assert spent == found.account.spent <= history.promotion.budget.total


def test_a_reward_that_does_not_fit_is_skipped_and_the_next_one_tried() -> None:
    population = people(3, deposit=[100, 80, 20])
    offered = promotion(
        tier(gives=reward(percent("10", "deposit"))),
        budget=budget("12"),
        sorting=engine.Sorting("deposit"),
    )

    found = allocate(offered, population)

    assert statuses(found) == ["Assigned", "BudgetExceeded", "Assigned"]
    assert found.account.spent == Decimal("12.00")


def test_a_budget_can_be_spent_to_the_last_cent() -> None:
    offered = promotion(tier(gives=euros("3.33")), budget=budget("9.99"))

    found = allocate(offered, people(4))

    assert Counter(statuses(found)) == {"Assigned": 3, "BudgetExceeded": 1}


def test_a_reward_that_the_budget_does_not_measure_fails() -> None:
    in_kronor = tier(gives=reward(engine.Fixed(Decimal(10)), "SEK"))
    offered = promotion(in_kronor, budget=budget("50"))

    found = allocate(offered, people(1))

    assert statuses(found) == ["Failed"]
    assert found.account.spent == 0


def test_a_bare_code_uses_no_budget() -> None:
    found = allocate(promotion(tier(gives=None), budget=budget("1")), people(3))

    assert statuses(found) == ["Assigned"] * 3
    assert found.account.spent == 0


# --- Cap ------------------------------------------------------------------------------


@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=10),
    st.sampled_from(engine.Timeframe),
)
def test_no_timeframe_has_more_recipients_than_the_cap(
    most: int, happens: list[tuple[bool, int]], timeframe: engine.Timeframe
) -> None:
    offered = promotion(cap=engine.Cap(most, timeframe))
    recipients: Counter[object] = Counter()
    account, day = UNUSED, DAY
    for is_new_day, count in happens:
        day += timedelta(days=is_new_day)
        found = allocate(offered, people(4), range(count), account=account, day=day)
        account = found.account
        recipients[day] += len(served(found))

    counted = recipients.values() if timeframe is DAILY else [recipients.total()]
    assert all(count <= most for count in counted)
    assert account.recipients == recipients.total()


def test_a_daily_cap_starts_again_each_day() -> None:
    offered = promotion(cap=engine.Cap(2, DAILY))

    today = allocate(offered, people(3))
    later = allocate(offered, people(3), account=today.account)
    tomorrow = allocate(offered, people(3), account=later.account, day=NEXT_DAY)

    assert [len(served(each)) for each in (today, later, tomorrow)] == [2, 0, 2]
    assert tomorrow.account == engine.Account(recipients=4, today=2, day=NEXT_DAY)


def test_a_lifetime_cap_never_starts_again() -> None:
    offered = promotion(cap=engine.Cap(2, LIFETIME))

    today = allocate(offered, people(3))
    tomorrow = allocate(offered, people(3), account=today.account, day=NEXT_DAY)

    assert statuses(tomorrow) == ["AudienceCapReached"] * 3


def test_a_late_trigger_counts_for_the_latest_day() -> None:
    offered = promotion(cap=engine.Cap(1, DAILY))
    tomorrow = allocate(offered, people(1), day=NEXT_DAY)

    late = allocate(offered, people(1), account=tomorrow.account, day=DAY)
    after = allocate(offered, people(1), account=late.account, day=NEXT_DAY)

    assert statuses(late) == statuses(after) == ["AudienceCapReached"]


def test_a_refused_customer_uses_up_no_limit() -> None:
    population = people(3, deposit=[900, 50, "much"])
    offered = promotion(
        tier(gives=reward(percent("10", "deposit"))),
        budget=budget("10"),
        cap=engine.Cap(1),
        sorting=engine.Sorting("deposit"),
    )

    found = allocate(offered, population)

    assert statuses(found) == ["BudgetExceeded", "Assigned", "Failed"]


# --- Codes ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(CHANCE)
def test_a_unique_code_is_never_assigned_twice(chance: Random) -> None:
    history = generated.history(chance)
    codes = [
        outcome.unique_code
        for found in _allocations(history)
        for outcome in found.outcomes
        if outcome.unique_code not in (None, "FALLBACK")
    ]

    assert len(codes) == len(set(codes))
    if history.promotion.unique_codes is not None:
        assert sorted(codes) == sorted(
            history.promotion.unique_codes.codes[: len(codes)]
        )


def test_codes_are_assigned_in_the_order_of_serving() -> None:
    offered = promotion(
        unique_codes=engine.UniqueCodes(["U1", "U2", "U3"]),
        sorting=engine.Sorting("x"),
    )

    found = allocate(offered, people(3, x=[1, 3, 2]))

    assert [outcome.unique_code for outcome in found.outcomes] == ["U3", "U1", "U2"]


@pytest.mark.parametrize(
    ("fallback", "status", "recipients"),
    [
        pytest.param("ANY", ["Assigned"] * 2, 2, id="a fallback"),
        pytest.param(None, ["Assigned", "NoCodeAvailable"], 1, id="no fallback"),
    ],
)
def test_the_fallback_follows_the_last_code_or_customers_are_refused(
    fallback: str | None, status: list[str], recipients: int
) -> None:
    unique = engine.UniqueCodes(["U1"], fallback)
    offered = promotion(unique_codes=unique, sorting=engine.Sorting("none"))

    found = allocate(offered, people(2))

    assert statuses(found) == status
    assert [outcome.unique_code for outcome in found.outcomes] == ["U1", fallback]
    assert found.account.recipients == recipients
    assert found.account.codes_used == 1


# --- Precedence -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"state": engine.State.DEACTIVATED}, "NotEligible"),
        ({}, "AudienceCapReached"),
        ({"cap": None}, "BudgetExceeded"),
        ({"cap": None, "budget": None}, "NoCodeAvailable"),
        ({"cap": None, "budget": None, "unique_codes": None}, "Assigned"),
    ],
)
def test_the_status_names_the_first_limit_that_refuses(
    limits: dict[str, object], status: str
) -> None:
    offered = promotion(
        tier(gives=euros("5")),
        **{
            "cap": engine.Cap(0),
            "budget": budget("4.99"),
            "unique_codes": engine.UniqueCodes([]),
            **limits,
        },
    )

    assert statuses(allocate(offered, people(1))) == [status]


def test_a_reward_that_cannot_be_computed_comes_before_any_limit() -> None:
    offered = promotion(tier(gives=reward(percent("10"))), cap=engine.Cap(0))

    assert statuses(allocate(offered, people(2, x=[None, 0]))) == [
        "Failed",
        "NotEligible",
    ]


def _allocations(history: generated.History) -> Iterator[engine.Allocation]:
    account = UNUSED
    for step in history.steps:
        found = engine.calculate(
            history.promotion, history.population, account=account, **step._asdict()
        )
        yield found
        account = found.account
