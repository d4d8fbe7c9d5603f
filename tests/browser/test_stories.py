"""Complete tasks of staff, with the number of clicks."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.utils import timezone

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from redemptions.models import Redemption
from rewards import bulk_retry
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Attempt,
    Retrial,
)
from tests.browser.conftest import OpenScreen
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    ExecutionFactory,
    RedemptionFactory,
)

PROBLEM = "422: the account is closed."


def held(**more: Any) -> Assignment:
    row = {
        "state": AssignmentState.HELD,
        "reason": AssignmentReason.REFUSED,
        "problem": PROBLEM,
        **more,
    }
    return AssignmentFactory(**row)


def test_support_finds_a_customer_and_retries_a_reward(open_screen: OpenScreen) -> None:
    row = held(customer="C-77")
    AssignmentFactory(customer="C-7", state=AssignmentState.ACTIVE)
    screen = open_screen(Role.SUPPORT)
    screen.open("/admin/")

    screen.write("Where is whose bonus?", "C-77")
    screen.press("Find")
    screen.sees(PROBLEM)
    screen.press("Retry")

    screen.sees("1 assignment will be tried again.")
    assert screen.clicks <= 3
    row.refresh_from_db()
    assert row.state == AssignmentState.OWED
    assert [str(move.by) for move in row.transitions.all()] == ["support"]


def test_support_retries_all_rejected_rewards_of_an_execution(
    open_screen: OpenScreen,
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    refused = [held(execution=execution) for _ in range(2)]
    late = held(execution=execution, reason=AssignmentReason.TOO_LATE)
    screen = open_screen(Role.SUPPORT)

    screen.open("/admin/")
    screen.follow(execution.reference)
    screen.sees("2 Request rejected")
    screen.press("Try these again: Request rejected")
    screen.sees("2 would be tried again, worth 20.00 EUR.")
    screen.write("Why", "The accounts are open again.")
    screen.press("Try them again")
    screen.sees("0 of 2")
    bulk_retry.follow()

    # The progress is refreshed automatically.
    screen.sees("2 of 2")
    screen.sees("Complete")
    assert Retrial.objects.get().by.username == "support"
    for row in (*refused, late):
        row.refresh_from_db()
    assert [row.state for row in (*refused, late)] == [
        *(AssignmentState.OWED, AssignmentState.OWED, AssignmentState.HELD)
    ]


def test_crm_finds_out_why_a_customer_got_no_reward(open_screen: OpenScreen) -> None:
    row = held(customer="C-77")
    AttemptFactory(
        assignment=row,
        outcome=Attempt.Outcome.REFUSED,
        status=422,
        answer='{"error": "account closed"}',
    )
    screen = open_screen(Role.CRM)

    screen.open("/admin/customers/")
    screen.write("A customer's id, or how it begins", "C-77")
    screen.press("Find")
    screen.sees("Mend at the platform what its words name")
    screen.follow("10 EUR Cash (Gold)")

    screen.sees("HTTP 422")
    screen.sees("account closed")
    assert screen.page.get_by_role("button", name="Retry").count() == 0


def test_crm_exports_the_activations_of_yesterday(open_screen: OpenScreen) -> None:
    now = timezone.now()
    _, mine, _ = (
        RedemptionFactory(redeemed_at=now - timedelta(days=days)) for days in (2, 1, 0)
    )
    screen = open_screen(Role.CRM)

    screen.open(list_of(Redemption))
    screen.unfold("Days of activation")
    screen.follow("Yesterday")
    with screen.page.expect_download() as downloaded:
        screen.press("Export CSV")

    with downloaded.value.path().open(encoding="utf-8-sig") as file:
        [exported] = csv.DictReader(file)
    assert exported["customer"] == mine.assignment.customer
    assert exported["activated at"] == mine.redeemed_at.isoformat()
    assert downloaded.value.suggested_filename.startswith("redemptions-")
    assert LogEntry.objects.get().user.username == "crm"


def test_operations_pause_resume_and_cancel_an_execution(
    open_screen: OpenScreen,
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    owed = AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    screen = open_screen(Role.OPERATIONS)
    screen.open(page_of(execution))

    screen.write("Why", "Far too many customers.")
    screen.press("Pause")
    screen.sees("1 execution is paused.")
    assert stop_of(execution) == ExecutionStop.PAUSED
    screen.write("Why", "They are meant after all.")
    screen.press("Resume")
    screen.sees("1 execution runs again.")
    assert stop_of(execution) == ExecutionStop.NONE
    screen.write("Why", "They are not.")
    screen.press("Cancel execution …")
    screen.sees("Nothing more of it will be given, for good")
    assert stop_of(execution) == ExecutionStop.NONE
    screen.press("Yes, cancel execution")

    screen.sees("1 execution is cancelled.")
    assert stop_of(execution) == ExecutionStop.CANCELLED
    owed.refresh_from_db()
    assert owed.state == AssignmentState.VOID
    reasons = [move.why for move in execution.transitions.order_by("pk")]
    assert reasons[-1] == "They are not."


def stop_of(execution: Execution) -> str:
    execution.refresh_from_db()
    return execution.stop
