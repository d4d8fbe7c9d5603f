"""The preview of processing deliveries again, compared with what then happens."""

from __future__ import annotations

import html
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions import lifecycle
from executions.admin.replay_preview import MAX_DELIVERIES
from executions.models import (
    Delivery,
    DeliveryState,
    EventType,
    Execution,
    ExecutionReason,
    ExecutionStop,
    Trigger,
    TriggerState,
)
from promoportal.dashboard.replay_impact import Rewards
from rewards.models import Assignment, AssignmentState, Collection, CollectionState
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    ListenerFactory,
    TriggerFactory,
)
from tests.staff_client import StaffClient
from tests.world import World


def plan(staff: StaffClient, *deliveries: Delivery) -> list[Any]:
    """Return the preview of processing deliveries again, which changes nothing."""
    before = all_rows()
    answer = staff.post("read_again", *deliveries)
    assert answer.status_code == 200, answer
    assert all_rows() == before
    assert "nothing was done yet" in html.unescape(answer.content.decode())
    return list(answer.context["plan"])


def all_rows() -> list[Any]:
    models = (Delivery, Execution, Trigger, Assignment, Collection)
    return [list(model._base_manager.order_by("pk").values()) for model in models]


def text(panel: Any) -> str:
    return " ".join(panel.sentences)


def figures(panel: Any) -> dict[str, str]:
    return {fact.name: fact.value for fact in panel.facts}


def process_again(staff: StaffClient, *deliveries: Delivery) -> None:
    assert "will be read again" in staff.do("read_again", *deliveries)


def held(body: bytes, event_type: int = EventType.SCHEDULED, **more: Any) -> Delivery:
    """Create a delivery that could not be processed."""
    more = {"state": DeliveryState.HELD, "reason": ExecutionReason.UNREADABLE, **more}
    listener = ListenerFactory(event_type=event_type)
    return DeliveryFactory(listener=listener, body=body, **more)


def of(execution: Execution, *states: str, **more: Any) -> list[Assignment]:
    return [AssignmentFactory(execution=execution, state=s, **more) for s in states]


SCHEDULED = b'{"CampaignID": 7311, "ChannelID": 505}'
TRIGGERED = b'{"CampaignID": 7311, "CustomerID": "C1"}'
CANCELLED = b'{"CampaignID": 7311}'


# --- A scheduled execution ------------------------------------------------------------


