"""What staff come for, from the question to the end of it, and how many clicks it takes."""

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
from tests.browser.conftest import SitDown
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


def test_where_is_my_bonus(sit_down: SitDown) -> None:
    row = held(customer="C-77")
    AssignmentFactory(customer="C-7", state=AssignmentState.ACTIVE)
    screen = sit_down(Role.SUPPORT)
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


def test_what_went_wrong_in_last_nights_campaign(sit_down: SitDown) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    refused = [held(execution=execution) for _ in range(2)]
    late = held(execution=execution, reason=AssignmentReason.TOO_LATE)
    screen = sit_down(Role.SUPPORT)

    screen.open("/admin/")
    screen.follow(execution.reference)
    screen.sees("2 Request rejected")
    screen.press("Try these again: Request rejected")
    screen.sees("2 would be tried again, worth 20.00 EUR.")
    screen.write("Why", "The accounts are open again.")
    screen.press("Try them again")
    screen.sees("0 of 2")
    bulk_retry.follow()

    # Nobody has to ask how far it is.
    screen.sees("2 of 2")
    screen.sees("Done")
    assert Retrial.objects.get().by.username == "support"
    for row in (*refused, late):
        row.refresh_from_db()
    assert [row.state for row in (*refused, late)] == [
        *(AssignmentState.OWED, AssignmentState.OWED, AssignmentState.HELD)
    ]


def test_why_was_this_customer_not_rewarded(sit_down: SitDown) -> None:
    row = held(customer="C-77")
    AttemptFactory(
        assignment=row,
        outcome=Attempt.Outcome.REFUSED,
        status=422,
        answer='{"error": "account closed"}',
    )
    screen = sit_down(Role.CRM)

    screen.open("/admin/customers/")
    screen.write("A customer's id, or how it begins", "C-77")
    screen.press("Find")
    screen.sees("Mend at the platform what its words name")
    screen.follow("10 EUR Cash (Gold)")

    screen.sees("HTTP 422")
    screen.sees("account closed")
    assert screen.page.get_by_role("button", name="Retry").count() == 0


def test_yesterdays_activations_are_taken_along(sit_down: SitDown) -> None:
    now = timezone.now()
    _, mine, _ = (
        RedemptionFactory(redeemed_at=now - timedelta(days=days)) for days in (2, 1, 0)
    )
    screen = sit_down(Role.CRM)

    screen.open(list_of(Redemption))
    screen.unfold("Days of activation")
    screen.follow("Yesterday")
    with screen.page.expect_download() as downloaded:
        screen.press("Export CSV")

    with downloaded.value.path().open(encoding="utf-8-sig") as file:
        [taken] = csv.DictReader(file)
    assert taken["customer"] == mine.assignment.customer
    assert taken["activated at"] == mine.redeemed_at.isoformat()
    assert downloaded.value.suggested_filename.startswith("redemptions-")
    assert LogEntry.objects.get().user.username == "crm"


def test_stop_this_execution_now(sit_down: SitDown) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    owed = AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    screen = sit_down(Role.OPERATIONS)
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
    screen.press("Yes, cancel")

    screen.sees("1 execution is cancelled.")
    assert stop_of(execution) == ExecutionStop.CANCELLED
    owed.refresh_from_db()
    assert owed.state == AssignmentState.VOID
    told = [move.why for move in execution.transitions.order_by("pk")]
    assert told[-1] == "They are not."


def stop_of(execution: Execution) -> str:
    execution.refresh_from_db()
    return execution.stop
