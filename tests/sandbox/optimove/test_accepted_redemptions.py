from __future__ import annotations

from typing import Any

import pytest

from promoportal import sandbox
from tests.sandbox.callers import Operator, redemption_of


@pytest.fixture
def occurrence(box: sandbox.SandboxHandle) -> str:
    return box.execute(customers=10, eligible=1)


@pytest.fixture
def rows(operator: Operator, occurrence: str) -> list[dict[str, Any]]:
    return operator.listed(occurrence)


def test_a_repeated_report_is_a_duplicate(
    box: sandbox.SandboxHandle,
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
) -> None:
    redemption = redemption_of(rows[0], occurrence)

    first = operator.redeem(redemption)
    again = operator.redeem(redemption | {"redeemedAt": "2026-01-15T11:00:00Z"})

    assert (first.status_code, first.json()) == (200, {"status": "Accepted"})
    assert (again.status_code, again.json()) == (200, {"status": "Duplicate"})
    assert [one.customer for one in box.redemptions] == [rows[0]["customerId"]]
    assert box.books().vendor.duplicates == 1


def test_a_batch_is_accepted_whole(
    box: sandbox.SandboxHandle,
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
) -> None:
    answer = operator.redeem_all([redemption_of(row, occurrence) for row in rows])

    assert answer.json() == {"accepted": 10, "rejected": []}
    assert len(box.redemptions) == 10


def test_a_batch_is_accepted_except_for_refused_items(
    box: sandbox.SandboxHandle,
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
) -> None:
    batch: list[object] = [redemption_of(row, occurrence) for row in rows]
    batch[3] = redemption_of(rows[3], occurrence, assignmentId="never")
    batch[5] = "not a redemption"

    answer = operator.redeem_all(batch).json()

    assert answer["accepted"] == 8
    assert [(no["index"], no["code"]) for no in answer["rejected"]] == [
        (3, "UnknownAssignment"),
        (5, "Invalid"),
    ]
    assert len(box.redemptions) == 8


def test_a_duplicate_counts_as_accepted_in_a_batch(
    box: sandbox.SandboxHandle,
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
) -> None:
    batch = [redemption_of(row, occurrence) for row in rows]
    operator.redeem_all(batch)

    again = operator.redeem_all(batch)

    assert again.json() == {"accepted": 10, "rejected": []}
    assert len(box.redemptions) == 10
    assert box.books(occurrence).vendor.duplicates == 10


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"occurrenceId": "404"}, "UnknownAssignment"),
        ({"customerId": "C404"}, "UnknownAssignment"),
        ({"promotionId": "promo-404"}, "UnknownAssignment"),
        ({"assignmentId": "404"}, "UnknownAssignment"),
        ({"assignmentId": None}, "Invalid"),
        ({"reference": ""}, "Invalid"),
        ({"reference": True}, "Invalid"),
        ({"redeemedAt": "yesterday"}, "Invalid"),
        ({"redeemedAt": "2026-01-15T10:05:00"}, "Invalid"),
    ],
)
def test_an_invalid_report_is_refused_with_a_code(
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
    changes: dict[str, object],
    code: str,
) -> None:
    answer = operator.redeem(redemption_of(rows[0], occurrence, **changes))

    assert answer.status_code == 400
    assert answer.json()["code"] == code


def test_a_row_that_is_not_assigned_cannot_be_redeemed(
    box: sandbox.SandboxHandle,
    operator: Operator,
    occurrence: str,
    rows: list[dict[str, Any]],
) -> None:
    box.change(occurrence, rows[0]["assignmentId"], status="Cancelled")

    answer = operator.redeem(redemption_of(rows[0], occurrence))

    assert answer.json()["code"] == "NotAssigned"


def test_an_assignment_is_redeemed_under_one_reference_only(
    operator: Operator, occurrence: str, rows: list[dict[str, Any]]
) -> None:
    operator.redeem(redemption_of(rows[0], occurrence))

    again = operator.redeem(redemption_of(rows[0], occurrence))

    assert again.json()["code"] == "AlreadyRedeemed"


def test_a_reference_belongs_to_one_redemption_only(
    operator: Operator, occurrence: str, rows: list[dict[str, Any]]
) -> None:
    operator.redeem(redemption_of(rows[0], occurrence, reference="once"))

    again = operator.redeem(redemption_of(rows[1], occurrence, reference="once"))

    assert again.json()["code"] == "ReferenceReused"


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_has_at_least_one_and_at_most_a_thousand(
    operator: Operator, occurrence: str, rows: list[dict[str, Any]], count: int
) -> None:
    batch = [redemption_of(rows[0], occurrence) for _ in range(count)]

    assert operator.redeem_all(batch).status_code == 400


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"[" * 100_000])
@pytest.mark.parametrize("path", ["redemptions", "redemptions/batch"])
def test_a_body_that_is_not_a_report_is_refused(
    box: sandbox.SandboxHandle, operator: Operator, path: str, body: bytes
) -> None:
    answer = operator.session.post(
        f"{box.promotions_url}/v1/{path}",
        data=body,
        headers={"X-API-KEY": box.api_key, "Content-Type": "application/json"},
        timeout=5,
    )

    assert answer.status_code == 400
