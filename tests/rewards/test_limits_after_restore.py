"""Limits for rewards that were activated while the rows were lost."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from executions.models import Execution, ExecutionStop
from promoportal.operations import restored_backup
from rewards import decisions
from rewards.activation.outcomes import apply_receipts
from rewards.models import Assignment, AssignmentState, Tally
from tests.factories import UserFactory
from tests.promoportal.operations.test_restored_backup import backup, restore
from tests.rewards.collection.test_changes import OTHER
from tests.world import World


def void_in_doubt(world: World, status: str) -> str:
    """Restore a backup with a reward in `VOID` that may be activated; return its ID."""
    reference = world.box.assign("7311", "C1", status=status)
    return _restored(world, reference)


def cancelled_with_a_value(world: World) -> str:
    """Do the same with a reward of 10 EUR that was cancelled before the backup."""
    reference = world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.change("7311", reference, status="Cancelled")
    return _restored(world, reference)


def _restored(world: World, reference: str) -> str:
    world.collect("7311")
    restore(backup())
    restored_backup.detect_restore()
    stored = world.assignment("C1")
    assert stored.state == AssignmentState.VOID
    assert stored.doubtful
    return reference


def confirm(said: str) -> None:
    if said == "staff":
        rows = Assignment.objects.filter(customer="C1")
        decided = decisions.given(rows, by=UserFactory(), why="Seen there.")
        assert decided.done == 1
    else:
        key = Assignment.objects.get(customer="C1").key
        apply_receipts({key: "R1"}, why="It came late.")
        apply_receipts({key: "R1"}, why="It came once more.")


@pytest.mark.parametrize("said", ["staff", "receipt"])
@pytest.mark.parametrize("status", ["NotEligible", "Cancelled"])
def test_a_reward_that_turns_out_to_be_activated_counts(
    world: World, settings: Settings, status: str, said: str
) -> None:
    settings.LIMIT_CUSTOMERS = ["1"]
    void_in_doubt(world, status)

    confirm(said)
    world.box.assign("7311", "C2")
    world.collect("7311")
    world.work()

    assert Execution.objects.get().stop == ExecutionStop.HELD
    assert not world.box.credits
    assert sum(tally.customers for tally in Tally.objects.all()) == 2


@pytest.mark.parametrize("said", ["staff", "receipt"])
def test_a_reward_that_turns_out_to_be_activated_counts_with_its_value(
    world: World, settings: Settings, said: str
) -> None:
    cancelled_with_a_value(world)
    settings.LIMIT_VALUE = ["EUR=9"]

    confirm(said)

    assert Execution.objects.get().stop == ExecutionStop.HELD
    assert sum(tally.value for tally in Tally.objects.all()) == 10


def test_an_execution_stops_when_an_activated_reward_turns_up(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["1"]
    world.box.assign("7311", "C2")
    void_in_doubt(world, "Cancelled")
    assert Execution.objects.get().stop == ExecutionStop.NONE

    confirm("staff")

    assert Execution.objects.get().stop == ExecutionStop.HELD


def test_a_confirmed_reward_that_is_assigned_again_counts_once(world: World) -> None:
    reference = void_in_doubt(world, "Cancelled")

    confirm("staff")
    world.box.change("7311", reference, status="Assigned", reward=OTHER)
    world.collect("7311")

    tally = Tally.objects.get(customers__gt=0)
    assert (tally.customers, tally.unit) == (1, "EUR")
    assert tally.value == 99
    assert world.assignment("C1").value == 99
