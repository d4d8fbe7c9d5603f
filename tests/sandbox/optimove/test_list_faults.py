"""Faults of lists: they change while they are read, or are reported wrongly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from promoportal import sandbox
from promoportal.sandbox import Fault
from tests.sandbox.callers import Operator

LIST = "v1/customerAssignments"


def list_fault(kind: str, **more: Any) -> Fault:
    return Fault(kind=kind, side="promotions", **more)


def customers(operator: Operator, occurrence: str) -> Counter[str]:
    rows = operator.listed(occurrence, pageSize=2)
    return Counter(row["customerId"] for row in rows)


@pytest.fixture
def occurrence(box: sandbox.SandboxHandle) -> str:
    for number in range(1, 6):
        box.assign("7311", f"C{number}", assignment_id=f"A{number}")
    return "7311"


def test_a_list_that_shifts_up_misses_a_row(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str
) -> None:
    box.order(list_fault("shifted_up", seconds=60))

    found = customers(operator, occurrence)

    assert found == {"C1": 1, "C2": 1, "C4": 1, "C5": 1}


def test_a_shifted_row_returns_to_its_place(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str
) -> None:
    box.order(list_fault("shifted_up", seconds=0))

    found = customers(operator, occurrence)

    assert len(box.rows(occurrence)) == 5
    assert found.total() >= 4
    assert list(customers(operator, occurrence)) == [f"C{n}" for n in range(1, 6)]


@pytest.mark.parametrize("kind", ["shifted_up", "listed_late"])
def test_an_unlisted_row_can_still_be_redeemed(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str, kind: str
) -> None:
    box.order(list_fault(kind, seconds=60))
    assert len(operator.listed(occurrence)) == 5 - (kind == "listed_late")
    away = "A1" if kind == "shifted_up" else "A5"

    assert len(box.rows(occurrence)) == 4
    redeemed = {
        "occurrenceId": 7311,
        "promotionId": "promo-17",
        "customerId": away.replace("A", "C"),
        "assignmentId": away,
        "redeemedAt": "2026-01-15T10:05:00Z",
        "reference": "r1",
    }
    assert operator.redeem(redeemed).json() == {"status": "Accepted"}


def test_a_list_that_shifts_down_repeats_a_row(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str
) -> None:
    box.order(list_fault("shifted_down", seconds=60))

    found = customers(operator, occurrence)

    assert found == {"C1": 1, "C2": 2, "C3": 1, "C4": 1, "C5": 1}


def test_a_late_row_is_listed_by_the_next_fetch(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str
) -> None:
    box.order(list_fault("listed_late", seconds=0))

    first = next(operator.pages(occurrence, pageSize=2))

    assert first["totalCount"] == 4
    assert customers(operator, occurrence).total() == 5


@pytest.mark.parametrize(("by", "total"), [(2, 7), (-1, 4), (-9, 0)])
def test_a_total_may_be_wrong(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str, by: int, total: int
) -> None:
    box.order(list_fault("wrong_total", by=by))

    first, second, *_ = operator.pages(occurrence, pageSize=2)

    assert (first["totalCount"], second["totalCount"]) == (total, 5)


def test_ids_may_change_between_number_and_text(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.assign("7311", 17, assignment_id="40")
    box.assign("7311", "C1", assignment_id="A1")
    box.order(list_fault("other_ids"))

    [page, *_] = operator.pages("7311")

    ids = [(row["assignmentId"], row["customerId"]) for row in page["assignments"]]
    assert ids == [(40, "17"), ("A1", "C1")]


def test_a_list_fault_strikes_only_lists_of_optimove(
    box: sandbox.SandboxHandle, operator: Operator, occurrence: str
) -> None:
    box.order(list_fault("shifted_up"))
    operator.redeem([])

    assert [fault.kind for fault in box.faults] == ["shifted_up"]
    with pytest.raises(ValueError, match="Unknown kind for platform"):
        Fault(kind="shifted_up", side="platform")


def test_a_list_fault_does_not_affect_a_missing_list(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(list_fault("shifted_up"))

    assert next(operator.pages("9"))["assignments"] == []
