from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet

from executions.models import Execution, ExecutionStop


def lock_shared(execution: int | QuerySet[Any]) -> ExecutionStop:
    """
    Return whether the execution is stopped, and keep it so until this transaction ends.

    `execution` is its key, or a query that selects the key. Code that changes rewards
    calls this first: a stop is then seen by all work that begins after it, and no
    execution is settled while rewards of it are changed. Executions are locked before any
    other row.
    """
    return _stop_of(execution, "SHARE")


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


def _stop_of(execution: int | QuerySet[Any], lock: str) -> ExecutionStop:
    keys = execution if isinstance(execution, QuerySet) else [execution]
    rows = Execution.objects.filter(pk__in=keys).values_list("stop")
    sql, params = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FOR {lock}", params)
        return ExecutionStop(cursor.fetchone()[0])
