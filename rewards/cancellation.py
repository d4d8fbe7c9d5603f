"""
Cancellation of the rewards of cancelled executions.

The status of the execution changes first, so that no worker claims its rows. The rows
are then cancelled in batches. One transaction for a million rows would take longer than
a job may run.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from executions.locks import lock_shared
from executions.models import Execution, ExecutionStop, ExecutionTransition
from promoportal.runtime.time_budget import TimeBudget
from rewards.models import Assignment, Collection
from rewards.transitions import cancel_assignments, has_cancellable

BATCH_SIZE = 5000
# Seconds after which a job begins no further batch, so that other jobs can run.
TURN = 8.0


def begin(execution: Execution, *, by: Any = None) -> None:
    """Cancel the first batch of rows, in the transaction that cancels the execution."""
    cancel_assignments(
        Assignment.objects.filter(execution=execution), by=by, most=BATCH_SIZE
    )


def follow() -> None:
    """Cancel further rows of cancelled executions; begin no batch after `TURN` s."""
    budget = TimeBudget(TURN)
    for collection in unfinished():
        while not budget.is_spent():
            if not _cancel_some(collection.execution):
                # If no row was changed, other workers may have locked the last rows.
                rows = Assignment.objects.filter(execution=collection.execution_id)
                if not has_cancellable(rows):
                    same = Collection.objects.filter(pk=collection.pk)
                    same.update(taken_back=True)
                break


def is_due() -> bool:
    """Return whether a cancelled execution may have rows that are not cancelled."""
    return unfinished().exists()


def unfinished() -> QuerySet[Collection]:
    """Return each `Collection` whose cancelled execution may have rows to cancel."""
    cancelled = Collection.objects.filter(execution__stop=ExecutionStop.CANCELLED)
    return cancelled.filter(taken_back=False).select_related("execution")


def _cancel_some(execution: Execution) -> int:
    with transaction.atomic():
        lock_shared(execution.pk)
        rows = Assignment.objects.filter(execution=execution)
        free = rows.select_for_update(skip_locked=True, no_key=True)
        return cancel_assignments(free, by=_who_cancelled(execution), most=BATCH_SIZE)


def _who_cancelled(execution: Execution) -> Any:
    moves = ExecutionTransition.objects.filter(
        row=execution, after=ExecutionStop.CANCELLED
    )
    move = moves.select_related("by").order_by("pk").last()
    return move.by if move else None
