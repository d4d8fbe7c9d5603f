"""Bulk retries: rows are selected once and processed in parts, each with a result."""

from __future__ import annotations

from collections import Counter
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django_q.models import OrmQ

from executions import lifecycle
from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.db.state_machine import IllegalMove
from rewards import bulk_retry, decisions
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Retrial,
    RetrialPart,
    RetrialState,
    Retried,
)
from tests.factories import AssignmentFactory, ExecutionFactory, UserFactory
from tests.many import multiply
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World


@pytest.fixture
def person(db: None) -> User:
    return UserFactory()


def held(count: int = 1, **more: object) -> list[Assignment]:
    more = {"reason": AssignmentReason.REFUSED, **more}
    return [AssignmentFactory(state=AssignmentState.HELD, **more) for _ in range(count)]


def begin(person: User, form: UUID | None = None) -> Retrial:
    rows = Assignment.objects.exclude(state=AssignmentState.ACTIVE)
    return bulk_retry.begin(
        rows, form=form or uuid4(), narrowed="all", by=person, why="Mended."
    )


def outcomes(retrial: Retrial) -> Counter[str]:
    rows = Retried.objects.filter(retrial=retrial)
    return Counter(rows.values_list("left_alone", flat=True))


def test_all_rows_become_pending_and_have_a_result(
    person: User,
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.SETTLED)
    held(3, execution=execution)
    held(2)

    retrial = begin(person)
    bulk_retry.follow()

    retrial.refresh_from_db()
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.OWED
    }
    assert (retrial.state, retrial.total, retrial.done) == (RetrialState.DONE, 5, 5)
    assert outcomes(retrial) == {"": 5}
    row = Assignment.objects.first()
    assert row is not None
    moved = row.transitions.get()
    assert (moved.by, moved.why) == (person, "Mended.")
    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.ACTIVATING


def test_skipped_rows_have_a_reason(
    person: User,
) -> None:
    held(1)
    held(1, doubtful=True)
    held(1, reason=AssignmentReason.REPEATED)
    held(1, execution=ExecutionFactory(stop=ExecutionStop.CANCELLED))
    held(1, meaning="NOTHING", vendor_status="NotEligible")
    AssignmentFactory(state=AssignmentState.OWED)

    retrial = begin(person)
    bulk_retry.follow()

    retrial.refresh_from_db()
    said = outcomes(retrial)
    assert (retrial.done, retrial.left_alone, retrial.total) == (1, 5, 6)
    assert said.pop("") == 1
    assert set(said.values()) == {1}
    assert {why.split(":")[0] for why in said} == {
        "in doubt",
        "held as Duplicate assignment",
        "its execution is cancelled",
        "Optimove lists it as NotEligible",
        "Pending, not held",
    }


def test_invalid_rows_are_evaluated_again(world: World, person: User) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")
    Assignment.objects.update(
        state=AssignmentState.HELD, reason=AssignmentReason.UNREADABLE
    )
    assignment = world.assignment("C1")
    Assignment.objects.update(as_assigned={**assignment.as_assigned, "status": "Odd"})
    world.box.assign("7312", "C2")
    world.collect("7312")
    Assignment.objects.filter(customer="C2").update(
        state=AssignmentState.HELD, reason=AssignmentReason.UNREADABLE
    )

    retrial = begin(person)
    bulk_retry.follow()

    assert world.assignment("C2").state == AssignmentState.OWED
    assert world.assignment("C1").state == AssignmentState.HELD
    assert any("it still cannot be activated" in why for why in outcomes(retrial))


def test_each_retried_reward_is_activated_once(world: World, person: User) -> None:
    for number in range(5):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    Assignment.objects.update(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED
    )

    begin(person)
    world.work()

    assert len(world.box.credits) == 5
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }


def test_a_form_sent_twice_is_one_bulk_retry(person: User) -> None:
    held(2)
    form = uuid4()

    first, second = begin(person, form), begin(person, form)

    assert first == second
    assert [len(part.assignments) for part in RetrialPart.objects.all()] == [2]


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_twice_at_once_is_one_bulk_retry() -> None:
    held(2)
    person, form = UserFactory(), uuid4()
    with elsewhere() as one, elsewhere() as other:
        one.begin()
        first = one.do(lambda: begin(person, form))
        second = other.start(lambda: begin(person, form))
        assert waits(second)
        one.commit()

        assert patiently(second) == first

    assert [len(part.assignments) for part in RetrialPart.objects.all()] == [2]


def test_rows_that_match_later_are_not_retried(person: User) -> None:
    held(1)
    begin(person)
    (late,) = held(1)

    bulk_retry.follow()

    late.refresh_from_db()
    assert late.state == AssignmentState.HELD


