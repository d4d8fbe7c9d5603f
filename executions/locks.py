from __future__ import annotations

from django.db import connection

from executions.models import Execution, ExecutionStop


def lock_shared(execution_pk: int) -> ExecutionStop:
    """
    Lock the execution for share until the transaction ends, and return its `stop`.

    Every transaction that activates, adds or cancels assignments calls this first. All
    work that begins after a committed stop sees the stop, and no execution is settled
    while work on it is in flight. Executions are locked before any other row.
    """
    return _stop_of(execution_pk, "SHARE")


def lock_exclusive(execution_pk: int) -> ExecutionStop:
    """
    Lock the execution for update, for transactions that may change its row.

    Two that hold the shared lock and then both change the row would deadlock.
    """
    return _stop_of(execution_pk, "NO KEY UPDATE")


def seized(execution: Execution) -> Execution:
    """Lock the execution for update, refresh its `stop`, and return it."""
    execution.stop = lock_exclusive(execution.pk)
    return execution


def _stop_of(execution_pk: int, strength: str) -> ExecutionStop:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT stop FROM executions_execution WHERE id = %s FOR {strength}",  # noqa: S608
            [execution_pk],
        )
        return ExecutionStop(cursor.fetchone()[0])
