"""The operator's own safeguards hold whatever the vendor assigns, and however."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from executions import stopping
from executions.models import Execution, Stop
from rewards.limits import limits
from rewards.models import Assignment, Reason, State, Tally
from tests.world import World

TEN = {"category": "Amount", "type": "BonusCash", "value": "10", "currency": "EUR"}


def assign(world: World, *customers: str, value: str = "10") -> None:
    for customer in customers:
        world.box.assign("7311", customer, reward={**TEN, "value": value})


def test_past_a_limit_on_value_nothing_is_given(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=25"]
    assign(world, "C1", "C2", "C3")

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == Stop.HELD
    assert "30.000000 EUR were assigned; the limit is 25." in execution.problem
    assert not world.box.credits


def test_within_the_limits_everything_is_given(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=30"]
    settings.LIMIT_CUSTOMERS = ["3"]
    assign(world, "C1", "C2", "C3")

    world.announce("7311")

    assert len(world.box.credits) == 3


def test_many_small_passes_cannot_go_past_what_one_may_not(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2")
    world.announce("7311")
    assign(world, "C3")

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == Stop.HELD
    assert len(world.box.credits) == 2


def test_triggered_customers_count_together(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    for customer in ("C1", "C2", "C3"):
        assign(world, customer)
        world.notify(11, campaignID="7311", customerID=customer)
        world.work()

    assert len(world.box.credits) == 2
    assert Execution.objects.get().stop == Stop.HELD


def test_a_person_lets_it_go_as_it_stands(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()

    stopping.resume(execution, by=None, why="It was meant.")
    world.work()

    assert len(world.box.credits) == 3


def test_what_comes_after_it_was_let_go_is_held_again(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()
    stopping.resume(execution, by=None, why="It was meant.")
    world.work()
    assign(world, "C4")

    world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == Stop.HELD
    assert len(world.box.credits) == 3


def test_one_reward_past_its_limit_is_held_alone(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_REWARD = ["EUR=50"]
    assign(world, "C1")
    assign(world, "C2", value="5000")

    world.announce("7311")

    held = world.assignment("C2")
    assert (held.state, held.reason) == (State.HELD, Reason.OVER_LIMIT)
    assert len(world.box.credits) == 1


def test_what_did_not_pass_cannot_be_claimed(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    world.collect("7311")
    Execution.objects.update(stop=Stop.NONE)

    world.run_activation()

    assert not world.box.credits


def test_storing_a_page_again_counts_nothing_twice(world: World) -> None:
    assign(world, "C1", "C2")
    world.announce("7311")

    world.announce("7311")

    [tally] = Tally.objects.all()
    assert (tally.customers, tally.value) == (2, Decimal(20))
    assert Assignment.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMIT_CUSTOMERS", ["many"]),
        ("LIMIT_CUSTOMERS", ["1", "2"]),
        ("LIMIT_VALUE", ["EUR"]),
        ("LIMIT_VALUE", ["EUR=lots"]),
        ("LIMIT_REWARD", ["EUR=-5"]),
        ("LIMIT_REWARD", ["=5"]),
    ],
)
def test_a_limit_that_cannot_be_read_is_named(
    settings: Settings, name: str, value: list[str]
) -> None:
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        limits()
