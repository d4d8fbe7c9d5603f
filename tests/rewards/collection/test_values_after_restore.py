"""The values of rewards that may have been sent before a backup was restored."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from executions.models import Execution, ExecutionStop
from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import seconds_from_now
from rewards import decisions
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.factories import UserFactory
from tests.promoportal.operations.test_restored_backup import backup, restore
from tests.rewards.collection.test_changes import OTHER, look_again
from tests.staff_client import StaffClient
from tests.world import World


@pytest.fixture
def found_active(world: World, settings: Settings) -> str:
    """Return the ID of a reward of 10 EUR that was found activated after a restore."""
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")
    reference = world.box.assign("7311", "C1")
    world.collect("7311")
    dump = backup()
    world.work()
    restore(dump)
    world.wait()
    row = world.assignment("C1")
    assert (row.state, row.order) == (AssignmentState.ACTIVE, None)
    return reference


@pytest.fixture
def in_doubt(world: World, settings: Settings) -> str:
    """Return the ID of a reward of 99 EUR that only staff can resolve."""
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    reference = world.box.assign("7311", "C1", reward={**OTHER})
    world.collect("7311")
    restore(backup())
    world.wait()
    assert world.assignment("C1").doubtful
    return reference


def change(world: World, reference: str, value: str) -> Assignment:
    reward = {**OTHER, "value": value}
    world.box.change("7311", reference, status="Assigned", reward=reward)
    return look_again(world)


def deny() -> list[SkipKind]:
    Assignment.objects.update(lease_until=seconds_from_now(-3600))
    rows = Assignment.objects.all()
    decided = decisions.not_given(rows, by=UserFactory(), why="It was not given.")
    return [reason.kind for reason in decided.skipped]


def test_an_activated_reward_without_an_order_keeps_its_value(
    world: World, found_active: str, operations: StaffClient
) -> None:
    row = change(world, found_active, "99")

    assert row.state == AssignmentState.ACTIVE
    assert row.value == 10
    assert row.reason == AssignmentReason.DIFFERS
    assert "99 EUR BonusCash for C1" not in operations.page(row)


@pytest.mark.parametrize("status", ["Assigned", "Cancelled"])
def test_an_activated_reward_counts_with_the_value_that_was_sent(
    world: World, settings: Settings, found_active: str, status: str
) -> None:
    settings.LIMIT_VALUE = ["EUR=15"]
    reward = {**OTHER, "value": "1"}
    world.box.change("7311", found_active, status=status, reward=reward)
    world.box.assign("7311", "C2")
    world.collect("7311")
    world.work()

    assert Execution.objects.get().stop == ExecutionStop.HELD
    assert len(world.box.credits) == 1


def test_a_denial_needs_two_people_by_the_value_that_was_sent(
    world: World, settings: Settings, in_doubt: str
) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=50"]

    assert change(world, in_doubt, "1").value == 99
    assert deny() == [SkipKind.NEEDS_SECOND_PERSON]


def test_a_denied_reward_that_changed_is_sent_as_it_is_listed_after_approval(
    world: World, in_doubt: str
) -> None:
    change(world, in_doubt, "1")
    assert deny() == []
    row = world.assignment("C1")
    assert (row.state, row.reason) == (AssignmentState.HELD, AssignmentReason.DIFFERS)
    world.work()
    assert not world.box.credits

    rows = Assignment.objects.all()
    decisions.release(rows, by=UserFactory(), why="The new value is meant.")
    world.work()
    assert [credit.value for credit in world.box.credits] == [1]
    assert world.assignment("C1").value == 1


def test_a_reward_that_was_not_assigned_in_the_backup_takes_over_its_value(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CAPABILITY = "idempotent"
    world.box.become("keyed")
    reference = world.box.assign("7311", "C1", status="NotEligible")
    world.collect("7311")
    restore(backup())
    world.wait()
    row = change(world, reference, "99")
    world.work()

    assert row.value == 99
    assert len(world.box.credits) == 1
