"""The overview: numbers of rows that need review, with links to their lists."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from executions.models import (
    Delivery,
    DeliveryState,
    ExecutionReason,
    ExecutionStop,
    Listener,
    TriggerState,
)
from promoportal.admin.keyset_pagination import MAX_ROWS_COUNTED
from promoportal.resilience.circuit_breaker import Breaker, Side
from redemptions.models import RedemptionState
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    CollectionState,
    Proposal,
    RetrialState,
)
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    ListenerFactory,
    RedemptionFactory,
    RetrialFactory,
    TriggerFactory,
    UserFactory,
)
from tests.many import multiply
from tests.staff_client import WHY, StaffClient


def propose_first() -> None:
    """Store the first of two decisions about a possibly activated reward."""
    row = AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)
    Proposal.objects.create(assignment=row, says="GIVEN", by=UserFactory(), why="Yes.")


def create_rows_for_review() -> None:
    """Create two rows per alert, and rows that need no review."""
    long_ago = timezone.now() - timedelta(hours=1)
    for _ in range(2):
        ExecutionFactory(stop=ExecutionStop.HELD, reason=ExecutionReason.OVER_LIMIT)
        DeliveryFactory(state=DeliveryState.HELD, reason=ExecutionReason.UNREADABLE)
        DeliveryFactory(state=DeliveryState.UNREAD, received_at=long_ago)
        TriggerFactory(state=TriggerState.HELD, reason=ExecutionReason.NOT_LISTED)
        AssignmentFactory(state=AssignmentState.HELD, reason=AssignmentReason.REFUSED)
        AssignmentFactory(
            state=AssignmentState.HELD,
            reason=AssignmentReason.UNANSWERED,
            doubtful=True,
        )
        AssignmentFactory(
            state=AssignmentState.UNCERTAIN, doubtful=True, state_since=long_ago
        )
        CollectionFactory(
            state=CollectionState.HELD, reason=AssignmentReason.INCOMPLETE
        )
        RedemptionFactory(state=RedemptionState.HELD, reason="REFUSED")
        RedemptionFactory(state=RedemptionState.UNCERTAIN, state_since=long_ago)
        ExecutionFactory(stop=ExecutionStop.PAUSED)
        RetrialFactory(state=RetrialState.PAUSED)
        AssignmentFactory(state=AssignmentState.ACTIVE, reason=AssignmentReason.DIFFERS)
        AssignmentFactory(state=AssignmentState.ACTIVE, cancelled_too_late=True)
        AssignmentFactory(state=AssignmentState.VOID, doubtful=True)
        propose_first()
    for side in Side:
        Breaker.objects.create(side=side, opened_at=long_ago, open_until=long_ago)
        ListenerFactory(opened_at=timezone.now() - timedelta(hours=37))
    ExecutionFactory(stop=ExecutionStop.CANCELLED)
    RetrialFactory(state=RetrialState.RUNNING)
    AssignmentFactory(state=AssignmentState.ACTIVE)
    AssignmentFactory(state=AssignmentState.VOID, reason=AssignmentReason.DIFFERS)
    AssignmentFactory(state=AssignmentState.ACTIVE, told_at=long_ago, reason="DIFFERS")
    told = {"told_at": long_ago, "cancelled_too_late": True}
    AssignmentFactory(state=AssignmentState.ACTIVE, **told)
    DeliveryFactory(state=DeliveryState.UNREAD)
    AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)
    RedemptionFactory(state=RedemptionState.UNCERTAIN)
    RedemptionFactory(state=RedemptionState.REPORTED)


def figures(staff: StaffClient) -> dict[str, Any]:
    return {one.label: one for one in staff.get("/admin/").context["figures"]}


def test_each_number_equals_the_length_of_the_linked_list(crm: StaffClient) -> None:
    create_rows_for_review()

    found = figures(crm)

    numbers = {label: figure.number for label, figure in found.items()}
    assert numbers == {
        "Executions are held": "2",
        "Executions are paused until staff resume them": "2",
        "Bulk retries are paused until staff resume them": "2",
        "Activated rewards were changed by Optimove: tell CRM": "2",
        "Rewards were cancelled after their activation: tell CRM": "2",
        "Rewards without activation may have been activated after the backup": "2",
        "Doubtful assignments wait for a second person to say the same": "2",
        "Deliveries are held": "2",
        "Deliveries wait for a worker to read them": "2",
        "Triggered customers are held": "2",
        "Assignments are held": "4",
        "Held assignments may have been given: find out, and say so": "2",
        "Assignments were sent, and had no answer for 15 minutes": "2",
        "Collections are held": "2",
        "Listeners have heard nothing for unusually long": "2",
        "Redemptions are held": "2",
        "Redemptions were sent, and had no answer for 15 minutes": "2",
        "Breakers are open: a far side is not called": "2",
    }
    for figure in found.values():
        for one in [figure, *figure.reasons]:
            shown = crm.get(one.href).context["cl"].result_list
            assert str(len(shown)) == one.number


def test_assignments_that_need_review_are_counted_by_reason(crm: StaffClient) -> None:
    create_rows_for_review()

    found = figures(crm)["Assignments are held"].reasons

    assert {one.label: one.number for one in found} == {
        "Request rejected": "2",
        "Outcome unknown": "2",
    }


def test_redemptions_rejected_by_optimove_are_counted(crm: StaffClient) -> None:
    create_rows_for_review()

    [refused] = figures(crm)["Redemptions are held"].reasons

    assert (refused.label, refused.number) == ("Rejected by Optimove", "2")


def silent(staff: StaffClient) -> list[Any]:
    return staff.list(Listener, needs="silent")


def hours_ago(hours: float) -> datetime:
    return timezone.now() - timedelta(hours=hours)


def test_a_listener_without_recent_deliveries_is_silent(
    crm: StaffClient,
) -> None:
    old = ListenerFactory(opened_at=hours_ago(1000))
    DeliveryFactory(listener=old, received_at=hours_ago(900))
    last = DeliveryFactory(listener=old, received_at=hours_ago(35))
    assert silent(crm) == []

    Delivery.objects.filter(pk=last.pk).update(received_at=hours_ago(37))

    assert silent(crm) == [old]
    assert figures(crm)["Listener has heard nothing for unusually long"].number == "1"


@pytest.mark.parametrize(
    ("changes", "is_silent"),
    [
        ({}, True),
        ({"event_type": 11}, True),
        ({"event_type": 4}, False),
        ({"event_type": 2}, False),
        ({"closed_at": timezone.now()}, False),
        ({"opened_at": hours_ago(35)}, False),
    ],
)
def test_only_open_listeners_for_rewards_are_silent(
    crm: StaffClient, changes: dict[str, Any], is_silent: bool
) -> None:
    ListenerFactory(**{"opened_at": hours_ago(37), **changes})

    assert bool(silent(crm)) == is_silent


def test_the_time_until_silent_is_a_setting_and_zero_turns_it_off(
    crm: StaffClient, settings: Settings
) -> None:
    ListenerFactory(opened_at=hours_ago(37))

    for hours, count in ((36, 1), (38, 0), (0, 0)):
        settings.LISTENER_SILENT_AFTER_HOURS = hours
        assert len(silent(crm)) == count


def test_the_overview_says_if_nothing_needs_review(crm: StaffClient) -> None:
    assert "Nothing needs a person." in crm.text("/admin/")


def test_counting_stops_at_a_limit(crm: StaffClient) -> None:
    listener, now = ListenerFactory(), timezone.now()
    held = [
        Delivery(
            listener=listener,
            body=b"",
            verdict={},
            state=DeliveryState.HELD,
            reason=ExecutionReason.UNREADABLE,
            received_at=now,
            state_since=now,
        )
        for _ in range(10_001)
    ]
    Delivery.objects.bulk_create(held)

    assert figures(crm)["Deliveries are held"].number == "over 10,000"


def test_numbers_from_the_state_counts_are_exact(crm: StaffClient) -> None:
    multiply(
        AssignmentFactory(state=AssignmentState.HELD, reason=AssignmentReason.REFUSED),
        MAX_ROWS_COUNTED,
        reference="'R' || n",
        customer="'X' || n",
        key="gen_random_uuid()",
    )

    assert figures(crm)["Assignments are held"].number == "10,001"


def test_only_rows_that_the_user_may_see_are_counted(db: None) -> None:
    create_rows_for_review()
    user = UserFactory(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_redemption"))

    assert figures(StaffClient(user)).keys() == {
        "Redemptions are held",
        "Redemptions were sent, and had no answer for 15 minutes",
    }


def test_lists_are_in_the_order_of_the_pipeline(operations: StaffClient) -> None:
    apps = operations.get("/admin/").context["app_list"]

    names = [(app["name"], [model["name"] for model in app["models"]]) for app in apps]
    assert names == [
        (
            "Executions",
            ["Executions", "Deliveries", "Triggers", "Campaigns", "Listeners"],
        ),
        (
            "Rewards",
            [
                *("Assignments", "Activations", "Retrials"),
                "Retried assignments",
                *("Collections", "Promotions"),
            ],
        ),
        ("Redemptions", ["Redemptions", "Reports"]),
        ("Far sides", ["Breakers", "Allowances"]),
        ("Queue", ["Failed tasks"]),
        ("Who did what", ["Log entries"]),
    ]


def test_the_overview_queues_no_job(crm: StaffClient) -> None:
    create_rows_for_review()

    crm.get("/admin/")

    assert not OrmQ.objects.exists()


def test_more_begins_with_the_lists_that_are_used_most(
    operations: StaffClient,
) -> None:
    more = [task.label for task in operations.get("/admin/").context["navigation"].more]

    assert more[:4] == ["Activations", "Campaigns", "Promotions", "Retrials"]
    assert "Breakers" in more
    assert len(more) == len({*more})


CRM_MUST_KNOW: list[dict[str, Any]] = [
    {"reason": AssignmentReason.DIFFERS, "difference": "REWARD"},
    {"cancelled_too_late": True},
]


@pytest.mark.parametrize("what", CRM_MUST_KNOW, ids=lambda what: next(iter(what)))
def test_a_change_after_the_activation_counts_until_crm_knows(
    operations: StaffClient, what: dict[str, Any]
) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE, **what)
    [label] = figures(operations)
    assert label.endswith("tell CRM")

    said = operations.do("tell", row)

    assert said == "1 assignment is marked as known to CRM."
    assert figures(operations) == {}
    assert WHY in operations.text(f"/admin/rewards/assignment/{row.pk}/history/")
    assert "tell" not in operations.offered(row)


@pytest.mark.parametrize("what", CRM_MUST_KNOW, ids=lambda what: next(iter(what)))
def test_a_further_change_after_the_activation_counts_again(
    operations: StaffClient, what: dict[str, Any]
) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE, **what)
    operations.do("tell", row)

    Assignment.objects.update(as_assigned={"customerId": "another"})

    assert len(figures(operations)) == 1
