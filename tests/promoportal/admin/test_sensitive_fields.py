"""Codes and payloads are seen by who may, who says why, and not for long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.utils import timezone

from executions.models import Delivery
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.roles import Role
from promoportal.admin.sensitive_fields import NOT_SHOWN
from rewards.models import Assignment
from tests.factories import AssignmentFactory, DeliveryFactory
from tests.staff_client import WHY, StaffClient

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
    client_of: Callable[[Role], StaffClient], coded: Assignment
) -> None:
    for role in Role:
        page = client_of(role).page(coded)

        assert "••••7F3A" in page
        assert CODE not in page
        assert "Utrecht" not in page


def test_who_may_sees_them_after_saying_why_and_it_is_kept(
    support: StaffClient, coded: Assignment
) -> None:
    support.do("reveal", coded)

    assert CODE in support.page(coded)
    assert "Utrecht" in support.page(coded)
    entry = LogEntry.objects.get(object_id=str(coded.pk))
    assert (entry.user, entry.change_message) == (
        support.user,
        f"Show sensitive data: {WHY}",
    )


def test_of_that_row_alone_by_that_person_alone_and_not_for_long(
    support: StaffClient, operations: StaffClient, coded: Assignment
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
    client_of: Callable[[Role], StaffClient], coded: Assignment
) -> None:
    crm = client_of(Role.CRM)

    assert crm.post("reveal", coded).status_code == 403

    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED
    assert CODE not in crm.page(coded)


# --- What a delivery brought ------------------------------------------------------------


@pytest.fixture
def delivery(db: None) -> Delivery:
    row: Delivery = DeliveryFactory(body=b'{"attributes": {"city": "Utrecht"}}')
    return row


def test_nobody_sees_a_delivery_s_body_by_looking(
    client_of: Callable[[Role], StaffClient], delivery: Delivery
) -> None:
    for role in Role:
        page = client_of(role).page(delivery)

        assert NOT_SHOWN in page
        assert "Utrecht" not in page


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.OPERATIONS])
def test_who_may_sees_it_after_saying_why_and_it_is_kept(
    client_of: Callable[[Role], StaffClient], delivery: Delivery, role: Role
) -> None:
    staff = client_of(role)
    other = DeliveryFactory(body=b'{"city": "Ghent"}')
    assert "reveal" in staff.offered(delivery)

    assert staff.do("reveal", delivery) == "1 delivery shows its body."

    assert "Utrecht" in staff.page(delivery)
    assert "Ghent" not in staff.page(other)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (staff.user, str(delivery.pk))
    assert entry.action_flag == AuditKind.REVEALED
    assert entry.change_message == f"Show payload: {WHY}"
    LogEntry.objects.update(action_time=timezone.now() - timedelta(minutes=6))
    assert "Utrecht" not in staff.page(delivery)


@pytest.mark.parametrize("role", [Role.CRM, Role.AUDITOR])
def test_who_may_not_see_bodies_is_offered_nothing_and_a_forged_one_shows_none(
    client_of: Callable[[Role], StaffClient], delivery: Delivery, role: Role
) -> None:
    staff = client_of(role)

    assert "reveal" not in staff.offered(delivery)
    assert staff.post("reveal", delivery).status_code == 403

    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED
    assert "Utrecht" not in staff.page(delivery)


def test_a_word_about_an_assignment_shows_no_delivery_of_the_same_key(
    support: StaffClient, coded: Assignment
) -> None:
    delivery = DeliveryFactory(pk=coded.pk, body=b'{"city": "Ghent"}')

    support.do("reveal", coded)

    assert "Ghent" not in support.page(delivery)
