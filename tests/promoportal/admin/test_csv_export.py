"""The CSV export of lists: rows, values, permissions and audit log."""

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from promoportal.admin import csv_export
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.csv_export import safe
from promoportal.admin.keyset_order import Order
from promoportal.admin.links import list_of
from redemptions.models import Redemption
from rewards.admin.assignments import AssignmentAdmin
from rewards.models import Assignment, AssignmentState
from tests.factories import AssignmentFactory, RedemptionFactory
from tests.many import multiply
from tests.staff_client import StaffClient


def export(staff: StaffClient, model: Any, **narrowed: Any) -> list[dict[str, str]]:
    answer: Any = staff.client.post(list_of(model, **narrowed), {"export": "csv"})
    assert answer.status_code == 200, answer
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_an_export_has_all_matching_rows_newest_first(crm: StaffClient) -> None:
    active = [AssignmentFactory(state=AssignmentState.ACTIVE) for _ in range(3)]
    AssignmentFactory(state=AssignmentState.HELD)

    found = export(crm, Assignment, state__exact=AssignmentState.ACTIVE)

    assert [one["customer"] for one in found] == [
        row.customer for row in reversed(active)
    ]
    assert {one["state"] for one in found} == {"ACTIVE"}


def test_redemptions_can_be_exported(crm: StaffClient) -> None:
    row = RedemptionFactory()

    [found] = export(crm, Redemption)

    assert found["customer"] == row.assignment.customer
    assert found["reference"] == str(row.reference)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_no_value_of_an_export_is_a_formula(crm: StaffClient, value: str) -> None:
    AssignmentFactory(customer=value)

    [found] = export(crm, Assignment)

    assert found["customer"] == f"'{value}"


@pytest.mark.parametrize("value", ['a,"b"\n;c', "ÄÖ😀", "'=1"])
def test_special_characters_survive_an_export(crm: StaffClient, value: str) -> None:
    AssignmentFactory(customer=value)

    [found] = export(crm, Assignment)

    assert found["customer"] == value == safe(value)


def test_an_invalid_filter_exports_and_logs_nothing(crm: StaffClient) -> None:
    here = list_of(Assignment, state__exact="NOPE")

    answer = crm.client.post(here, {"export": "csv"}, follow=True)

    assert "Nothing was exported: the list says why." in answer.content.decode()
    assert "“NOPE” is nothing to choose" in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_an_export_has_no_unique_codes(crm: StaffClient) -> None:
    AssignmentFactory(unique_code="SECRET-CODE", reward=None)

    [found] = export(crm, Assignment)

    assert "SECRET-CODE" not in str(found)


def test_an_export_is_logged_before_the_first_row_is_sent(crm: StaffClient) -> None:
    crm.client.post(list_of(Assignment, state__exact="HELD"), {"export": "csv"})

    entry = LogEntry.objects.get()
    assert entry.user == crm.user
    assert entry.change_message == "Exported as CSV: State: Needs review"


def test_a_user_without_permission_is_not_offered_an_export_and_gets_none(
    support: StaffClient,
) -> None:
    AssignmentFactory()

    assert "as CSV" not in support.text(list_of(Assignment))
    answer = support.client.post(list_of(Assignment), {"export": "csv"})
    assert answer.status_code == 403
    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED


def test_a_list_without_an_export_refuses_one(operations: StaffClient) -> None:
    answer = operations.client.post("/admin/executions/execution/", {"export": "csv"})

    assert answer.status_code == 403


def test_a_large_export_is_read_by_key_in_parts_with_little_memory(db: None) -> None:
    multiply(
        AssignmentFactory(),
        3 * csv_export.AT_A_TIME,
        reference="'R' || n",
        customer="'X' || n",
        key="gen_random_uuid()",
    )
    tracemalloc.start()
    with CaptureQueriesContext(connection) as made:
        lines = csv_export.lines(
            AssignmentAdmin.export, Assignment.objects.all(), Order(is_narrowed=False)
        )
        count = len([None for _ in lines])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # With the headings and the original row.
    assert count == 3 * csv_export.AT_A_TIME + 2
    assert len(made) == 5
    assert not any("OFFSET" in query["sql"] for query in made)
    assert most < 12 * 1024 * 1024


def test_the_auditor_sees_exports_in_the_log_and_may_change_nothing(
    auditor: StaffClient, crm: StaffClient
) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, reason="REFUSED")
    crm.client.post(list_of(Assignment), {"export": "csv"})

    shown = auditor.text(list_of(LogEntry))

    assert "Exported as CSV: all of them" in shown
    assert str(crm.user) in shown
    assert auditor.offered(row) == set()
    assert auditor.post("retry", row).status_code == 403


@pytest.mark.parametrize("who", ["crm", "support"])
def test_crm_and_support_may_not_see_the_log(
    who: str, request: pytest.FixtureRequest
) -> None:
    staff: StaffClient = request.getfixturevalue(who)

    assert staff.get(list_of(LogEntry)).status_code == 403
