"""The overview and the page of an execution: progress, speed, stops and integrations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from promoportal.dashboard.progress_column import progress
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.state_counts import Census
from promoportal.resilience.circuit_breaker import Breaker, Side
from redemptions.models import Redemption, RedemptionState
from rewards.models import (
    Activation,
    Assignment,
    AssignmentReason,
    AssignmentState,
    Retrial,
)
from tests.factories import (
    AssignmentFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
    UserFactory,
)
from tests.staff_client import StaffClient, preview_fields


def execution_in_progress(**changes: Any) -> Execution:
    """Create an execution with one `ACTIVE`, one `OWED` and two `HELD` rewards."""
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING, **changes)
    activated = AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    Assignment.objects.filter(pk=activated.pk).update(state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=activated, state=RedemptionState.REPORTED)
    AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    for reason in (AssignmentReason.REFUSED, AssignmentReason.TOO_LATE):
        AssignmentFactory(
            execution=execution, state=AssignmentState.HELD, reason=reason
        )
    return execution


def figures(cell: str) -> str:
    """Return the text of a cell, as staff read it."""
    return strip_tags(cell)


def panel(staff: StaffClient, title: str) -> Any:
    panels = staff.get("/admin/").context["panels"]
    return next(one for one in panels if one.title.startswith(title))


def test_an_execution_in_progress_shows_progress_and_speed(crm: StaffClient) -> None:
    execution = execution_in_progress()
    ExecutionFactory(state=ExecutionProgress.SETTLED)

    ((name, campaign, progress_cell, pace),) = panel(crm, "Under way").rows

    assert execution.campaign
    assert execution.reference in name
    assert execution.campaign.reference in campaign
    assert "1 active, 1 owed, 2 held" in progress_cell
    assert figures(progress_cell) == "4 eligible 1 active 1 reported ! 2 held"
    assert pace == "0 a minute, about 2 min left"


def test_a_list_of_executions_shows_the_progress_of_each(crm: StaffClient) -> None:
    first, second, empty = (
        execution_in_progress(),
        execution_in_progress(),
        ExecutionFactory(),
    )
    RedemptionFactory(
        assignment__execution=second,
        assignment__state=AssignmentState.ACTIVE,
        state=RedemptionState.HELD,
    )

    shown = {
        row.pk: figures(progress(row)).strip()
        for row in crm.get(list_of(Execution)).context["cl"].result_list
    }

    said = "eligible {} active 1 reported ! 2 held"
    assert shown == {
        first.pk: f"4 {said.format(1)}",
        second.pk: f"5 {said.format(2)} ! 1 report held",
        empty.pk: "Nothing is listed yet.",
    }


def test_the_number_of_rows_that_need_review_links_to_exactly_these_rows(
    crm: StaffClient,
) -> None:
    execution, _ = execution_in_progress(), execution_in_progress()
    held = Assignment.objects.filter(execution=execution, state=AssignmentState.HELD)
    href = list_of(
        Assignment, execution=execution.pk, state__exact=AssignmentState.HELD
    )

    for address in ("/admin/", list_of(Execution)):
        assert f'href="{href}"' in crm.text(address)
    assert set(crm.get(href).context["cl"].result_list) == set(held)


def test_a_stopped_execution_shows_its_stop_instead_of_a_speed(
    crm: StaffClient,
) -> None:
    execution_in_progress(stop=ExecutionStop.PAUSED)

    ((*_, pace),) = panel(crm, "Under way").rows

    assert "Paused" in pace


def test_today_is_compared_with_the_same_day_a_week_ago(crm: StaffClient) -> None:
    execution_in_progress()
    week_ago = timezone.now() - timedelta(days=7)
    Census.objects.update(at=week_ago)
    AssignmentFactory(state=AssignmentState.OWED)

    rows = {row[0]: row[2:] for row in panel(crm, "Today").rows}

    assert rows["assigned"][0] == f'<a href="{list_of(Assignment, days="today")}">1</a>'
    assert (
        rows["activated"][0] == f'<a href="{list_of(Activation, days="today")}">0</a>'
    )
    assert (rows["assigned"][1], rows["activated"][1]) == ("4", "1")
    assert rows["reported"] == ("0", "1")


def test_an_integration_with_paused_calls_is_shown_with_its_problem(
    crm: StaffClient,
) -> None:
    Breaker.objects.create(
        side=Side.PLATFORM,
        opened_at=timezone.now(),
        open_until=seconds_from_now(60),
        problem="The token is refused.",
    )
    DeliveryFactory()

    vendor, platform, notices = panel(crm, "Far sides").rows

    assert "Answers" in vendor[1]
    assert "Not called" in platform[1]
    assert platform[2] == "The token is refused."
    assert "just now" in notices[2]


def test_a_user_without_permission_sees_no_figures(db: None) -> None:
    execution_in_progress()

    assert not StaffClient(UserFactory(is_staff=True)).get("/admin/").context["panels"]


def test_the_page_of_an_execution_in_progress_is_refreshed(crm: StaffClient) -> None:
    execution = execution_in_progress()
    assert 'hx-trigger="every 3s"' in crm.page(execution)

    Execution.objects.update(state=ExecutionProgress.SETTLED)

    assert 'hx-trigger="every 3s"' not in crm.page(execution)


def test_rows_that_need_review_are_grouped_by_reason_and_can_be_retried(
    client_of: Callable[[Role], StaffClient],
) -> None:
    execution, support = execution_in_progress(), client_of(Role.SUPPORT)
    groups = ledgers(support, execution).groups
    assert {(group.name, group.count) for group in groups} == {
        ("Request rejected", 1),
        ("Deadline passed", 1),
    }

    asked = support.client.post(groups[0].href, {"retry_all": "ask"})
    assert "<strong>1</strong> would be tried again" in asked.content.decode()
    said = preview_fields(asked) | {"why": "Mended."}
    support.client.post(groups[0].href, said)

    assert Retrial.objects.count() == 1


def test_a_user_without_permission_is_not_offered_a_retry(
    client_of: Callable[[Role], StaffClient],
) -> None:
    execution = execution_in_progress()

    assert "Try these again" not in client_of(Role.AUDITOR).page(execution)


def test_a_small_execution_is_compared_row_by_row(crm: StaffClient) -> None:
    execution = execution_in_progress()
    Redemption.objects.all().delete()

    assert "1 disagrees with Optimove's list" in crm.page(execution)


@pytest.mark.django_db
def test_a_refresh_after_the_session_ended_reloads_the_page() -> None:
    answer = Client().get("/admin/", follow=True, headers={"hx-request": "true"})

    assert answer["HX-Refresh"] == "true"


def ledgers(staff: StaffClient, execution: Execution) -> Any:
    panels = staff.get(page_of(execution)).context["panels"]
    return next(one for one in panels if one.is_wide)
