"""Stopping an execution: status, history, and no claims after the stop."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from executions import lifecycle
from executions.locks import lock_exclusive, lock_shared
from executions.models import (
    Execution,
    ExecutionKind,
    ExecutionProgress,
    ExecutionReason,
    ExecutionStop,
)
from promoportal.db import state_machine
from promoportal.platforms import Capability
from rewards.activation.claims import claim
from rewards.models import Assignment, AssignmentState, AssignmentTransition
from tests.factories import AssignmentFactory, ExecutionFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("clerk")


@pytest.fixture
def execution(db: None) -> Execution:
    return ExecutionFactory()


def last(execution: Execution) -> tuple[str, str, Any, str]:
    trace = execution.transitions.latest("pk")
    return trace.before, trace.after, trace.by, trace.why


# --- User and reason ----------------------------------------------------------------


def test_pausing_and_resuming_record_the_user_and_the_reason(
    execution: Execution, user: User
) -> None:
    lifecycle.pause(execution, by=user, why="Too many complaints.")
    paused = last(execution)
    reason = execution.reason, execution.problem
    lifecycle.resume(execution, by=user, why="They were of another campaign.")

    assert paused == ("NONE", "PAUSED", user, "Too many complaints.")
    assert reason == (ExecutionReason.BY_STAFF, "Too many complaints.")
    assert last(execution) == (
        *("PAUSED", "NONE"),
        *(user, "They were of another campaign."),
    )
    assert (execution.reason, execution.problem) == ("", "")


def test_a_cancellation_records_its_user_on_every_reward(
    execution: Execution, user: User
) -> None:
    AssignmentFactory.create_batch(2, execution=execution)

    lifecycle.cancel(execution, by=user, why="It was a mistake.")

    cancelled = AssignmentTransition.objects.filter(after=AssignmentState.VOID)
    assert last(execution) == ("NONE", "CANCELLED", user, "It was a mistake.")
    assert execution.reason == ExecutionReason.BY_STAFF
    assert [trace.by for trace in cancelled] == [user, user]


def test_a_cancellation_by_optimove_is_recorded_as_such(db: None) -> None:
    execution = lifecycle.cancel_by_vendor("7311")

    assert (execution.reason, execution.kind) == (
        ExecutionReason.BY_VENDOR,
        ExecutionKind.UNKNOWN,
    )
    assert last(execution)[2] is None
    assert "event 4" in last(execution)[3]


MOVES = {
    ExecutionStop.NONE: {"pause": True, "resume": False, "cancel": True, "hold": True},
    ExecutionStop.HELD: {"pause": False, "resume": True, "cancel": True, "hold": False},
    ExecutionStop.PAUSED: {
        "pause": False,
        "resume": True,
        "cancel": True,
        "hold": True,
    },
    ExecutionStop.CANCELLED: {
        "pause": False,
        "resume": False,
        "cancel": False,
        "hold": False,
    },
}


@pytest.mark.parametrize(
    ("stop", "verb", "allowed"),
    [
        pytest.param(stop, verb, allowed, id=f"{verb} when {stop}")
        for stop, verbs in MOVES.items()
        for verb, allowed in verbs.items()
        if verb != "hold"
    ],
)
def test_each_status_allows_its_actions_only(
    execution: Execution, stop: ExecutionStop, verb: str, allowed: bool
) -> None:
    row = ExecutionFactory(stop=stop)

    if allowed:
        getattr(lifecycle, verb)(row, by=None, why="As it is.")
        assert row.stop != stop
    else:
        with pytest.raises(state_machine.IllegalMove):
            getattr(lifecycle, verb)(row, by=None, why="As it is.")
        assert Execution.objects.get(pk=row.pk).stop == stop


@pytest.mark.parametrize("stop", ExecutionStop)
def test_an_execution_over_a_limit_is_stopped_if_it_runs_or_is_paused(
    db: None, stop: ExecutionStop
) -> None:
    row = ExecutionFactory(stop=stop)

    moved = lifecycle.hold(row, problem="3 rewards were assigned; the limit is 2.")

    row.refresh_from_db()
    assert moved is MOVES[stop]["hold"]
    assert (row.stop == ExecutionStop.HELD) is (moved or stop == ExecutionStop.HELD)


def test_of_two_simultaneous_pauses_only_one_takes_effect(execution: Execution) -> None:
    stale = Execution.objects.get(pk=execution.pk)
    lifecycle.pause(execution, by=None, why="First.")

    with pytest.raises(state_machine.LostRace):
        lifecycle.pause(stale, by=None, why="Second.")

    assert execution.transitions.count() == 1


def test_optimove_can_cancel_a_paused_execution(execution: Execution) -> None:
    lifecycle.pause(execution, by=None, why="Wait.")

    cancelled = lifecycle.cancel_by_vendor(execution.reference)

    assert cancelled.stop == ExecutionStop.CANCELLED


# --- The effect of a stop -----------------------------------------------------------

IDEMPOTENT = Capability(idempotent=True, askable=True)


@pytest.mark.parametrize(
    "stop", [ExecutionStop.HELD, ExecutionStop.PAUSED, ExecutionStop.CANCELLED]
)
def test_no_reward_of_a_stopped_execution_is_claimed(
    db: None, stop: ExecutionStop
) -> None:
    owed = AssignmentFactory(execution=ExecutionFactory(stop=stop))

    assert claim(owed.execution_id, capability=IDEMPOTENT, most=10) is None
    assert Assignment.objects.get().state == AssignmentState.OWED


def test_cancelling_voids_pending_rewards_and_marks_activated_ones(
    world: World,
) -> None:
    for number in range(3):
        world.box.assign("7311", f"C{number}")
    execution = world.announce("7311")
    world.box.assign("7311", "C9")
    world.collect("7311")

    lifecycle.cancel(execution, by=None, why="It was a mistake.")
    world.wait()

    activated = Assignment.objects.filter(
        state=AssignmentState.ACTIVE, cancelled_too_late=True
    )
    assert activated.count() == 3
    assert world.assignment("C9").state == AssignmentState.VOID
    assert len(world.box.credits) == 3
    assert world.reconcile("7311").drift == 0


def test_pages_after_a_cancellation_insert_no_pending_rewards(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    lifecycle.cancel(execution, by=None, why="It was a mistake.")

    world.wait()

    execution.refresh_from_db()
    assert world.assignment("C1").state == AssignmentState.VOID
    assert execution.state == ExecutionProgress.SETTLED
    assert not world.box.credits


# --- Two connections ----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_stop_waits_for_running_claims_and_later_claims_see_it() -> None:
    owed = AssignmentFactory()
    execution = owed.execution

    with elsewhere() as claimant, elsewhere() as stopper:
        claimant.begin()
        claimant.do(lambda: lock_shared(execution.pk))
        pausing = stopper.start(
            lambda: lifecycle.pause(execution, by=None, why="Wait.")
        )
        assert waits(pausing)
        claimant.commit()
        patiently(pausing)

    assert claim(execution.pk, capability=IDEMPOTENT, most=10) is None


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_starts_during_a_stop_waits_and_sees_it() -> None:
    owed = AssignmentFactory()
    execution = owed.execution

    with elsewhere() as stopper, elsewhere() as claimant:
        stopper.begin()
        stopper.do(lambda: lifecycle.cancel(execution, by=None, why="A mistake."))
        claiming = claimant.start(
            lambda: claim(execution.pk, capability=IDEMPOTENT, most=10)
        )
        assert waits(claiming)
        stopper.commit()
        assert patiently(claiming) is None

    owed.refresh_from_db()
    assert owed.state == AssignmentState.VOID


@pytest.mark.django_db(transaction=True)
def test_a_run_can_hold_the_execution_while_a_notification_waits() -> None:
    """A run shares the execution, a notification waits, and the run holds it."""
    execution = ExecutionFactory()

    with elsewhere() as collector, elsewhere() as reader:
        collector.begin()
        collector.do(lambda: lock_shared(execution.pk))
        reader.begin()
        waiting = reader.start(lambda: lock_exclusive(execution.pk))
        assert waits(waiting)
        held = collector.do(lambda: lifecycle.hold(execution, problem="Too many."))
        collector.commit()
        assert patiently(waiting) == ExecutionStop.HELD

    assert held