def test_a_paused_bulk_retry_continues_when_resumed(person: User) -> None:
    held(2)
    retrial = begin(person)
    bulk_retry.pause(retrial, by=person, why="Wait.")

    bulk_retry.follow()
    assert not Assignment.objects.filter(state=AssignmentState.OWED).exists()
    bulk_retry.resume(retrial, by=person, why="Go on.")
    bulk_retry.follow()

    assert Assignment.objects.filter(state=AssignmentState.OWED).count() == 2
    with pytest.raises(IllegalMove):
        bulk_retry.pause(Retrial.objects.get(), by=person, why="Too late.")


def test_a_cancelled_bulk_retry_changes_no_more_rows(person: User) -> None:
    held(2)
    retrial = begin(person)

    bulk_retry.cancel(retrial, by=person, why="Not those.")
    bulk_retry.follow()

    assert not Assignment.objects.filter(state=AssignmentState.OWED).exists()
    assert not bulk_retry.is_due()


def test_a_row_changed_in_the_meantime_is_skipped(person: User) -> None:
    first, second = held(2)
    retrial = begin(person)
    decisions.write_off(Assignment.objects.filter(pk=first.pk), by=person, why="No.")

    bulk_retry.follow()

    retrial.refresh_from_db()
    assert (retrial.total, retrial.done, retrial.left_alone) == (2, 1, 1)
    assert outcomes(retrial) == {"": 1, "No reward, not held": 1}
    second.refresh_from_db()
    assert second.state == AssignmentState.OWED


@pytest.mark.parametrize("stop", [ExecutionStop.PAUSED, ExecutionStop.HELD])
def test_rows_of_a_stopped_execution_wait_until_it_is_resumed(
    world: World, person: User, stop: ExecutionStop
) -> None:
    world.box.assign("7311", "C1")
    execution = world.collect("7311")
    Assignment.objects.update(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED
    )
    begin(person)
    Execution.objects.update(stop=stop)

    world.work()

    assert world.assignment("C1").state == AssignmentState.OWED
    assert not world.box.credits
    lifecycle.resume(Execution.objects.get(pk=execution.pk), by=person, why="Go on.")
    world.work()
    assert len(world.box.credits) == 1


def test_a_bulk_retry_cancelled_midway_keeps_correct_counts(
    person: User,
) -> None:
    held(1)
    multiply(
        Assignment.objects.get(),
        2 * bulk_retry.PART,
        reference="'R' || n",
        customer="'X' || n",
        key="gen_random_uuid()",
    )
    retrial = begin(person)
    assert bulk_retry._process_part()
    bulk_retry.pause(Retrial.objects.get(), by=person, why="Wait.")
    assert not bulk_retry._process_part()
    bulk_retry.resume(Retrial.objects.get(), by=person, why="Go on.")
    assert bulk_retry._process_part()

    bulk_retry.cancel(Retrial.objects.get(), by=person, why="Enough.")
    bulk_retry.follow()

    retrial.refresh_from_db()
    assert (retrial.total, retrial.done) == (
        2 * bulk_retry.PART + 1,
        2 * bulk_retry.PART,
    )
    assert outcomes(retrial) == {"": 2 * bulk_retry.PART}
    assert (
        Assignment.objects.filter(state=AssignmentState.OWED).count()
        == 2 * bulk_retry.PART
    )


def test_a_bulk_retry_is_processed_in_parts(person: User) -> None:
    execution = ExecutionFactory()
    held(bulk_retry.PART + 1, execution=execution)
    retrial = begin(person)

    assert bulk_retry._process_part()
    retrial.refresh_from_db()
    assert (retrial.state, retrial.done) == (RetrialState.RUNNING, bulk_retry.PART)
    assert bulk_retry._process_part()

    retrial.refresh_from_db()
    assert (retrial.state, retrial.done) == (RetrialState.DONE, bulk_retry.PART + 1)
    assert not bulk_retry._process_part()


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_process_the_same_part() -> None:
    held(3)
    begin(UserFactory())
    with elsewhere() as other:
        other.begin()
        assert other.do(bulk_retry._process_part)
        assert not bulk_retry._process_part()
        other.commit()

    assert Retrial.objects.get().done == 3


@pytest.mark.django_db(transaction=True)
def test_a_worker_without_a_free_part_starts_no_job() -> None:
    """Otherwise its job would start the next one again and again."""
    held(1)
    begin(UserFactory())
    OrmQ.objects.all().delete()
    with elsewhere() as other:
        other.begin()
        assert other.do(bulk_retry._process_part)

        bulk_retry.follow()

        assert not OrmQ.objects.exists()


def test_a_crash_during_a_part_rolls_it_back(
    person: User,
) -> None:
    held(3)
    begin(person)
    with pytest.raises(RuntimeError, match="killed"), transaction.atomic():
        assert bulk_retry._process_part()
        raise RuntimeError("killed")
    # Uncommitted changes are rolled back.
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.HELD
    }

    bulk_retry.follow()

    retrial = Retrial.objects.get()
    assert (retrial.done, retrial.state) == (3, RetrialState.DONE)
    assert outcomes(retrial) == {"": 3}
    assert Execution.objects.exclude(state=ExecutionProgress.SETTLED).exists()
