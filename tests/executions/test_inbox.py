"""Deliveries are read, whatever becomes of the worker that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DataError
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from executions import inbox, signals
from executions.models import (
    Delivery,
    DeliveryState,
    EventType,
    Execution,
    ExecutionKind,
    ExecutionProgress,
    ExecutionReason,
    ExecutionStop,
    Trigger,
    TriggerState,
)
from promoportal import pipeline
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from rewards.models import Assignment, AssignmentState, Collection
from tests.promoportal.db.second_connection import elsewhere
from tests.world import World


def read(world: World) -> None:
    world.run_only("read_deliveries")


def the(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


# --- What follows from a notice -----------------------------------------------------


def test_a_campaign_announced_once_per_channel_is_one_execution(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(EventTypeID=13, CampaignID=7311, ChannelID=505)
    world.notify(EventTypeID=13, CampaignID=7311, ChannelID=504)
    world.notify(campaignid="7311", channelid="505")
    world.notify(EventTypeID=13, CampaignID=7311, ChannelID=505)

    world.work()

    execution = Execution.objects.get()
    assert (execution.reference, execution.kind) == ("7311", ExecutionKind.SCHEDULED)
    assert Collection.objects.get().finished <= 2
    assert Delivery.objects.filter(execution=execution).count() == 4
    assert len(world.box.credits) == 1


def test_notices_that_come_while_the_list_is_fetched_ask_for_one_more_pass(
    world: World,
) -> None:
    world.box.assign("7311", "C1")
    world.notify(CampaignID=7311)
    read(world)
    collection = Collection.objects.get()
    collection.move("COLLECTING", why="A pass begins.", number=1)

    for _ in range(5):
        world.notify(CampaignID=7311)
    world.work()

    collection.refresh_from_db()
    assert (collection.number, collection.finished) == (2, 2)


def test_a_cancellation_that_comes_first_holds_when_the_execution_comes(
    world: World,
) -> None:
    world.box.assign("7311", "C1")
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.work()

    late = world.notify(CampaignID=7311)
    world.work()

    execution = Execution.objects.get()
    assert (execution.stop, execution.reason) == (
        ExecutionStop.CANCELLED,
        ExecutionReason.BY_VENDOR,
    )
    assert execution.kind == ExecutionKind.SCHEDULED
    assert not world.box.credits
    assert "cancelled" in the(late).transitions.get().why


def test_a_notice_after_the_cancellation_does_not_reopen(world: World) -> None:
    world.box.assign("7311", "C1")
    world.announce("7311")
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.wait()
    world.box.assign("7311", "C2")

    world.announce("7311")

    execution = Execution.objects.get()
    assert (execution.stop, execution.state) == (
        ExecutionStop.CANCELLED,
        ExecutionProgress.SETTLED,
    )
    assert len(world.box.credits) == 1
    assert Assignment.objects.get().cancelled_too_late


def test_a_customer_of_a_cancelled_execution_is_listed_and_given_nothing(
    world: World,
) -> None:
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.work()
    world.box.assign("7311", "C1")

    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.work()

    assert world.assignment("C1").state == AssignmentState.VOID
    assert not world.box.credits


def test_cancelling_twice_is_cancelling(world: World) -> None:
    for _ in range(2):
        world.notify(EventType.CANCELLED, CampaignID=7311)
        read(world)

    execution = Execution.objects.get()
    assert execution.transitions.filter(after=ExecutionStop.CANCELLED).count() == 1
    assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.READ}


def test_a_customer_who_triggers_again_is_asked_for_anew(world: World) -> None:
    world.box.assign("7311", "C1")
    first = world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.work()

    second = world.notify(EventType.TRIGGERED, CampaignID="7311", CustomerID="C1")
    read(world)

    trigger = Trigger.objects.get()
    assert (trigger.state, trigger.announced) == (TriggerState.WAITING, 2)
    assert trigger.delivery == second
    assert the(first).execution == the(second).execution == trigger.execution


def test_one_execution_announced_both_ways_is_one(world: World) -> None:
    world.notify(EventType.SCHEDULED, CampaignID=7311)
    world.notify(EventType.TRIGGERED, campaignID="7311", customerID="C1")

    read(world)

    assert Execution.objects.count() == 1
    assert Trigger.objects.count() == 1


@pytest.mark.parametrize("event_type", [1, 2, 3, 5, 14])
def test_what_is_not_acted_on_is_ignored_by_name(world: World, event_type: int) -> None:
    delivery = world.notify(event_type, EventTypeID=event_type, CampaignID=7311)

    read(world)

    ignored = the(delivery)
    assert ignored.state == DeliveryState.IGNORED
    assert EventType(event_type).label in ignored.problem
    assert not Execution.objects.exists()


# --- However often, and whoever dies ------------------------------------------------


def test_reading_twice_is_harmless(world: World) -> None:
    delivery = world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")

    inbox.read([delivery.pk])
    inbox.read([delivery.pk])
    inbox.process_due()

    assert Trigger.objects.get().announced == 1
    assert the(delivery).transitions.count() == 1


def test_what_was_deleted_meanwhile_is_not_missed(world: World) -> None:
    delivery = world.notify(CampaignID=7311)
    delivery.delete()

    world.work()

    assert not Execution.objects.exists()


def test_a_lost_job_is_found_by_the_tick(world: World) -> None:
    delivery = world.notify(CampaignID=7311)
    OrmQ.objects.all().delete()

    pipeline.tick()
    read(world)

    assert the(delivery).state == DeliveryState.READ


def test_a_body_that_kills_its_worker_is_held_after_three_deaths(
    world: World,
) -> None:
    deadly = world.notify(CampaignID=666)

    with killed_by("666"):
        deaths = [died(world) for _ in range(6)]

    held = the(deadly)
    assert deaths == [True, True, True, False, False, False]
    assert (held.state, held.reason) == (DeliveryState.HELD, ExecutionReason.POISON)
    assert held.problem.endswith(".")


def test_its_neighbours_are_read_all_the_same(world: World) -> None:
    before = world.notify(CampaignID=1)
    deadly = world.notify(CampaignID=666)
    behind = world.notify(CampaignID=2)

    with killed_by("666"):
        for _ in range(6):
            died(world)

    assert the(before).state == the(behind).state == DeliveryState.READ
    assert the(deadly).state == DeliveryState.HELD


def test_one_that_cannot_be_followed_stops_no_other(world: World) -> None:
    bad = world.notify(CampaignID=666)
    good = [world.notify(CampaignID=number) for number in range(3)]

    with killed_by("666", DataError("No row can hold it.")):
        # The others do not wait for a lease to end either.
        assert died(world)
        assert {the(each).state for each in good} == {DeliveryState.READ}
        for _ in range(8):
            died(world)

    assert the(bad).state == DeliveryState.HELD


def test_a_worker_that_reads_is_not_disturbed_by_the_tick(world: World) -> None:
    world.notify(CampaignID=7311)
    inbox._take()
    OrmQ.objects.all().delete()

    pipeline.tick()

    assert not OrmQ.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_take_the_same(box: Any) -> None:
    world = World(box)
    for number in range(3):
        world.notify(CampaignID=number)

    with elsewhere() as other:
        other.begin()
        theirs = other.do(inbox._take)
        ours = inbox._take()

    assert len(theirs) == 3
    assert not ours


def test_many_are_read_together(
    world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        world.notify(EventType.TRIGGERED, campaignID=7311, customerID=f"C{number}")

    with django_assert_max_num_queries(80):
        inbox.process_due()

    assert Trigger.objects.count() == 100


# --- Read again -----------------------------------------------------------------------


def test_a_held_delivery_is_read_again_by_someone_with_a_reason(world: World) -> None:
    clerk = User.objects.create_user("clerk")
    delivery = world.post(b"nonsense")
    read(world)
    delivery.refresh_from_db()

    inbox.read_again(delivery, by=clerk, why="Optimove says it is right.")
    read(world)

    traces = delivery.transitions.order_by("pk")
    asked = traces.get(after=DeliveryState.UNREAD)
    assert (asked.by, asked.why) == (clerk, "Optimove says it is right.")
    assert [trace.after for trace in traces] == ["HELD", "UNREAD", "HELD"]


def test_what_was_read_before_is_only_joined_again(world: World) -> None:
    world.box.assign("7311", "C1")
    delivery = world.notify(CampaignID=7311)
    world.work()
    delivery.refresh_from_db()

    inbox.read_again(delivery, by=None, why="To be sure.")
    world.work()

    assert the(delivery).state == DeliveryState.READ
    assert Execution.objects.count() == 1
    assert len(world.box.credits) == 1


def test_what_is_still_to_be_read_is_not_read_again(world: World) -> None:
    delivery = world.notify(CampaignID=7311)

    with pytest.raises(state_machine.IllegalMove):
        inbox.read_again(delivery, by=None, why="Now.")


class Killed(BaseException):
    """The worker is gone, and its transaction with it."""


@contextmanager
def killed_by(occurrence: str, how: BaseException | None = None) -> Iterator[None]:
    """Whoever follows a notice of this execution dies of it."""

    def die(row: Execution, **_: Any) -> None:
        if row.reference == occurrence:
            raise how or Killed

    signals.announced.connect(die)
    try:
        yield
    finally:
        signals.announced.disconnect(die)


def died(world: World) -> bool:
    """Let the time come, tick, and let a worker read until it has read all, or dies."""
    Delivery.objects.exclude(lease_until=None).update(lease_until=seconds_from_now(-1))
    pipeline.tick()
    try:
        read(world)
    except (Killed, ExceptionGroup):
        return True
    return False
