"""The page of an assignment: the answer first, then the details."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from executions.models import ExecutionStop
from promoportal import platforms
from promoportal.admin.links import list_of, page_of
from promoportal.dashboard import customers
from redemptions.models import Redemption, RedemptionState
from rewards import redaction
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    ExecutionFactory,
    RedemptionFactory,
    ReportFactory,
)
from tests.staff_client import StaffClient

CODE = "SUMMER/2026 7F3A"
KEY = UUID("5eed0000-0000-4000-8000-000000000001")


def answer(staff: StaffClient, row: Assignment) -> str:
    """Return the text at the top of the page of an assignment."""
    panel = staff.get(page_of(row)).context["panels"][-1]
    assert panel.is_wide
    return " ".join(panel.sentences)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"state": AssignmentState.OWED}, "The customer does not have it yet."),
        ({"state": AssignmentState.OWED, "doubtful": True}, "Nobody knows yet whether"),
        ({"state": AssignmentState.ACTIVATING}, "Nobody knows yet whether"),
        (
            {"state": AssignmentState.UNCERTAIN, "doubtful": True},
            "Nobody knows yet whether",
        ),
        ({"state": AssignmentState.HELD, "doubtful": True}, "Nobody knows yet whether"),
        ({"state": AssignmentState.HELD}, "The customer does not have it yet."),
        ({"state": AssignmentState.ACTIVE}, "The customer has it."),
        ({"state": AssignmentState.VOID}, "The customer does not get it."),
    ],
)
def test_the_page_first_says_if_the_customer_has_the_reward(
    crm: StaffClient, row: dict[str, object], says: str
) -> None:
    assert says in answer(crm, AssignmentFactory(**row))


def test_the_page_says_the_reason_and_the_next_step(crm: StaffClient) -> None:
    at = timezone.now() + timedelta(minutes=5)
    held = AssignmentFactory(
        state=AssignmentState.HELD,
        reason=AssignmentReason.REFUSED,
        problem="The account is closed.",
    )
    owed = AssignmentFactory(state=AssignmentState.OWED, failures=2, not_before=at)
    paused = AssignmentFactory(
        state=AssignmentState.OWED,
        execution=ExecutionFactory(stop=ExecutionStop.PAUSED),
    )

    assert "Request rejected. The account is closed. Mend at the" in answer(crm, held)
    assert "it is tried again. Not before" in answer(crm, owed)
    assert f"{at:%H:%M:%S}" in answer(crm, owed)
    assert "Its execution is stopped: somebody resumes it" in answer(crm, paused)


def test_an_activated_reward_is_stated_once(crm: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=row, state=RedemptionState.REPORTED)

    said = answer(crm, row)

    assert said.count("The customer has it.") == 1
    assert "Optimove knows it; nothing is left to do." in said


def test_the_page_shows_its_parts_in_order(support: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE, order={"customer": "C1"})
    AttemptFactory(assignment=row)
    RedemptionFactory(
        assignment=row, state=RedemptionState.REPORTED, report=ReportFactory()
    )
    support.do("reveal", row)

    page = support.page(row)

    parts = [
        *("The customer has it.", "What Optimove said", "What we made of it"),
        *("What happened", "Activate request, attempt", "<h2>Redemption</h2>"),
    ]
    at = [page.index(part) for part in parts]
    assert at == sorted(at)


def test_each_attempt_shows_its_request_and_response(crm: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE, key=KEY)
    AttemptFactory(
        assignment=row,
        outcome=Attempt.Outcome.UNANSWERED,
        status=502,
        duration_ms=31,
        answer="Bad <gateway>",
    )
    AttemptFactory(
        assignment=row,
        kind=Attempt.Kind.LOOK_UP,
        outcome=Attempt.Outcome.NOT_FOUND,
        status=None,
    )

    page = crm.get(page_of(row)).content.decode()

    assert (
        f"<code>POST /rewards</code> The body above, under the key <code>{KEY}" in page
    )
    assert "No response, effect unknown, HTTP 502, 31 ms." in page
    assert "<pre>Bad &lt;gateway&gt;</pre>" in page
    assert f"<code>GET /rewards/{KEY}</code>" in page


def test_an_attempt_that_was_not_sent_shows_no_request(crm: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    AttemptFactory(assignment=row, outcome=Attempt.Outcome.NOT_SENT, status=None)

    page = crm.get(page_of(row)).content.decode()

    assert "<dt>Sent</dt><dd>Nothing</dd>" in page
    assert "POST /rewards" not in page


class Letters:
    """A platform adapter that does not describe its requests."""


def test_an_adapter_without_request_lines_shows_the_key(
    crm: StaffClient, settings: Settings
) -> None:
    settings.PLATFORM_ADAPTER = f"{__name__}.Letters"
    row = AssignmentFactory(state=AssignmentState.ACTIVE, key=KEY)
    for kind in Attempt.Kind:
        AttemptFactory(assignment=row, kind=kind)

    page = crm.get(page_of(row)).content.decode()

    assert platforms.asks(Attempt.Kind.ACTIVATE, KEY) == ""
    assert f"<dd>The body above, under the key <code>{KEY}" in page
    assert f"A question about the key <code>{KEY}" in page


def test_the_report_shows_optimoves_response(crm: StaffClient) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE)
    report = ReportFactory(duration_ms=88, answer="Taken, thank you.")
    RedemptionFactory(assignment=row, state=RedemptionState.REPORTED, report=report)

    page = crm.page(row)

    assert "Accepted, HTTP 200, 88 ms." in page
    assert "<pre>Taken, thank you.</pre>" in page
    assert page_of(report) in page


def test_the_customer_links_to_the_page_of_the_customer(crm: StaffClient) -> None:
    named, nameless = (AssignmentFactory(customer=customer) for customer in ("C/1", ""))

    assert f'href="{customers.page_of("C/1")}"' in crm.page(named)
    assert "(not readable)" in crm.page(nameless)


AS_JSON = json.dumps({"No such code": CODE}).replace("/", "\\/")


@pytest.mark.parametrize(
    "said",
    [
        f"No such code: {CODE}!",
        "No such code: SUMMER/2026%207F3A!",
        AS_JSON,
        AS_JSON.replace("S", "\\u0053"),
        json.dumps(AS_JSON),
        json.dumps(AS_JSON.replace("S", "\\u0053")),
    ],
)
def test_a_code_in_a_response_is_masked_on_every_page(
    crm: StaffClient, said: str
) -> None:
    row = AssignmentFactory(
        customer="C1",
        state=AssignmentState.HELD,
        reason=AssignmentReason.REFUSED,
        problem=said,
        unique_code=CODE,
        receipt=said,
    )
    row.transitions.create(before="ACTIVATING", after="HELD", why=said)
    AttemptFactory(assignment=row, outcome=Attempt.Outcome.REFUSED, answer=said)
    report = ReportFactory(answer=said)
    redemption = RedemptionFactory(assignment=row, problem=said, report=report)

    lists = [list_of(model) for model in (Assignment, Redemption)]
    pages = [page_of(each) for each in (row, redemption, report)]
    for address in (*lists, *pages, "/admin/customers/C1/"):
        page = crm.text(address)
        assert "••••7F3A" in page, address
        assert "UMMER" not in page, address


def test_a_code_is_masked_where_a_list_shortens_the_text(crm: StaffClient) -> None:
    AssignmentFactory(
        state=AssignmentState.HELD,
        problem=f"{'x' * 92} {CODE} is spent.",
        unique_code=CODE,
    )

    assert "SUMMER" not in crm.text(list_of(Assignment))


def test_a_text_too_short_to_be_a_code_is_not_masked() -> None:
    row = Assignment(unique_code="a")

    assert redaction.redact_code("a sentence", row) == "a sentence"
