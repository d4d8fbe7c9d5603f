"""The progress of an execution over all stages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from executions.locks import lock_exclusive, lock_shared
from executions.models import Execution, ExecutionProgress, TriggerState
from promoportal.db.database_clock import seconds_from_now as later
from promoportal.operations import progress
from redemptions.models import RedemptionState
from rewards.models import AssignmentState, CollectionState
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    ExecutionFactory,
    RedemptionFactory,
    TriggerFactory,
)
from tests.promoportal.db.second_connection import elsewhere, patiently, waits


def fetch(execution: Execution, state: str) -> None:
    CollectionFactory(execution=execution, state=state)


def trigger(execution: Execution, state: str) -> None:
    TriggerFactory(execution=execution, state=state)


def assignment(execution: Execution, state: str) -> None:
    AssignmentFactory(execution=execution, state=state)


def redemption(execution: Execution, state: str) -> None:
    activated = AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=activated, state=state)


def no_rows(execution: Execution, state: str) -> None:
    """Create no rows: the execution was only announced."""


Work = tuple[Callable[[Execution, str], None], str]

COLLECTS: list[Work] = [
    (fetch, CollectionState.WAITING),
    (fetch, CollectionState.COLLECTING),
    (trigger, TriggerState.WAITING),
]
MOVES: list[Work] = [
    (assignment, AssignmentState.OWED),
    (assignment, AssignmentState.ACTIVATING),
    (assignment, AssignmentState.UNCERTAIN),
    (redemption, RedemptionState.WAITING),
    (redemption, RedemptionState.REPORTING),
    (redemption, RedemptionState.UNCERTAIN),
]
RESTS: list[Work] = [
    (fetch, CollectionState.IDLE),
    (fetch, CollectionState.DONE),
    (fetch, CollectionState.HELD),
    (trigger, TriggerState.DONE),
    (trigger, TriggerState.HELD),
    (assignment, AssignmentState.ACTIVE),
    (assignment, AssignmentState.HELD),
    (assignment, AssignmentState.VOID),
    (redemption, RedemptionState.REPORTED),
    (redemption, RedemptionState.HELD),
    (redemption, RedemptionState.WRITTEN_OFF),
    (no_rows, "NOTHING"),
]
FOUND = [
    pytest.param(work, after, id=f"{work[0].__name__} {work[1]}")
    for some, after in (
        (COLLECTS, ExecutionProgress.COLLECTING),
        (MOVES, ExecutionProgress.ACTIVATING),
        (RESTS, ExecutionProgress.SETTLED),
    )
    for work in some
]


@pytest.mark.parametrize(
    "before", [ExecutionProgress.COLLECTING, ExecutionProgress.ACTIVATING]
)
@pytest.mark.parametrize(("work", "after"), FOUND)
def test_the_progress_follows_from_unfinished_work(
    db: None, before: ExecutionProgress, work: Work, after: ExecutionProgress
) -> None:
    execution = ExecutionFactory(state=before)
    put, state = work
    put(execution, state)

    progress.update_progress()
    progress.update_progress()

    execution.refresh_from_db()
    assert execution.state == after
    assert execution.transitions.count() == (before != after)


def test_a_running_fetch_decides_before_other_work(db: None) -> None:
    execution = ExecutionFactory()
    for put, state in (*COLLECTS[1:], *MOVES):
        put(execution, state)

    progress.update_progress()

    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.COLLECTING


@pytest.mark.parametrize(
    ("empties", "after"),
    [(0, ExecutionProgress.ACTIVATING), (1, ExecutionProgress.COLLECTING)],
)
def test_a_list_counts_as_complete_until_a_later_run_finds_it_empty(
    db: None, empties: int, after: ExecutionProgress
) -> None:
    execution = ExecutionFactory()
    CollectionFactory(
        execution=execution,
        state=CollectionState.WAITING,
        looks=1,
        seen_before=3,
        empties=empties,
        not_before=later(60),
    )

    progress.update_progress()

    execution.refresh_from_db()
    assert execution.state == after


def test_the_transition_has_a_reason(db: None) -> None:
    execution = ExecutionFactory()

    progress.update_progress()

    trace = execution.transitions.get()
    assert (trace.before, trace.after) == (
        ExecutionProgress.ACTIVATING,
        ExecutionProgress.SETTLED,
    )
    assert trace.why == "Nothing is left that happens by itself."
    assert trace.by is None


# --- Two connections ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lock", [lock_exclusive, lock_shared])
def test_an_execution_is_not_settled_during_an_insert_of_work(
    lock: Callable[[int], object],
) -> None:
    execution = ExecutionFactory()

    with elsewhere() as collector:
        collector.begin()
        collector.do(lambda: lock(execution.pk))
        collector.do(lambda: AssignmentFactory(execution=execution))
        progress.update_progress()
        collector.commit()
    progress.update_progress()

    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.ACTIVATING
    assert not execution.transitions.exists()


@pytest.mark.django_db(transaction=True)
def test_work_that_arrives_during_the_check_is_seen() -> None:
    """The lock was free, but work had arrived by the time it was taken."""
    execution = ExecutionFactory()
    at_rest = Execution.objects.exclude(progress._is_moving())
    slowly = at_rest.extra(where=["pg_sleep(0.5) IS NOT NULL"])

    with elsewhere() as other:
        settling = other.start(
            lambda: progress._move(
                slowly, ExecutionProgress.SETTLED, why="Nothing is left."
            )
        )
        assert waits(settling)
        AssignmentFactory(execution=execution)
        patiently(settling)

    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.ACTIVATING


@pytest.mark.django_db(transaction=True)
def test_a_locked_execution_does_not_block_others() -> None:
    held, free = ExecutionFactory.create_batch(2)

    with elsewhere() as clerk:
        clerk.begin()
        clerk.do(lambda: lock_exclusive(held.pk))
        progress.update_progress()
        clerk.commit()

    held.refresh_from_db()
    free.refresh_from_db()
    assert (held.state, free.state) == (
        ExecutionProgress.ACTIVATING,
        ExecutionProgress.SETTLED,
    )
