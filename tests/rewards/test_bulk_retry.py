"""Trying again all that match: chosen once, done in parts, and each row accounted for."""

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


def test_all_that_were_held_are_owed_again_and_each_is_accounted_for(
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


def test_what_may_not_be_tried_again_is_left_and_it_is_said_of_each_why(
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


def test_what_could_not_be_read_is_read_anew(world: World, person: User) -> None:
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


def test_whatever_is_owed_so_is_given_once(world: World, person: User) -> None:
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


def test_pressed_twice_it_is_one_word(person: User) -> None:
    held(2)
    form = uuid4()

    first, second = begin(person, form), begin(person, form)

    assert first == second
    assert [len(part.assignments) for part in RetrialPart.objects.all()] == [2]


@pytest.mark.django_db(transaction=True)
def test_pressed_twice_at_once_it_is_one_word() -> None:
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


def test_what_comes_later_is_not_in_it(person: User) -> None:
    held(1)
    begin(person)
    (late,) = held(1)

    bulk_retry.follow()

    late.refresh_from_db()
    assert late.state == AssignmentState.HELD


def test_paused_it_rests_and_resumed_it_goes_on(person: User) -> None:
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


def test_cancelled_the_rest_stays_as_it_is(person: User) -> None:
    held(2)
    retrial = begin(person)

    bulk_retry.cancel(retrial, by=person, why="Not those.")
    bulk_retry.follow()

    assert not Assignment.objects.filter(state=AssignmentState.OWED).exists()
    assert not bulk_retry.is_due()


def test_what_moved_on_meanwhile_is_left_and_accounted_for(person: User) -> None:
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
def test_what_stopped_meanwhile_is_owed_again_and_given_only_once_it_goes_on(
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


def test_paused_and_cancelled_in_the_middle_its_figures_say_how_far_it_came(
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
    assert bulk_retry._some()
    bulk_retry.pause(Retrial.objects.get(), by=person, why="Wait.")
    assert not bulk_retry._some()
    bulk_retry.resume(Retrial.objects.get(), by=person, why="Go on.")
    assert bulk_retry._some()

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


def test_it_goes_on_part_by_part(person: User) -> None:
    execution = ExecutionFactory()
    held(bulk_retry.PART + 1, execution=execution)
    retrial = begin(person)

    assert bulk_retry._some()
    retrial.refresh_from_db()
    assert (retrial.state, retrial.done) == (RetrialState.RUNNING, bulk_retry.PART)
    assert bulk_retry._some()

    retrial.refresh_from_db()
    assert (retrial.state, retrial.done) == (RetrialState.DONE, bulk_retry.PART + 1)
    assert not bulk_retry._some()


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_do_the_same_part() -> None:
    held(3)
    begin(UserFactory())
    with elsewhere() as other:
        other.begin()
        assert other.do(bulk_retry._some)
        assert not bulk_retry._some()
        other.commit()

    assert Retrial.objects.get().done == 3


@pytest.mark.django_db(transaction=True)
def test_who_finds_it_in_other_hands_wakes_nobody() -> None:
    """It would be woken at once by its own job, again and again."""
    held(1)
    begin(UserFactory())
    OrmQ.objects.all().delete()
    with elsewhere() as other:
        other.begin()
        assert other.do(bulk_retry._some)

        bulk_retry.follow()

        assert not OrmQ.objects.exists()


def test_a_worker_that_dies_in_the_middle_of_a_part_leaves_it_whole(
    person: User,
) -> None:
    held(3)
    begin(person)
    with pytest.raises(RuntimeError, match="killed"), transaction.atomic():
        assert bulk_retry._some()
        raise RuntimeError("killed")
    # What it had not committed is as if it had never been.
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.HELD
    }

    bulk_retry.follow()

    retrial = Retrial.objects.get()
    assert (retrial.done, retrial.state) == (3, RetrialState.DONE)
    assert outcomes(retrial) == {"": 3}
    assert Execution.objects.exclude(state=ExecutionProgress.SETTLED).exists()
