"""
Cancel the rewards of cancelled executions.

The execution stops at once, and none of its rows can be claimed. The rows follow in
batches, because one transaction with a million rows would take longer than the job that
reads Optimove's notification may run.
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
# Seconds that a job runs, so that other jobs of the queue can run.
TURN = 8.0


def begin(execution: Execution, *, by: Any = None) -> None:
    """Cancel the first batch, usually all rows, in the cancelling transaction."""
    cancel_assignments(
        Assignment.objects.filter(execution=execution), by=by, most=BATCH_SIZE
    )


def follow() -> None:
    """Cancel remaining rows of cancelled executions, for up to `TURN` seconds."""
    budget = TimeBudget(TURN)
    for collection in unfinished():
        while not budget.is_spent():
            if not _cancel_some(collection.execution):
                # Other workers may still have the last rows locked.
                rows = Assignment.objects.filter(execution=collection.execution_id)
                if not has_cancellable(rows):
                    same = Collection.objects.filter(pk=collection.pk)
                    same.update(taken_back=True)
                break


def is_due() -> bool:
    """Return whether rows of a cancelled execution may remain."""
    return unfinished().exists()


def unfinished() -> QuerySet[Collection]:
    """Return collections of cancelled executions with rows that may remain."""
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
