"""Data migrations change the right rows, in batches of any size."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.factories import AssignmentFactory

fill_difference = import_module("rewards.migrations.0018_fill_difference")
OWNER = "Optimove lists another customer or promotion than before."
REWARD = "Optimove lists another reward than before."


@pytest.mark.django_db
@pytest.mark.parametrize("batch_size", [1, 2, 5000])
@pytest.mark.parametrize(
    ("reason", "problem", "difference"),
    [
        (AssignmentReason.DIFFERS, OWNER, "OWNER"),
        (AssignmentReason.DIFFERS, REWARD, "REWARD"),
        (AssignmentReason.REFUSED, f"The account is closed. {OWNER}", "OWNER"),
        (AssignmentReason.REPEATED, f"A second one. {REWARD}", "REWARD"),
        (AssignmentReason.REFUSED, f"Closed. {REWARD} {OWNER}", "OWNER"),
        (AssignmentReason.DIFFERS, OWNER.replace("Optimove", "The vendor"), "OWNER"),
        (AssignmentReason.REFUSED, REWARD.replace("Optimove", "The vendor"), "REWARD"),
        (AssignmentReason.DIFFERS, "A timeout wrote over it.", "REWARD"),
        (AssignmentReason.REFUSED, "The account is closed.", ""),
        ("", "", ""),
    ],
)
def test_the_difference_is_derived_from_the_sentence_and_the_reason(
    reason: str, problem: str, difference: str, batch_size: int
) -> None:
    state = AssignmentState.HELD if reason else AssignmentState.OWED
    rows = AssignmentFactory.create_batch(
        3, state=state, reason=reason, problem=problem
    )
    other = AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED, problem="Closed."
    )

    fill_difference.fill(apps, None, batch_size)

    found = dict(Assignment.objects.values_list("pk", "difference"))
    assert found == {row.pk: difference for row in rows} | {other.pk: ""}


@pytest.mark.django_db
def test_the_previous_release_can_store_rows_without_the_column() -> None:
    """During an upgrade, both releases use the new table."""
    row = AssignmentFactory()
    columns = [
        field.column
        for field in Assignment._meta.concrete_fields
        if field.name not in {"id", "difference"}
    ]
    listed = ", ".join(f'"{column}"' for column in columns)
    again = listed.replace('"reference"', "'again'").replace('"key"', "NULL")
    again = again.replace('"customer"', "'another'")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO rewards_assignment ({listed})"  # noqa: S608 - our own columns
            f" SELECT {again} FROM rewards_assignment WHERE id = {row.pk}"
        )

    assert Assignment.objects.get(reference="again").difference == ""
