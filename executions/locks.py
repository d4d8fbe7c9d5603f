from __future__ import annotations

from django.db import connection

from executions.models import Execution, ExecutionStop


def lock_shared(execution_pk: int) -> ExecutionStop:
    """
    Whether the execution is stopped, and keep it so until this transaction ends.

    Whoever gives, owes or voids looks here first, so that a stop that was granted is
    seen by all that begins after it, and nothing is settled over work on its way.
    Executions are locked before any other row.
    """
    return _stop_of(execution_pk, "SHARE")


def lock_exclusive(execution_pk: int) -> ExecutionStop:
    """
    The same for whoever may go on to move the execution itself: two that share it and
    then both want to change it would wait for each other.
    """
    return _stop_of(execution_pk, "NO KEY UPDATE")


def seized(execution: Execution) -> Execution:
    """The execution, seized, and stopped or not as it is by now."""
    execution.stop = lock_exclusive(execution.pk)
    return execution


def _stop_of(execution_pk: int, lock: str) -> ExecutionStop:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT stop FROM executions_execution WHERE id = %s FOR {lock}",  # noqa: S608
            [execution_pk],
        )
        return ExecutionStop(cursor.fetchone()[0])
