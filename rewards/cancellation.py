"""
Taking back what a cancelled execution owes.

It is stopped at once: nothing of it can be claimed. Its rows follow some thousands at a
time, as a million of them in the transaction that reads the vendor's notice would
outlast the job that reads it.
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
# Seconds a job goes on, so that others get their turn.
TURN = 8.0


def begin(execution: Execution, *, by: Any = None) -> None:
    """Take back the first of it, which usually is all, in the cancelling transaction."""
    cancel_assignments(
        Assignment.objects.filter(execution=execution), by=by, most=BATCH_SIZE
    )


def follow() -> None:
    """Take back what is left, for one turn."""
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
    """Whether something of a cancelled execution may be left."""
    return unfinished().exists()


def unfinished() -> QuerySet[Collection]:
    """Collections of cancelled executions that were not looked through to the end."""
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
