from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet

from executions.models import Execution, ExecutionStop


def lock_shared(execution: int | QuerySet[Any]) -> ExecutionStop:
    """
    Lock the execution for share until the transaction ends, and return its `stop`.

    `execution` is a key, or a query that selects the key. Transactions that add,
    activate or cancel assignments lock the execution first, before any other row. So
    work that begins after a change of `stop` was committed reads the new value. No
    execution becomes `SETTLED` while such a transaction runs.
    """
    return _stop_of(execution, "SHARE")


def lock_exclusive(execution_pk: int) -> ExecutionStop:
    """
    Lock the execution for update, for transactions that may change its row.

    Two transactions that have the shared lock and both change the row would deadlock.
    """
    return _stop_of(execution_pk, "NO KEY UPDATE")


def seized(execution: Execution) -> Execution:
    """Lock the execution for update, and return it with its current `stop`."""
    execution.stop = lock_exclusive(execution.pk)
    return execution


def _stop_of(execution: int | QuerySet[Any], lock: str) -> ExecutionStop:
    keys = execution if isinstance(execution, QuerySet) else [execution]
    rows = Execution.objects.filter(pk__in=keys).values_list("stop")
    sql, params = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FOR {lock}", params)
        found = cursor.fetchone()
    # After a failover, a worker may still have the key of an execution that is missing
    # in this database. Nothing of it may be sent.
    return ExecutionStop(found[0]) if found else ExecutionStop.CANCELLED
