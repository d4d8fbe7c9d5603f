"""Untrusted content: pages show it unchanged and escaped."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from executions.models import Delivery
from promoportal.admin.formatting import MAX_LENGTH
from promoportal.admin.links import list_of, page_of
from rewards.models import Assignment, AssignmentState
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
    ReportFactory,
    TriggerFactory,
)
from tests.staff_client import StaffClient

SCRIPT = "<script>alert('hello')</script>"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(b'{"a": [1]}', '{\n  "a": [\n    1\n  ]\n}', id="JSON"),
        pytest.param(b"hello", "This is not JSON.", id="text"),
        pytest.param(b"", "(empty)", id="nothing"),
        pytest.param(b"null", "null", id="null"),
        pytest.param(b"\xff\xfe\x00", "These bytes are not UTF-8.", id="bytes"),
        pytest.param(b"\xff\xfe\x00", r"\xff\xfe\x00", id="bytes, visibly"),
        pytest.param(b"a\x00b", r"a\x00b", id="NUL"),
        pytest.param(b'"\\ud800"', r"\ud800", id="lone surrogate"),
        pytest.param(b"[" * 100_000, "[[[[", id="nested"),
        pytest.param(b"9" * 5000, "9999", id="long number"),
        pytest.param(b"[Infinity]", "Infinity", id="infinity"),
        pytest.param("ü€😀".encode(), "ü€😀", id="beyond ASCII"),
    ],
)
def test_a_payload_of_any_content_can_be_shown(
    body: bytes, shown: str, support: StaffClient
) -> None:
    delivery = DeliveryFactory(body=body)

    support.do("reveal", delivery)

    assert shown in support.page(delivery)
    assert delivery in support.list(type(delivery))


def test_a_long_payload_is_cut_and_the_page_says_so(support: StaffClient) -> None:
    delivery = DeliveryFactory(body=b"x" * 1024 * 1024)
    support.do("reveal", delivery)

    page = support.page(delivery)

    assert "Only the first 65,536 characters are shown." in page
    assert len(page) < MAX_LENGTH + 50_000


def test_only_the_page_that_shows_a_payload_reads_it(operations: StaffClient) -> None:
    row = DeliveryFactory(execution=ExecutionFactory(), state="HELD")

    with CaptureQueriesContext(connection) as captured:
        operations.list(Delivery)
        operations.do("read_again", row)
        operations.page(row.listener)
        assert row.execution
        operations.page(row.execution)
        operations.page(row)
        operations.do("reveal", row)
    assert not [said for said in captured if '"body"' in said["sql"]]

    assert '"CampaignID": 1000' in operations.page(row)


def test_markup_in_external_data_is_escaped_on_every_page(
    superuser: StaffClient,
) -> None:
    execution = ExecutionFactory(reference=SCRIPT, problem=SCRIPT, stop="HELD")
    delivery = DeliveryFactory(
        body=json.dumps({"a": SCRIPT}).encode(),
        content_type=SCRIPT,
        verdict={"from": SCRIPT},
        problem=SCRIPT,
        state="HELD",
        execution=execution,
    )
    plain = DeliveryFactory(body=SCRIPT.encode())
    broken = DeliveryFactory(body=b"\xff" + SCRIPT.encode())
    trigger = TriggerFactory(customer=SCRIPT, execution=execution, delivery=delivery)
    assignment = AssignmentFactory(
        execution=execution,
        customer=SCRIPT,
        reference=SCRIPT,
        state=AssignmentState.HELD,
        problem=SCRIPT,
        vendor_status=SCRIPT,
        as_assigned={SCRIPT: SCRIPT},
        reward={"value": SCRIPT, "type": SCRIPT, "tier": SCRIPT},
        order={SCRIPT: SCRIPT},
        unique_code=SCRIPT,
        receipt=SCRIPT,
    )
    AttemptFactory(assignment=assignment, answer=SCRIPT)
    report = ReportFactory(answer=SCRIPT)
    redemption = RedemptionFactory(assignment=assignment, problem=SCRIPT, report=report)
    assignment.transitions.create(after="HELD", why=SCRIPT)

    for each in (delivery, plain, broken):
        superuser.do("reveal", each)
    rows: list[Model] = [execution, delivery, plain, broken]
    rows += [trigger, assignment, redemption, report]
    for row in rows:
        for address in (page_of(row), list_of(type(row))):
            answer = superuser.get(address).content.decode()
            assert SCRIPT not in answer
            assert "alert(&#x27;hello&#x27;)" in answer or "report/" in address


def test_markup_in_a_reason_is_escaped_on_the_confirmation_page(
    operations: StaffClient,
) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, customer=SCRIPT)

    answer = operations.post("write_off", row, why=SCRIPT)

    assert SCRIPT not in answer.content.decode()
    operations.do("write_off", row, why=SCRIPT)
    for address in ("/admin/", page_of(row), page_of(row).replace("change", "history")):
        assert SCRIPT not in operations.get(address).content.decode()


def test_no_page_has_an_inline_script_or_style(operations: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, doubtful=True)
    asked = operations.post("given", row).content.decode()
    pages = [
        operations.text(address)
        for address in ("/admin/", list_of(Assignment), page_of(row))
    ]

    for page in [asked, *pages]:
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param('{"error": "closed"}', id="JSON"),
        pytest.param(r'"{\"error\": \"closed\"}"', id="JSON in a string of JSON"),
    ],
)
def test_json_in_a_response_is_formatted(crm: StaffClient, answer: str) -> None:
    problem = f"The platform answered 422: {answer}"
    held = AssignmentFactory(
        state=AssignmentState.HELD, reason="REFUSED", problem=problem
    )
    assignment = AssignmentFactory(state=AssignmentState.ACTIVE)
    report = ReportFactory(answer=answer)
    row = RedemptionFactory(
        assignment=assignment,
        state="HELD",
        reason="REFUSED",
        problem=f"Optimove answered 422: {answer}",
        report=report,
    )

    for page in (row, report, assignment, held):
        shown = crm.page(page)
        assert '<pre>{\n  "error": "closed"\n}</pre>' in shown
        assert r"\"error" not in shown
    assert "Rejected by Optimove. Optimove answered 422: <pre>" in crm.page(row)


@pytest.mark.parametrize(
    "words", ["No words.", 'It is "closed".', '422: {"error": "cl']
)
def test_a_response_that_is_not_json_is_shown_unchanged(
    crm: StaffClient, words: str
) -> None:
    assignment = AssignmentFactory(state=AssignmentState.ACTIVE)
    report = ReportFactory(answer=words)
    row = RedemptionFactory(
        assignment=assignment,
        state="HELD",
        reason="REFUSED",
        problem=words,
        report=report,
    )

    assert f"Rejected by Optimove. {words}" in crm.page(row)
    assert f"<pre>{words}</pre>" in crm.page(report)
