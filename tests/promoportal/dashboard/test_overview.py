"""The first page and an execution's: how far, how fast, what keeps it, and both far sides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

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
from tests.staff_client import StaffClient


def moving(**changes: Any) -> Execution:
    """Of four rewards one is active, one owed, two held for different reasons."""
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING, **changes)
    given = AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    Assignment.objects.filter(pk=given.pk).update(state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=given, state=RedemptionState.REPORTED)
    AssignmentFactory(execution=execution, state=AssignmentState.OWED)
    for reason in (AssignmentReason.REFUSED, AssignmentReason.TOO_LATE):
        AssignmentFactory(
            execution=execution, state=AssignmentState.HELD, reason=reason
        )
    return execution


def figures(cell: str) -> str:
    """What stands in it, as a person reads it."""
    return strip_tags(cell)


def panel(staff: StaffClient, title: str) -> Any:
    panels = staff.get("/admin/").context["panels"]
    return next(one for one in panels if one.title.startswith(title))


def test_what_is_under_way_shows_how_far_and_how_fast(crm: StaffClient) -> None:
    execution = moving()
    ExecutionFactory(state=ExecutionProgress.SETTLED)

    ((name, campaign, far, pace),) = panel(crm, "Under way").rows

    assert execution.campaign
    assert execution.reference in name
    assert execution.campaign.reference in campaign
    assert "1 active, 1 owed, 2 held" in far
    assert figures(far) == "4 eligible 1 active 1 reported ! 2 held"
    assert pace == "0 a minute, about 2 min left"


def test_a_list_of_executions_shows_of_each_how_far_it_is(crm: StaffClient) -> None:
    first, second, empty = moving(), moving(), ExecutionFactory()
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


def test_what_is_held_leads_to_exactly_these_rows(crm: StaffClient) -> None:
    execution, _ = moving(), moving()
    held = Assignment.objects.filter(execution=execution, state=AssignmentState.HELD)
    href = list_of(
        Assignment, execution=execution.pk, state__exact=AssignmentState.HELD
    )

    for address in ("/admin/", list_of(Execution)):
        assert f'href="{href}"' in crm.text(address)
    assert set(crm.get(href).context["cl"].result_list) == set(held)


def test_what_is_stopped_says_so_in_place_of_its_pace(crm: StaffClient) -> None:
    moving(stop=ExecutionStop.PAUSED)

    ((*_, pace),) = panel(crm, "Under way").rows

    assert "Paused" in pace


def test_today_stands_beside_the_same_day_a_week_ago(crm: StaffClient) -> None:
    moving()
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


def test_a_far_side_that_is_not_called_is_seen_with_its_problem(
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


def test_who_may_not_see_a_list_sees_no_figures_of_it(db: None) -> None:
    moving()

    assert not StaffClient(UserFactory(is_staff=True)).get("/admin/").context["panels"]


def test_the_page_of_one_that_moves_is_asked_for_anew(crm: StaffClient) -> None:
    execution = moving()
    assert 'hx-trigger="every 3s"' in crm.page(execution)

    Execution.objects.update(state=ExecutionProgress.SETTLED)

    assert 'hx-trigger="every 3s"' not in crm.page(execution)


def test_what_is_held_is_told_by_reason_with_a_way_to_try_these_again(
    client_of: Callable[[Role], StaffClient],
) -> None:
    execution, support = moving(), client_of(Role.SUPPORT)
    groups = ledgers(support, execution).groups
    assert {(group.name, group.count) for group in groups} == {
        ("Request rejected", 1),
        ("Deadline passed", 1),
    }

    asked = support.client.post(groups[0].href, {"retry_all": "ask"})
    assert "<strong>1</strong> would be tried again" in asked.content.decode()
    said = {"retry_all": "yes", "why": "Mended.", "form": str(uuid4())}
    support.client.post(groups[0].href, said)

    assert Retrial.objects.count() == 1


def test_who_may_not_try_again_is_not_offered_it(
    client_of: Callable[[Role], StaffClient],
) -> None:
    execution = moving()

    assert "Try these again" not in client_of(Role.AUDITOR).page(execution)


def test_a_small_execution_is_compared_row_by_row(crm: StaffClient) -> None:
    execution = moving()
    Redemption.objects.all().delete()

    assert "1 disagrees with Optimove's list" in crm.page(execution)


@pytest.mark.django_db
def test_looking_on_after_the_session_ended_leads_to_the_login() -> None:
    answer = Client().get("/admin/", follow=True, headers={"hx-request": "true"})

    assert answer["HX-Refresh"] == "true"


def ledgers(staff: StaffClient, execution: Execution) -> Any:
    panels = staff.get(page_of(execution)).context["panels"]
    return next(one for one in panels if one.is_wide)
