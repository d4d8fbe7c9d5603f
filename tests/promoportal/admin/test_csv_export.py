"""Lists as CSV: what matches, whatever is in it, by who may, and never unseen."""

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


def test_all_that_match_are_in_it_newest_first(crm: StaffClient) -> None:
    active = [AssignmentFactory(state=AssignmentState.ACTIVE) for _ in range(3)]
    AssignmentFactory(state=AssignmentState.HELD)

    found = export(crm, Assignment, state__exact=AssignmentState.ACTIVE)

    assert [one["customer"] for one in found] == [
        row.customer for row in reversed(active)
    ]
    assert {one["state"] for one in found} == {"ACTIVE"}


def test_redemptions_too(crm: StaffClient) -> None:
    row = RedemptionFactory()

    [found] = export(crm, Redemption)

    assert found["customer"] == row.assignment.customer
    assert found["reference"] == str(row.reference)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_nothing_in_it_is_a_formula(crm: StaffClient, value: str) -> None:
    AssignmentFactory(customer=value)

    [found] = export(crm, Assignment)

    assert found["customer"] == f"'{value}"


@pytest.mark.parametrize("value", ['a,"b"\n;c', "ÄÖ😀", "'=1"])
def test_whatever_is_in_it_comes_out_as_it_was(crm: StaffClient, value: str) -> None:
    AssignmentFactory(customer=value)

    [found] = export(crm, Assignment)

    assert found["customer"] == value == safe(value)


def test_what_is_not_understood_is_not_exported_nor_logged(crm: StaffClient) -> None:
    here = list_of(Assignment, state__exact="NOPE")

    answer = crm.client.post(here, {"export": "csv"}, follow=True)

    assert "Nothing was exported: the list says why." in answer.content.decode()
    assert "“NOPE” is nothing to choose" in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_codes_stay_here(crm: StaffClient) -> None:
    AssignmentFactory(unique_code="SECRET-CODE", reward=None)

    [found] = export(crm, Assignment)

    assert "SECRET-CODE" not in str(found)


def test_who_exported_what_is_kept_before_a_row_leaves(crm: StaffClient) -> None:
    crm.client.post(list_of(Assignment, state__exact="HELD"), {"export": "csv"})

    entry = LogEntry.objects.get()
    assert entry.user == crm.user
    assert entry.change_message == "Exported as CSV: State: Needs review"


def test_who_may_not_is_offered_nothing_and_gets_nothing(support: StaffClient) -> None:
    AssignmentFactory()

    assert "as CSV" not in support.text(list_of(Assignment))
    answer = support.client.post(list_of(Assignment), {"export": "csv"})
    assert answer.status_code == 403
    assert LogEntry.objects.get().action_flag == AuditKind.REFUSED


def test_a_list_that_is_no_sheet_is_none(operations: StaffClient) -> None:
    answer = operations.client.post("/admin/executions/execution/", {"export": "csv"})

    assert answer.status_code == 403


def test_a_large_one_is_read_by_key_in_parts_and_held_in_no_memory(db: None) -> None:
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

    assert count == 3 * csv_export.AT_A_TIME + 2  # the headings, and the first row
    assert len(made) == 5
    assert not any("OFFSET" in query["sql"] for query in made)
    assert most < 12 * 1024 * 1024


def test_the_auditor_sees_who_did_what_and_may_do_nothing(
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
def test_the_log_is_not_for_everyone(who: str, request: pytest.FixtureRequest) -> None:
    staff: StaffClient = request.getfixturevalue(who)

    assert staff.get(list_of(LogEntry)).status_code == 403