def test_an_unknown_execution_is_opened_and_fetched(
    world: World, operations: StaffClient
) -> None:
    world.box.assign("7311", "C1")
    delivery = held(SCHEDULED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.work()

    assert panel.title == "Execution 7311"
    assert text(panel) == (
        "It is not known here, and would be opened. "
        "Optimove would be asked for its whole list. No reward of it is here yet."
    )
    assert Execution.objects.get().reference == "7311"
    assert Collection.objects.get().finished == 1
    assert len(world.box.credits) == 1


def test_a_known_execution_is_joined_and_no_reward_is_activated_twice(
    world: World, operations: StaffClient
) -> None:
    world.box.assign("7311", "C1")
    world.announce("7311")
    delivery = Delivery.objects.get()

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.work()

    assert "It is here already, and would be joined." in text(panel)
    assert "is not given again" in text(panel)
    assert figures(panel)["active already"] == "1"
    assert Collection.objects.get().finished == 2
    assert len(world.box.credits) == 1


def test_the_preview_counts_rewards_by_state(operations: StaffClient) -> None:
    execution = ExecutionFactory(reference="7311")
    of(
        execution,
        AssignmentState.ACTIVE,
        AssignmentState.ACTIVE,
        AssignmentState.OWED,
        AssignmentState.ACTIVATING,
    )
    of(execution, AssignmentState.HELD, AssignmentState.VOID)
    of(
        execution,
        AssignmentState.UNCERTAIN,
        AssignmentState.HELD,
        AssignmentState.OWED,
        doubtful=True,
    )
    of(ExecutionFactory(), AssignmentState.ACTIVE, AssignmentState.HELD)

    [panel] = plan(operations, held(SCHEDULED))

    assert figures(panel) == {
        "active already": "2",
        "to be activated": "2",
        "in doubt": "3",
        "held": "1",
        "void": "1",
    }


@pytest.mark.django_db
@pytest.mark.parametrize("doubtful", [True, False])
@pytest.mark.parametrize("state", AssignmentState)
def test_every_reward_is_in_one_figure(state: AssignmentState, doubtful: bool) -> None:
    row = AssignmentFactory(state=state, doubtful=doubtful)

    figures = [fact.value for fact in Rewards.of(row.execution).facts("")]

    assert sorted(figures) == ["0", "0", "0", "0", "1"]


@pytest.mark.parametrize(
    ("state", "says", "then"),
    [
        (
            CollectionState.COLLECTING,
            "one more would follow it",
            CollectionState.COLLECTING,
        ),
        (CollectionState.WAITING, "would be at once", CollectionState.WAITING),
        (CollectionState.HELD, "a pass from the start", CollectionState.WAITING),
        (CollectionState.DONE, "asked for its whole list", CollectionState.WAITING),
    ],
)
def test_the_state_of_the_fetch_decides_the_next_run(
    world: World,
    operations: StaffClient,
    state: CollectionState,
    says: str,
    then: CollectionState,
) -> None:
    collection = CollectionFactory(
        execution=ExecutionFactory(reference="7311"), state=state
    )
    delivery = held(SCHEDULED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert says in text(panel)
    collection.refresh_from_db()
    assert collection.state == then
    assert collection.again == (state == CollectionState.COLLECTING)


@pytest.mark.parametrize("stop", [ExecutionStop.PAUSED, ExecutionStop.HELD])
def test_a_stopped_execution_is_named_as_stopped(
    operations: StaffClient, stop: ExecutionStop
) -> None:
    ExecutionFactory(reference="7311", stop=stop)

    [panel] = plan(operations, held(SCHEDULED))

    assert f"It is {stop.label.lower()}: nothing of it is given" in text(panel)


def test_a_cancelled_execution_is_not_reopened(
    world: World, operations: StaffClient
) -> None:
    execution = ExecutionFactory(reference="7311", state="SETTLED")
    lifecycle.cancel(execution, by=None, why="Optimove cancelled it.")
    delivery = held(SCHEDULED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert text(panel) == (
        "It is cancelled and stays so: nothing more of it would be given."
    )
    execution.refresh_from_db()
    assert (execution.stop, execution.state) == (ExecutionStop.CANCELLED, "SETTLED")
    assert not Collection.objects.exists()


# --- A customer of a triggered execution ----------------------------------------------


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (None, "customer C1, for the first time."),
        (TriggerState.DONE, "customer C1 anew."),
        (TriggerState.HELD, "customer C1 anew."),
        (TriggerState.WAITING, "customer C1, who waits for it already, at once."),
    ],
)
def test_a_triggered_customer_is_fetched(
    world: World, operations: StaffClient, before: TriggerState | None, says: str
) -> None:
    execution = ExecutionFactory(reference="7311", kind="TRIGGERED")
    if before:
        TriggerFactory(execution=execution, customer="C1", state=before)
    of(execution, AssignmentState.ACTIVE, customer="C1")
    of(execution, AssignmentState.HELD, customer="C2")
    delivery = held(TRIGGERED, EventType.TRIGGERED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert f"Optimove would be asked for {says}" in text(panel)
    assert "whole list" not in text(panel)
    assert figures(panel)["active already"] == "1"
    assert figures(panel)["held"] == "0"
    trigger = Trigger.objects.get()
    assert (trigger.customer, trigger.state) == ("C1", TriggerState.WAITING)


# --- A cancellation -------------------------------------------------------------------


def test_a_cancellation_names_the_affected_rewards(
    world: World, operations: StaffClient
) -> None:
    execution = ExecutionFactory(reference="7311")
    of(
        execution,
        *[AssignmentState.ACTIVE] * 4,
        *[AssignmentState.OWED] * 3,
        *[AssignmentState.HELD] * 2,
    )
    of(execution, AssignmentState.ACTIVE, cancelled_too_late=True)
    of(
        execution,
        AssignmentState.OWED,
        AssignmentState.HELD,
        AssignmentState.UNCERTAIN,
        doubtful=True,
    )
    delivery = held(CANCELLED, EventType.CANCELLED)

    [panel] = plan(operations, delivery)
    before = count_states()
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert "It would be cancelled, for good." in text(panel)
    assert "5 that are owed or held would become void." in text(panel)
    assert "1 that are owed and in doubt would be asked about" in text(panel)
    assert "4 that are active would be marked as cancelled too late" in text(panel)
    after = count_states()
    assert after[AssignmentState.VOID] - before[AssignmentState.VOID] == 5
    assert after[AssignmentState.UNCERTAIN] - before[AssignmentState.UNCERTAIN] == 1
    assert Assignment.objects.filter(cancelled_too_late=True).count() == 1 + 4
    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.CANCELLED


def test_a_cancellation_of_an_unknown_execution_opens_it_as_cancelled(
    world: World, operations: StaffClient
) -> None:
    delivery = held(CANCELLED, EventType.CANCELLED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert text(panel).startswith(
        "It is not known here, and would be opened. It would be cancelled, for good."
    )
    assert Execution.objects.get().stop == ExecutionStop.CANCELLED


def test_a_second_cancellation_changes_nothing(
    world: World, operations: StaffClient
) -> None:
    execution = lifecycle.open_execution("7311")
    lifecycle.cancel_by_vendor("7311")
    delivery = held(CANCELLED, EventType.CANCELLED)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    assert "stays so" in text(panel)
    assert "would be cancelled" not in text(panel)
    assert execution.transitions.filter(after=ExecutionStop.CANCELLED).count() == 1


# --- Deliveries without effect --------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "event_type", "says", "after"),
    [
        (b"nonsense", 13, "It would be held again: The body is not JSON", "HELD"),
        (b"{}", 13, "It would be held again: The body has no campaignID.", "HELD"),
        (b"[" * 100_000, 13, "nested too deeply", "HELD"),
        (
            b'{"CampaignID": 7311, "EventTypeID": 11}',
            13,
            "It would be held again: This listener is for event 13",
            "HELD",
        ),
        (CANCELLED, 2, "It would be ignored: the portal does nothing", "IGNORED"),
    ],
)
def test_a_delivery_without_effect_has_a_reason(
    world: World,
    operations: StaffClient,
    body: bytes,
    event_type: int,
    says: str,
    after: str,
) -> None:
    delivery = held(body, event_type)

    [panel] = plan(operations, delivery)
    process_again(operations, delivery)
    world.run_only("read_deliveries")

    [(_, why)] = panel.rows
    assert says in why
    delivery.refresh_from_db()
    assert delivery.state == after
    if after == DeliveryState.HELD:
        assert why.endswith(delivery.problem)


def test_a_delivery_that_killed_its_worker_is_not_read_for_the_preview(
    operations: StaffClient,
) -> None:
    [panel] = plan(operations, held(SCHEDULED, reason=ExecutionReason.POISON))

    [(_, why)] = panel.rows
    assert "is not read for this page" in why


def test_an_unread_delivery_is_skipped(operations: StaffClient) -> None:
    [panel] = plan(operations, held(SCHEDULED, state=DeliveryState.UNREAD, reason=""))

    [(_, why)] = panel.rows
    assert "would be left alone" in why


# --- Many -----------------------------------------------------------------------------


def test_deliveries_of_one_execution_share_a_panel(
    world: World, operations: StaffClient
) -> None:
    both = [held(SCHEDULED), held(CANCELLED, EventType.CANCELLED)]

    [panel] = plan(operations, *both)
    process_again(operations, *both)
    world.work()

    assert "2 deliveries name it." in text(panel)
    assert "asked for its whole list. It would be cancelled" in text(panel)
    assert Execution.objects.get().stop == ExecutionStop.CANCELLED


def test_the_preview_reads_a_limited_number_of_deliveries_and_says_so(
    operations: StaffClient,
) -> None:
    many = [
        held(b'{"CampaignID": %d}' % number) for number in range(MAX_DELIVERIES + 3)
    ]

    *about, rest = plan(operations, *many)

    assert len(about) == MAX_DELIVERIES
    assert text(rest) == "Only the first 20 are looked at here, and 3 are not."


def test_the_number_of_queries_does_not_depend_on_rewards(
    operations: StaffClient,
) -> None:
    execution = ExecutionFactory(reference="7311")
    delivery = held(CANCELLED, EventType.CANCELLED)
    few = queries(operations, delivery)
    of(
        execution,
        *[AssignmentState.ACTIVE, AssignmentState.OWED, AssignmentState.HELD] * 5,
    )

    assert queries(operations, delivery) == few


def test_a_user_without_permission_gets_no_preview(support: StaffClient) -> None:
    delivery = held(SCHEDULED)

    assert support.post("read_again", delivery).status_code == 403


def queries(staff: StaffClient, delivery: Delivery) -> int:
    with CaptureQueriesContext(connection) as captured:
        plan_page = staff.post("read_again", delivery)
    assert plan_page.status_code == 200
    return len(captured)


def count_states() -> Counter[str]:
    return Counter(Assignment.objects.values_list("state", flat=True))
