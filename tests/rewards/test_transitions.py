"""One function makes rows owed, by what each row is when it is locked."""

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
def test_what_differs_is_held_and_not_owed(
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
def test_what_was_compared_is_owed(difference: str) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, difference=difference)

    owe(difference="")

    row.refresh_from_db()
    assert (row.state, row.difference) == (AssignmentState.OWED, "")
