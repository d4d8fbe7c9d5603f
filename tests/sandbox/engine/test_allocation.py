"""Tiers and statuses: each targeted customer gets exactly one outcome."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promoportal.sandbox import engine
from tests.sandbox.engine import generated
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import (
    UNUSED,
    allocate,
    euros,
    people,
    promotion,
    statuses,
    tier,
    with_values,
)

AT_LEAST = engine.Comparison.AT_LEAST


@given(st.lists(st.integers(0, 99), max_size=4), st.lists(st.integers(0, 99)))
def test_the_first_tier_that_matches_wins(
    floors: list[int], deposits: list[engine.Value]
) -> None:
    tiers = [
        tier(f"t{number}", euros("5"), engine.Test("x", AT_LEAST, floor))
        for number, floor in enumerate(floors)
    ]
    offered = promotion(tier("none", None, engine.Any()), *tiers)

    for outcome in allocate(offered, with_values(*deposits)).outcomes:
        deposit = deposits[outcome.position]
        reached = [
            each
            for each, floor in zip(tiers, floors, strict=True)
            if isinstance(deposit, int) and deposit >= floor
        ]
        assert outcome.tier == (reached[0] if reached else None)


@settings(max_examples=200, deadline=None)
@given(CHANCE)
def test_every_targeted_customer_has_one_status_and_only_the_assigned_a_tier(
    chance: Random,
) -> None:
    history = generated.history(chance)
    for step in history.steps:
        found = engine.calculate(
            history.promotion, history.population, account=UNUSED, **step._asdict()
        )

        assert [outcome.position for outcome in found.outcomes] == list(step.targeted)
        for outcome in found.outcomes:
            assert outcome.status in engine.Status
            is_assigned = outcome.status is engine.Status.ASSIGNED
            assert (outcome.tier is not None) == is_assigned
            assert is_assigned or outcome[2:] == (None, None, None)


def test_a_first_tier_that_fails_is_not_replaced_by_the_second() -> None:
    of_text = engine.Reward(
        engine.Category.AMOUNT,
        "BonusCash",
        "EUR",
        engine.Percentage(generated.SIZES[1], "x"),
    )
    offered = promotion(tier("gold", of_text), tier("silver", euros("5")))

    assert statuses(allocate(offered, with_values("much"))) == ["Failed"]


def test_a_tier_may_test_a_value_of_the_event() -> None:
    condition = engine.Test("event.deposit", AT_LEAST, 50)
    offered = promotion(tier(condition=condition))

    found = [
        statuses(allocate(offered, people(1), event=event))
        for event in ({"deposit": 50}, {"deposit": 49.99}, {})
    ]

    assert found == [["Assigned"], ["NotEligible"], ["NotEligible"]]


def test_an_attribute_named_like_an_event_value_is_ignored() -> None:
    condition = engine.Test("event.x", AT_LEAST, 1)

    assert engine.select(condition, people(1, **{"event.x": [5]})) == []


@pytest.mark.parametrize("state", sorted(set(engine.State) - {engine.State.ACTIVE}))
def test_only_an_active_promotion_assigns_anything(state: engine.State) -> None:
    account = engine.Account(recipients=3)
    offered = promotion(tier(gives=euros("5")), state=state)

    found = allocate(offered, people(2), account=account)

    assert statuses(found) == ["NotEligible"] * 2
    assert found.account == account


@pytest.mark.parametrize(
    ("targeted", "sentence"),
    [
        ([0, 1, 0], "targeted twice"),
        ([0, 2], "outside the population of 2"),
        ([-1], "outside the population of 2"),
    ],
)
def test_invalid_targets_are_refused(targeted: list[int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        allocate(promotion(), people(2), targeted)


def test_without_targets_there_are_no_outcomes() -> None:
    assert list(allocate(promotion(), people(0)).outcomes) == []
