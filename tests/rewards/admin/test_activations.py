"""The list of activated rewards by day, and its export."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils.timezone import localtime, now

from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import list_of
from rewards import decisions
from rewards.models import Activation, Assignment, AssignmentState, AssignmentTransition
from tests.factories import AssignmentFactory, UserFactory
from tests.promoportal.admin.test_csv_export import export
from tests.staff_client import StaffClient


def activated(*, days_ago: int = 0) -> Assignment:
    """Return an assignment that was activated at noon, `days_ago` days ago."""
    row = AssignmentFactory(
        state=AssignmentState.ACTIVE, receipt="R7", value=10, unit="EUR"
    )
    noon = localtime().replace(hour=12, minute=0, second=0, microsecond=0)
    moved(row, AssignmentState.ACTIVE, at=noon - timedelta(days=days_ago))
    return row


def moved(row: Assignment, to: AssignmentState, *, at: datetime) -> None:
    AssignmentTransition.objects.create(row=row, before="OWED", after=to, at=at)


def test_the_export_of_yesterday_has_yesterdays_activations(crm: StaffClient) -> None:
    activated(days_ago=2)
    row = activated(days_ago=1)
    moved(AssignmentFactory(state=AssignmentState.HELD), AssignmentState.HELD, at=now())
    activated()

    [found] = export(crm, Activation, days="yesterday")

    assert found["customer"] == row.customer
    assert found["assignment"] == row.reference
    assert found["receipt"] == "R7"
    assert (found["value"], found["unit"]) == ("10.000000", "EUR")
    assert found["activated at"].startswith(
        f"{localtime() - timedelta(days=1):%Y-%m-%d}"
    )


def test_the_list_has_activated_rewards_only(crm: StaffClient) -> None:
    row = activated()
    moved(AssignmentFactory(state=AssignmentState.HELD), AssignmentState.HELD, at=now())

    [found] = crm.list(Activation)

    assert found.row == row


def test_an_activation_confirmed_by_staff_names_the_user(crm: StaffClient) -> None:
    agent = UserFactory(username="agent")
    row = AssignmentFactory(
        state=AssignmentState.HELD,
        reason="UNANSWERED",
        doubtful=True,
        first_sent_at=now(),
        order={},
    )
    said = decisions.given(
        Assignment.objects.filter(pk=row.pk), by=agent, why="The books show it."
    )
    assert said.done == 1

    [found] = export(crm, Activation)

    assert found["said by"] == "agent"


def test_an_export_needs_the_permission(support: StaffClient) -> None:
    row = activated()
    Assignment.objects.filter(pk=row.pk).update(customer="has it already")

    answer = support.client.post(list_of(Activation), {"export": "csv"})

    assert answer.status_code == 403
    assert "has it already" not in answer.content.decode()


def test_an_export_is_in_the_audit_log(crm: StaffClient, auditor: StaffClient) -> None:
    export(crm, Activation, days="yesterday")

    [entry] = auditor.list(LogEntry, kind=AuditKind.EXPORTED)
    assert "Days: Yesterday" in entry.change_message


@pytest.mark.parametrize("days", ["then", "2026-13-40"])
def test_an_invalid_day_is_reported(crm: StaffClient, days: str) -> None:
    activated()

    assert crm.list(Activation, days=days) == []
    assert f"“{days}” is nothing to choose" in crm.text(list_of(Activation, days=days))
