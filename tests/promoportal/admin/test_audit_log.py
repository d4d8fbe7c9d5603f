"""The audit log: user, action, row, reason and address, also of refused actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from pytest_django import Settings

from promoportal.admin.audit_log import AuditKind, Origin
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from rewards.models import Assignment, AssignmentState, Retrial
from tests.factories import AssignmentFactory, UserFactory
from tests.staff_client import WHY, StaffClient, preview_form

HOME, FORGED = "198.51.100.7", "203.0.113.1"


def held(**more: Any) -> Assignment:
    return AssignmentFactory(state=AssignmentState.HELD, reason="REFUSED", **more)


def kinds() -> list[int]:
    return list(LogEntry.objects.order_by("pk").values_list("action_flag", flat=True))


# --- Addresses ------------------------------------------------------------------------


def with_address(staff: StaffClient) -> StaffClient:
    staff.client.defaults["HTTP_X_FORWARDED_FOR"] = f"{FORGED}, {HOME}"
    return staff


@pytest.fixture
def behind_a_proxy(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1


def retry(staff: StaffClient) -> None:
    staff.do("retry", held(), held())


def reveal(staff: StaffClient) -> None:
    staff.do("reveal", held())


def export(staff: StaffClient) -> None:
    staff.client.post(list_of(Assignment), {"export": "csv"})


def retry_all(staff: StaffClient) -> None:
    said = preview_form(staff, list_of(Assignment)) | {"why": WHY}
    for _ in range(2):  # a double click begins one bulk retry
        staff.client.post(list_of(Assignment), said)


def forge(staff: StaffClient) -> None:
    staff.user.groups.clear()
    staff.post("retry", held(), confirmed="yes")


@pytest.mark.usefixtures("behind_a_proxy")
@pytest.mark.parametrize(
    ("do", "expected"),
    [
        (retry, [AuditKind.DONE] * 2),
        (reveal, [AuditKind.REVEALED]),
        (export, [AuditKind.EXPORTED]),
        (retry_all, [AuditKind.DONE_TO_ALL]),
        (forge, [AuditKind.REFUSED]),
    ],
)
def test_every_action_is_logged_with_its_kind_and_address(
    operations: StaffClient,
    do: Callable[[StaffClient], None],
    expected: list[AuditKind],
) -> None:
    do(with_address(operations))

    assert kinds() == expected
    assert {entry.user for entry in LogEntry.objects.all()} == {operations.user}
    assert [origin.address for origin in Origin.objects.all()] == [HOME] * len(expected)


@pytest.mark.usefixtures("behind_a_proxy")
def test_changes_of_groups_are_logged_with_the_address(superuser: StaffClient) -> None:
    client = with_address(superuser).client

    added = {"name": "Night shift", "permissions": []}
    client.post("/admin/auth/group/add/", added)
    group = Group.objects.get(name="Night shift")
    client.post(page_of(group), {**added, "name": "Day shift"})
    client.post(page_of(group).replace("change", "delete"), {"post": "yes"})

    assert kinds() == [AuditKind.ADDED, AuditKind.CHANGED, AuditKind.DELETED]
    assert set(Origin.objects.values_list("address", flat=True)) == {HOME}
    assert not Group.objects.exclude(name__in=Role).exists()


def test_a_user_with_log_entries_cannot_be_deleted(
    superuser: StaffClient, operations: StaffClient
) -> None:
    operations.do("retry", held())
    export(operations)

    page = page_of(operations.user).replace("change", "delete")
    answer = superuser.client.post(page, {"post": "yes"})

    assert answer.status_code == 403
    assert kinds() == [AuditKind.DONE, AuditKind.EXPORTED, AuditKind.REFUSED]


def test_the_auditor_sees_and_filters_the_log(
    auditor: StaffClient, operations: StaffClient
) -> None:
    row = held()
    operations.do("retry", row)
    export(operations)
    auditor.post("retry", row)

    [refused] = auditor.list(LogEntry, kind=AuditKind.REFUSED)
    [exported] = auditor.list(LogEntry, kind=AuditKind.EXPORTED)
    by_operations = auditor.list(LogEntry, user__id__exact=operations.user.pk)
    shown = auditor.text(list_of(LogEntry))

    assert (refused.user, refused.object_id) == (auditor.user, str(row.pk))
    assert exported.user == operations.user
    assert len(by_operations) == 2
    assert "127.0.0.1" in shown
    assert "Refused: Retry" in shown
    assert "127.0.0.1" in auditor.page(refused)
    assert auditor.list(LogEntry, kind="x") == []


def test_an_old_entry_without_an_address_is_shown(auditor: StaffClient) -> None:
    LogEntry.objects.create(user=auditor.user, object_repr="?", action_flag=2)

    assert "and why" in auditor.text(list_of(LogEntry)).lower()


# --- Refused actions ------------------------------------------------------------------

FORGERIES: dict[str, dict[str, str]] = {
    "action": {"action": "write_off", "why": "secret reason", "confirmed": "yes"},
    "action about all": {
        "action": "retry",
        "why": "secret reason",
        "select_across": "1",
    },
    "reveal": {"action": "reveal", "why": "secret reason"},
    "export": {"export": "csv", "why": "secret reason"},
    "retry all": {"retry_all": "yes", "why": "secret reason", "form": "x"},
    "retry all, asked": {"retry_all": "ask", "why": "secret reason"},
}


@pytest.fixture
def nobody(db: None) -> StaffClient:
    return StaffClient(UserFactory(is_staff=True, username="nobody"))


@pytest.mark.parametrize("said", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("who", ["nobody", "onlooker"])
def test_a_forged_post_to_a_list_is_refused_explained_and_logged(
    said: dict[str, str],
    who: str,
    nobody: StaffClient,
    client_of: Callable[[Role], StaffClient],
) -> None:
    staff = nobody if who == "nobody" else client_of(Role.AUDITOR)
    if who == "onlooker":
        staff.user.groups.clear()
        _permit_view(staff.user)
    row = held(unique_code="SUMMER-2026-7F3A")

    answer = staff.client.post(
        list_of(Assignment, state__exact="HELD"),
        {**said, "_selected_action": [row.pk]},
    )

    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Nothing was done." in page
    assert "kept in the log" in page
    assert "SUMMER" not in page
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
    assert not Retrial.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.user, entry.action_flag) == (staff.user, AuditKind.REFUSED)
    assert entry.content_type == ContentType.objects.get_for_model(row)
    assert "secret reason" not in entry.change_message
    assert Origin.objects.get().address == "127.0.0.1"


def _permit_view(user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_assignment"))


def test_a_refusal_names_the_permitted_roles(crm: StaffClient) -> None:
    page = crm.post("retry", held()).content.decode()

    assert "Your role does not allow this: <strong>Retry</strong>." in page
    assert "Who may: Operations, Support." in page


def test_a_refusal_logs_the_selected_rows_up_to_a_limit(crm: StaffClient) -> None:
    rows = [held() for _ in range(12)]

    crm.post("retry", *rows)

    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr) == (None, "12 assignments")
    keys = ", ".join(str(row.pk) for row in rows[:10])
    assert entry.change_message == f"Refused: Retry: {keys} and 2 more"


def test_a_refusal_for_all_matching_rows_logs_the_filters(crm: StaffClient) -> None:
    row = held()
    here = list_of(Assignment, state__exact="HELD", q="x" * 900)

    crm.post("retry", row, select_across="1", at=here)

    entry = LogEntry.objects.get()
    assert entry.object_repr == "assignments"
    assert "of those that match: State: Needs review" in entry.change_message
    assert len(entry.change_message) < 500


@pytest.mark.parametrize("to", ["change", "delete", "history"])
def test_a_forged_post_to_a_page_is_logged_with_its_row(
    superuser: StaffClient, to: str
) -> None:
    row = held()

    answer = superuser.client.post(
        page_of(row).replace("change", to), {"state": "ACTIVE", "post": "yes"}
    )

    if to == "history":  # this page ignores all data
        assert answer.status_code == 200
        return
    entry = LogEntry.objects.get()
    assert answer.status_code == 403
    assert (entry.action_flag, entry.object_id) == (AuditKind.REFUSED, str(row.pk))
    assert "ACTIVE" not in entry.change_message


def test_a_forged_post_to_the_user_admin_is_logged(operations: StaffClient) -> None:
    answer = operations.client.post("/admin/auth/user/add/", {"username": "mine"})

    assert answer.status_code == 403
    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED
    assert not User.objects.filter(username="mine").exists()


def test_a_refused_get_is_explained_and_not_logged(crm: StaffClient) -> None:
    answer = crm.get(list_of(LogEntry))

    assert answer.status_code == 403
    assert "Who may: Auditor, Operations." in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_a_refused_reveal_shows_no_code(
    client_of: Callable[[Role], StaffClient],
) -> None:
    row, auditor = held(unique_code="SUMMER-2026-7F3A"), client_of(Role.AUDITOR)

    auditor.post("reveal", row)

    assert "SUMMER" not in auditor.page(row)
