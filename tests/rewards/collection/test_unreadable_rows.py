"""A row that cannot be stored needs review alone; the page with it is stored."""

from __future__ import annotations

import json

import pytest
from pytest_django import Settings

from executions.lifecycle import open_execution
from rewards.collection import collect
from rewards.models import Assignment, AssignmentReason, AssignmentState, Collection
from tests.promoportal.wire import raw_server
from tests.rewards.collection import customer_lists
from tests.world import World

GOOD = {
    "assignmentId": "A%s",
    "customerId": "C%s",
    "promotionId": "promo-1",
    "status": "Assigned",
    "reward": customer_lists.REWARD,
}
# JSON of a value, and where it is in the row.
BAD = {
    "an amount beyond numeric": ('"value": 10', '"value": 100000000000000'),
    "an exponent": ('"value": 10', '"value": 1e400'),
    "a tiny amount": ('"value": 10', '"value": 1e-900'),
    "zero with an exponent": ('"value": 10', '"value": 0e-900'),
    "many digits": ('"value": 10', '"value": ' + "9" * 4000),
    "NaN": ('"value": 10', '"value": NaN'),
    "a negative amount": ('"value": 10', '"value": -1'),
    "NUL in an id": ('"C1"', '"C\\u00001"'),
    "a surrogate in an id": ('"C1"', '"C\\ud8001"'),
    "a long customer": ('"C1"', '"' + "C" * 201 + '"'),
    "a long assignment": ('"A1"', '"' + "A" * 201 + '"'),
    "a long promotion": ('"promo-1"', '"' + "p" * 201 + '"'),
    "a long currency": ('"EUR"', '"' + "E" * 201 + '"'),
    "a long status": ('"Assigned"', '"' + "S" * 201 + '"'),
    "NUL in a name": ('"status"', '"x\\u0000y": 1, "status"'),
    "a late time": ('"status"', '"assignedAt": "9999-12-31T23:59:59Z", "status"'),
    "an early time": ('"status"', '"assignedAt": "0001-01-01T00:00:00Z", "status"'),
    "deep nesting": ('"status"', '"properties": ' + "[" * 90 + "]" * 90 + ', "status"'),
}


def row(number: int) -> str:
    return json.dumps(GOOD).replace("%s", str(number))


@pytest.mark.parametrize("kind", BAD)
def test_a_row_that_cannot_be_stored_needs_review_alone(
    world: World, settings: Settings, kind: str
) -> None:
    bad = row(1).replace(*BAD[kind])
    assert bad != row(1)
    rows = ", ".join([row(0), bad, row(2)])
    page = f'{{"occurrenceId": 7311, "assignments": [{rows}]}}'
    with raw_server.serving(
        raw_server.saying(raw_server.answer(page.encode()))
    ) as server:
        settings.OPTIMOVE_PROMOTIONS_URL = server.address
        open_execution("7311")
        collect.collect()

    assert not Collection.objects.get().problem
    others = Assignment.objects.filter(customer__in=["C0", "C2"])
    assert {each.state for each in others} == {AssignmentState.OWED}
    (unreadable,) = Assignment.objects.exclude(pk__in=others)
    assert (unreadable.state, unreadable.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNREADABLE,
    )
    assert unreadable.problem.endswith(".")
