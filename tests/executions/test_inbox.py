"""Deliveries are processed, even if the worker that processes them crashes."""

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
from rewards.models import Assignment, Collection
from tests.promoportal.db.second_connection import elsewhere
from tests.world import World


def read(world: World) -> None:
    world.run_only("read_deliveries")


def current(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


# --- The effect of a notification ---------------------------------------------------


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


def test_notifications_during_a_fetch_request_one_more_run(
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


def test_a_cancellation_before_the_announcement_stays_in_effect(
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
    assert "cancelled" in current(late).transitions.get().why


def test_a_notification_after_the_cancellation_does_not_reopen_the_execution(
    world: World,
) -> None:
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


def list_calls(world: World) -> list[object]:
    return [call for call in world.box.calls if "ssignments" in call.path]


def test_a_customer_of_a_cancelled_execution_is_not_looked_up(world: World) -> None:
    """Nothing of a cancelled execution is given, so a call would be useless."""
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.wait()
    world.box.assign("7311", "C1")

    late = world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.wait()

    execution, late = Execution.objects.get(), current(late)
    assert (late.state, late.execution) == (DeliveryState.READ, execution)
    assert "cancelled" in late.transitions.get().why
    assert execution.state == ExecutionProgress.SETTLED
    assert not Trigger.objects.exists()
    assert not list_calls(world)


def test_a_customer_announced_again_after_the_cancellation_is_not_looked_up(
    world: World,
) -> None:
    world.box.assign("7311", "C1")
    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.work()
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.wait()
    before = list_calls(world)

    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.wait()

    assert Trigger.objects.get().state == TriggerState.DONE
    assert Execution.objects.get().state == ExecutionProgress.SETTLED
    assert list_calls(world) == before


def test_a_customer_in_one_batch_with_the_cancellation_is_not_looked_up(
    world: World,
) -> None:
    world.notify(EventType.CANCELLED, CampaignID=7311)
    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.box.assign("7311", "C1")

    world.wait()

    assert not list_calls(world)
    assert Execution.objects.get().state == ExecutionProgress.SETTLED


def test_a_second_cancellation_has_no_effect(world: World) -> None:
    for _ in range(2):
        world.notify(EventType.CANCELLED, CampaignID=7311)
        read(world)

    execution = Execution.objects.get()
    assert execution.transitions.filter(after=ExecutionStop.CANCELLED).count() == 1
    assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.READ}


def test_a_customer_who_triggers_again_is_requested_again(world: World) -> None:
    world.box.assign("7311", "C1")
    first = world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.work()

    second = world.notify(EventType.TRIGGERED, CampaignID="7311", CustomerID="C1")
    read(world)

    trigger = Trigger.objects.get()
    assert (trigger.state, trigger.announced) == (TriggerState.WAITING, 2)
    assert trigger.delivery == second
    assert current(first).execution == current(second).execution == trigger.execution


def test_an_execution_announced_by_both_events_is_one_execution(world: World) -> None:
    world.notify(EventType.SCHEDULED, CampaignID=7311)
    world.notify(EventType.TRIGGERED, campaignID="7311", customerID="C1")

    read(world)

    assert Execution.objects.count() == 1
    assert Trigger.objects.count() == 1


@pytest.mark.parametrize("event_type", [1, 2, 3, 5, 14])
def test_an_event_without_a_handler_is_ignored_with_its_name(
    world: World, event_type: int
) -> None:
    delivery = world.notify(event_type, EventTypeID=event_type, CampaignID=7311)

    read(world)

    ignored = current(delivery)
    assert ignored.state == DeliveryState.IGNORED
    assert EventType(event_type).label in ignored.problem
    assert not Execution.objects.exists()


# --- Repeated processing and crashes ------------------------------------------------


def test_a_delivery_is_processed_only_once(world: World) -> None:
    delivery = world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")

    inbox.read([delivery.pk])
    inbox.read([delivery.pk])
    inbox.process_due()

    assert Trigger.objects.get().announced == 1
    assert current(delivery).transitions.count() == 1


def test_a_deleted_delivery_does_not_stop_the_job(world: World) -> None:
    delivery = world.notify(CampaignID=7311)
    delivery.delete()

    world.work()

    assert not Execution.objects.exists()


def test_the_scheduler_replaces_a_lost_job(world: World) -> None:
    delivery = world.notify(CampaignID=7311)
    OrmQ.objects.all().delete()

    pipeline.tick()
    read(world)

    assert current(delivery).state == DeliveryState.READ


def test_a_body_that_crashes_its_worker_three_times_needs_review(
    world: World,
) -> None:
    fatal = world.notify(CampaignID=666)

    with killed_by("666"):
        crashes = [worker_crashes(world) for _ in range(6)]

    delivery = current(fatal)
    assert crashes == [True, True, True, False, False, False]
    assert (delivery.state, delivery.reason) == (
        DeliveryState.HELD,
        ExecutionReason.POISON,
    )
    assert delivery.problem.endswith(".")


def test_a_delivery_with_an_earlier_attempt_is_claimed_alone(world: World) -> None:
    before, again, behind = (world.notify(CampaignID=number) for number in range(1, 4))
    Delivery.objects.filter(pk=again.pk).update(attempts=1)

    assert inbox._take() == [before.pk]
    assert inbox._take() == [again.pk]
    assert inbox._take() == [behind.pk]


def test_deliveries_beside_one_that_crashes_are_processed(world: World) -> None:
    before = world.notify(CampaignID=1)
    fatal = world.notify(CampaignID=666)
    behind = world.notify(CampaignID=2)

    with killed_by("666"):
        for _ in range(6):
            worker_crashes(world)

    assert current(before).state == current(behind).state == DeliveryState.READ
    assert current(fatal).state == DeliveryState.HELD


def test_a_delivery_that_fails_does_not_stop_the_others(world: World) -> None:
    bad = world.notify(CampaignID=666)
    good = [world.notify(CampaignID=number) for number in range(3)]

    with killed_by("666", DataError("No row can hold it.")):
        # Nor do the others wait for a lease to end.
        assert worker_crashes(world)
        assert {current(delivery).state for delivery in good} == {DeliveryState.READ}
        for _ in range(8):
            worker_crashes(world)

    assert current(bad).state == DeliveryState.HELD


def test_the_scheduler_queues_no_job_for_claimed_deliveries(world: World) -> None:
    world.notify(CampaignID=7311)
    inbox._take()
    OrmQ.objects.all().delete()

    pipeline.tick()

    assert not OrmQ.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_delivery(box: Any) -> None:
    world = World(box)
    for number in range(3):
        world.notify(CampaignID=number)

    with elsewhere() as other:
        other.begin()
        first = other.do(inbox._take)
        second = inbox._take()

    assert len(first) == 3
    assert not second


def test_many_deliveries_are_processed_in_one_transaction(
    world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        world.notify(EventType.TRIGGERED, campaignID=7311, customerID=f"C{number}")

    with django_assert_max_num_queries(80):
        inbox.process_due()

    assert Trigger.objects.count() == 100


# --- Processing again -----------------------------------------------------------------


def test_processing_again_records_the_user_and_the_reason(world: World) -> None:
    user = User.objects.create_user("clerk")
    delivery = world.post(b"nonsense")
    read(world)
    delivery.refresh_from_db()

    inbox.read_again(delivery, by=user, why="Optimove says it is right.")
    read(world)

    traces = delivery.transitions.order_by("pk")
    asked = traces.get(after=DeliveryState.UNREAD)
    assert (asked.by, asked.why) == (user, "Optimove says it is right.")
    assert [trace.after for trace in traces] == ["HELD", "UNREAD", "HELD"]


def test_processing_again_joins_the_same_execution(world: World) -> None:
    world.box.assign("7311", "C1")
    delivery = world.notify(CampaignID=7311)
    world.work()
    delivery.refresh_from_db()

    inbox.read_again(delivery, by=None, why="To be sure.")
    world.work()

    assert current(delivery).state == DeliveryState.READ
    assert Execution.objects.count() == 1
    assert len(world.box.credits) == 1


def test_a_pending_delivery_cannot_be_processed_again(world: World) -> None:
    delivery = world.notify(CampaignID=7311)

    with pytest.raises(state_machine.IllegalMove):
        inbox.read_again(delivery, by=None, why="Now.")


class Killed(BaseException):
    """The worker is killed, and its transaction with it."""


@contextmanager
def killed_by(occurrence: str, how: BaseException | None = None) -> Iterator[None]:
    """Crash the worker that applies a notification about this execution."""

    def crash(row: Execution, **_: Any) -> None:
        if row.reference == occurrence:
            raise how or Killed

    signals.announced.connect(crash)
    try:
        yield
    finally:
        signals.announced.disconnect(crash)


def worker_crashes(world: World) -> bool:
    """Expire the leases, run scheduler and worker; return whether it crashed."""
    Delivery.objects.exclude(lease_until=None).update(lease_until=seconds_from_now(-1))
    pipeline.tick()
    try:
        read(world)
    except (Killed, ExceptionGroup):
        return True
    return False
