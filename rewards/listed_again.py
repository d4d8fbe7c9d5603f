"""A row as the present contract file reads what Optimove listed last."""

from __future__ import annotations

from typing import Any

from executions.models import ExecutionStop
from promoportal import optimove
from promoportal.db.bulk_result import SkipKind, SkipReason
from promoportal.optimove import Meaning
from rewards import limits
from rewards.collection import evaluation, identification
from rewards.models import Assignment, AssignmentState

STORED_TWICE = SkipReason(
    SkipKind.OTHER_OWNER,
    "the same assignment is stored under its own ID: write this one off",
)


def read(
    row: Assignment, stop: ExecutionStop, *confirmed: str
) -> evaluation.Listed | None:
    """
    Read the row that Optimove listed last again, with the present contract file.

    Return None if another stored row is this assignment.
    """
    vendor_row = optimove.reread(row.as_assigned)
    terms = evaluation.Terms(
        row.execution, stop, limits.current(), frozenset(confirmed)
    )
    [found] = evaluation.evaluate_page([vendor_row], terms)
    return identification.identify_stored(row, found)


def identify(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """
    Give a row without a key its owner and its key, or else it could not be reported.

    Such a row had invalid data when it was listed. Return why this is not possible.
    """
    if row.key:
        return None
    listed = read(row, stop)
    if listed is None:
        return STORED_TWICE
    if listed.row.problem:
        what = "it cannot be read, so that its activation could not be reported"
        return SkipReason(SkipKind.UNREADABLE, f"{what}. {listed.row.problem}")
    owner, _ = listed.owner_columns(row)
    columns = {**listed.columns, **owner, **identity(listed)}
    take_over(row, columns, evaluation.Verdict(AssignmentState.HELD))
    row.refresh_from_db()
    return None


def identity(listed: evaluation.Listed) -> dict[str, Any]:
    """Return the columns of the row's assignment ID."""
    conflict = {"difference": listed.conflict} if listed.conflict else {}
    return {"reference": listed.row.reference, **conflict}


def take_over(
    row: Assignment, columns: dict[str, Any], verdict: evaluation.Verdict
) -> None:
    """Store the new values of the row; stop its execution if a limit is exceeded."""
    before = [row] if limits.is_counted(row) else []
    now = [columns] if columns["meaning"] == Meaning.ACTIVATE else []
    limits.admit(row.execution, now, instead_of=before)
    is_over = limits.hold_if_over(row.execution)
    columns |= {"order": None, "cleared": row.cleared and not is_over}
    if verdict.reason:
        columns |= {"reason": verdict.reason, "problem": verdict.problem}
    Assignment.objects.filter(pk=row.pk).update(**columns)
