"""Unique codes and payloads, shown to permitted users for a reason and a short time."""

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


def test_codes_are_masked_for_every_role(
    client_of: Callable[[Role], StaffClient], coded: Assignment
) -> None:
    for role in Role:
        page = client_of(role).page(coded)

        assert "••••7F3A" in page
        assert CODE not in page
        assert "Utrecht" not in page


def test_a_permitted_user_sees_codes_after_a_logged_reason(
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


def test_codes_are_shown_for_one_row_to_one_user_and_a_short_time(
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


def test_a_user_without_permission_sees_no_codes(
    client_of: Callable[[Role], StaffClient], coded: Assignment
) -> None:
    crm = client_of(Role.CRM)

    assert crm.post("reveal", coded).status_code == 403

    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED
    assert CODE not in crm.page(coded)


# --- Payloads of deliveries -----------------------------------------------------------


@pytest.fixture
def delivery(db: None) -> Delivery:
    row: Delivery = DeliveryFactory(body=b'{"attributes": {"city": "Utrecht"}}')
    return row


def test_payloads_are_hidden_from_every_role(
    client_of: Callable[[Role], StaffClient], delivery: Delivery
) -> None:
    for role in Role:
        page = client_of(role).page(delivery)

        assert NOT_SHOWN in page
        assert "Utrecht" not in page


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.OPERATIONS])
def test_a_permitted_user_sees_a_payload_after_a_logged_reason(
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
def test_a_user_without_permission_sees_no_payload(
    client_of: Callable[[Role], StaffClient], delivery: Delivery, role: Role
) -> None:
    staff = client_of(role)

    assert "reveal" not in staff.offered(delivery)
    assert staff.post("reveal", delivery).status_code == 403

    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED
    assert "Utrecht" not in staff.page(delivery)


def test_a_reveal_of_an_assignment_shows_no_delivery_with_the_same_key(
    support: StaffClient, coded: Assignment
) -> None:
    delivery = DeliveryFactory(pk=coded.pk, body=b'{"city": "Ghent"}')

    support.do("reveal", coded)

    assert "Ghent" not in support.page(delivery)
