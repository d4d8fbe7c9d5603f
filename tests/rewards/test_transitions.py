"""`mark_owed` decides by the state of each row when the row is locked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from executions.models import ExecutionStop
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from rewards.transitions import mark_owed
from tests.factories import AssignmentFactory

TIMEOUT = "The platform did not answer in time."


def owe(**changes: Any) -> None:
    with transaction.atomic():
        mark_owed(
            Assignment.objects.all(), stop=ExecutionStop.NONE, why="Again.", **changes
        )


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["ACTIVATING", "UNCERTAIN", "HELD", "VOID"])
@pytest.mark.parametrize(
    ("difference", "reason", "problem"),
    [
        ("OWNER", "", AssignmentDifference.OWNER.problem),
        ("REWARD", "", AssignmentDifference.REWARD.problem),
        ("", AssignmentReason.DIFFERS, TIMEOUT),
    ],
)
def test_a_row_with_a_difference_needs_review_instead_of_becoming_pending(
    state: AssignmentState, difference: str, reason: str, problem: str
) -> None:
    row = AssignmentFactory(
        state=state, difference=difference, reason=reason, problem=TIMEOUT
    )

    owe()

    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
    if state != AssignmentState.HELD:
        assert (row.reason, row.problem) == (AssignmentReason.DIFFERS, problem)


@pytest.mark.django_db
@pytest.mark.parametrize("difference", ["OWNER", "REWARD"])
def test_a_row_compared_with_optimove_becomes_pending(difference: str) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, difference=difference)

    owe(difference="")

    row.refresh_from_db()
    assert (row.state, row.difference) == (AssignmentState.OWED, "")
