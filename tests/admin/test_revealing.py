"""Codes and payloads are seen by who may, who says why, and not for long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.utils import timezone

from promoportal.admin.log import Kind
from promoportal.roles import Role
from rewards.models import Assignment
from tests.admin.desk import WHY, Desk
from tests.factories import AssignmentFactory

CODE = "SUMMER-2026-7F3A"


@pytest.fixture
def coded(db: None) -> Assignment:
    row: Assignment = AssignmentFactory(
        unique_code=CODE,
        as_assigned={"uniqueCode": CODE, "attributes": {"city": "Utrecht"}},
        order={"uniqueCode": CODE},
    )
    return row


def test_nobody_sees_them_by_looking(
    desk_of: Callable[[Role], Desk], coded: Assignment
) -> None:
    for role in Role:
        page = desk_of(role).page(coded)

        assert "••••7F3A" in page
        assert CODE not in page
        assert "Utrecht" not in page


def test_who_may_sees_them_after_saying_why_and_it_is_kept(
    support: Desk, coded: Assignment
) -> None:
    support.do("reveal", coded)

    assert CODE in support.page(coded)
    assert "Utrecht" in support.page(coded)
    entry = LogEntry.objects.get(object_id=str(coded.pk))
    assert (entry.user, entry.change_message) == (
        support.user,
        f"Show code and payloads: {WHY}",
    )


def test_of_that_row_alone_by_that_person_alone_and_not_for_long(
    support: Desk, operations: Desk, coded: Assignment
) -> None:
    other = AssignmentFactory(unique_code="WINTER-2026-9B1C")
    support.do("reveal", coded)

    assert CODE not in operations.page(coded)
    assert "WINTER-2026-9B1C" not in support.page(other)
    operations.do("reveal", coded)
    operations.user.groups.clear()
    operations.user.user_permissions.add(
        Permission.objects.get(codename="view_assignment")
    )
    assert CODE not in operations.page(coded)
    LogEntry.objects.update(action_time=timezone.now() - timedelta(minutes=6))
    assert CODE not in support.page(coded)


def test_who_may_not_is_refused_and_sees_nothing(
    desk_of: Callable[[Role], Desk], coded: Assignment
) -> None:
    crm = desk_of(Role.CRM)

    assert crm.post("reveal", coded).status_code == 403

    assert LogEntry.objects.get().action_flag == Kind.REFUSED
    assert CODE not in crm.page(coded)
