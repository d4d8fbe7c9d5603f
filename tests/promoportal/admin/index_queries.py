"""
The query that each index is there for.

An index is written whenever its rows are, so one that no query reads is not free. A new
index needs an entry here; `test_plans.py` looks for it in the plan of its query.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from bench import filling
from executions.models import Campaign, Delivery, Execution, Listener, Trigger
from promoportal import pipeline
from promoportal.admin.links import list_of
from redemptions import in_doubt, reporting
from redemptions.models import Redemption, RedemptionState, Report
from rewards import tasks
from rewards.models import (
    Activation,
    Assignment,
    Collection,
    Promotion,
    Retrial,
    Retried,
)
from tests.staff_client import StaffClient, seen_now

LARGEST = filling.LARGEST
# A page that staff ask for, or what the portal does.
Query = str | Callable[[StaffClient], Any]


def run_scheduler(_staff: StaffClient) -> None:
    """Run the scheduler once: it looks for all due work every second."""
    pipeline.tick()


def claim_for_a_report(_staff: StaffClient) -> None:
    """Claim the redemptions of the next report."""
    reporting.claim(batch_limit=100)


def release_cleared(_staff: StaffClient) -> None:
    """Release rows that passed the limits of an execution, in batches of thousands."""
    Assignment.objects.filter(execution=LARGEST, pk__lte=8_000).update(cleared=False)
    Collection.objects.filter(execution=LARGEST).update(cleared_to=8_000)
    tasks.follow_clearances()


def delete_user(_staff: StaffClient) -> None:
    """Delete a user who never changed a row: Django protects all others."""
    User.objects.create_user("gone").delete()


def preview_cancellation(staff: StaffClient, execution: int = 1) -> Any:
    """Request the preview of a replayed cancellation."""
    about = Execution.objects.get(pk=execution).reference
    cancelling = Listener.objects.create(event_type=4, secret_digest="c")
    Delivery.objects.filter(pk=7).update(
        body=f'{{"CampaignID": {about}}}'.encode(), listener=cancelling
    )
    data = {"action": "read_again", "why": "To be sure.", "_selected_action": [7]}
    seen = seen_now(Delivery.objects.get(pk=7))
    return staff.client.post(list_of(Delivery), {**data, "seen": seen})


def preview_bulk_retry(staff: StaffClient) -> Any:
    """Request the preview of a bulk retry of all rows that need review."""
    held = list_of(Assignment, state__exact="HELD")
    return staff.client.post(held, {"retry_all": "ask"})


def expire_reports(_staff: StaffClient) -> None:
    """Close the reports of crashed workers: their redemptions may be reported."""
    token, ago = uuid4(), timezone.now() - timedelta(minutes=1)
    report = Report.objects.create(size=1, is_batch=False, token=token)
    row = Redemption.objects.filter(state=RedemptionState.WAITING).order_by("pk")[:1]
    Redemption.objects.filter(pk__in=[one.pk for one in row]).update(
        state=RedemptionState.REPORTING, lease_until=ago, token=token, report=report
    )
    in_doubt.expire()


def retried(**narrowed: str) -> Query:
    """List rows of one of several bulk retries."""

    def ask(staff: StaffClient) -> None:
        of = Retrial.objects.create(form=uuid4(), by=staff.user, total=2)
        for pk, left_alone in ((1, ""), (2, "it moved on")):
            Retried.objects.create(retrial=of, assignment_id=pk, left_alone=left_alone)
        staff.get(list_of(Retried, retrial=of.pk, **narrowed))

    return ask


OVERVIEW = "/admin/"
SERVES: dict[str, Query] = {
    # executions
    "campaign_by_name": list_of(Campaign, q="spring 2"),
    "delivery_in_state": list_of(Delivery, state__exact="READ"),
    "delivery_of_execution": list_of(Delivery, execution=filling.TRIGGERED),
    "delivery_of_listener": list_of(Delivery, listener=2),
    "delivery_unread": run_scheduler,
    "delivery_why": list_of(Delivery, reason__exact="UNREADABLE"),
    "execution_cancelled": run_scheduler,
    "execution_unsettled": run_scheduler,
    "trigger_by_customer": list_of(Trigger, q="T77"),
    "trigger_in_state": list_of(Trigger, state__exact="DONE"),
    "trigger_of_execution": list_of(Trigger, execution=filling.TRIGGERED),
    "trigger_waiting": run_scheduler,
    "trigger_why": list_of(Trigger, reason__exact="NOT_LISTED"),
    # rewards
    "assignment_activated": list_of(Activation),
    "assignment_by_customer": list_of(Assignment, q="C0000007"),
    "assignment_doubtful": list_of(Assignment, doubtful__exact=1),
    "assignment_due": run_scheduler,
    "assignment_held_in_doubt": OVERVIEW,
    "assignment_held_changed": preview_bulk_retry,
    "assignment_in_doubt": run_scheduler,
    "assignment_in_state": list_of(Assignment, state__exact="ACTIVE"),
    "assignment_in_state_why": list_of(
        Assignment, state__exact="HELD", reason__exact="DIFFERS"
    ),
    "assignment_late_untold": OVERVIEW,
    "assignment_leased": run_scheduler,
    "assignment_of_customer_needing": "/admin/customers/C0000007/",
    "assignment_of_execution": list_of(Assignment, execution=LARGEST),
    "assignment_of_execution_doubt": preview_cancellation,
    "assignment_of_execution_in": list_of(
        Assignment, execution=LARGEST, state__exact="HELD"
    ),
    "assignment_of_execution_late": preview_cancellation,
    "assignment_of_execution_tier": list_of(Assignment, execution=LARGEST, tier="Gold"),
    "assignment_of_execution_why": list_of(
        Assignment, execution=LARGEST, reason__exact="REFUSED"
    ),
    "assignment_of_promotion": list_of(Assignment, promotion=1),
    "assignment_of_promotion_held": list_of(
        Assignment, promotion=1, state__exact="HELD"
    ),
    "assignment_owed_since": run_scheduler,
    "assignment_too_late": list_of(Assignment, cancelled_too_late__exact=1),
    "assignment_unanswered": list_of(Assignment, needs="unanswered"),
    "assignment_uncertain": run_scheduler,
    "assignment_uncleared": release_cleared,
    "assignment_why": list_of(Assignment, reason__exact="DIFFERS"),
    "collection_clearing": run_scheduler,
    "collection_due": run_scheduler,
    "promotion_by_code": list_of(Promotion, q="CODE1"),
    "promotion_by_name": list_of(Promotion, q="gift"),
    "retrial_running": run_scheduler,
    "retried_done": retried(left_alone="no"),
    "retried_left_alone": retried(left_alone="yes"),
    "retried_listed": retried(),
    # redemptions
    "redemption_due": claim_for_a_report,
    "redemption_in_state": list_of(Redemption, state__exact="REPORTED"),
    "redemption_in_state_why": list_of(
        Redemption, state__exact="HELD", reason__exact="REFUSED"
    ),
    "redemption_leased": run_scheduler,
    "redemption_of_execution": list_of(Redemption, execution=LARGEST),
    "redemption_of_execution_in": run_scheduler,
    "redemption_of_report": list_of(Redemption, report=7),
    "redemption_unanswered": OVERVIEW,
    "redemption_uncertain": run_scheduler,
    "redemption_unreported": list_of(Redemption, reported="no"),
    "redemption_unreported_of": list_of(Redemption, execution=1, reported="no"),
    "redemption_why": list_of(Redemption, reason__exact="REFUSED"),
    "report_kind": list_of(Report, is_batch__exact=0),
    "report_outcome": list_of(Report, outcome__exact="REFUSED"),
    "report_under_way": expire_reports,
    # promoportal
    "census_by_execution": list_of(Execution),
    "census_by_time": OVERVIEW,
    "census_held": OVERVIEW,
    "census_to_fold": run_scheduler,
    # Whether a user moved any row.
    "assignmenttransition_by": delete_user,
    "collectiontransition_by": delete_user,
    "deliverytransition_by": delete_user,
    "executiontransition_by": delete_user,
    "redemptiontransition_by": delete_user,
    "retrialtransition_by": delete_user,
    "triggertransition_by": delete_user,
}
