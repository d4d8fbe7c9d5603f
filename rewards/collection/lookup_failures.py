"""
Failed look-ups of triggered customers: who waits, for how long, and who needs review.

One customer may be the cause, for example if Optimove answers 500 for them. So the
customers of a failed call are divided, until a single customer fails alone and waits
alone. If everything fails, Optimove is the cause, and the whole execution waits.
"""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from executions.models import Execution, ExecutionReason, Trigger, TriggerState
from promoportal import wire
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import due
from promoportal.optimove import CursorRefused
from promoportal.optimove.throttle import may_be_caused_by_rows
from promoportal.resilience.backoff import backoff_seconds
from rewards.collection import fetch_runs, triggered_lookup
from rewards.collection.triggered_lookup import CustomerQuery
from rewards.models import Collection

# Failures in a row of an execution's calls, after which Optimove counts as the cause.
# One customer causes two: after a failure, at least one half of the customers succeeds.
MAX_FAILURES = 2
# Failures in a row of a page after the first one, before its look-up is given up.
MAX_PAGE_FAILURES = 5


def is_suspect(query: CustomerQuery, collection: Collection) -> bool:
    """Return whether these customers failed before, and Optimove is not the cause."""
    is_part = query.batch_limit is not None and collection.failures < MAX_FAILURES
    return query.failures > 0 or is_part


def is_divided(execution: Execution) -> bool:
    """Return whether the last call failed, and its customers were divided."""
    failed = Collection.objects.filter(execution=execution, failures__gt=0)
    parts = Trigger.objects.filter(
        due(), execution=execution, state=TriggerState.WAITING, batch_limit__gt=0
    )
    return failed.exists() and parts.exists()


def record(query: CustomerQuery, collection: Collection, error: wire.WireError) -> bool:
    """
    Record a failed look-up; return whether to check the limits now.

    The caller must have locked the collection.
    """
    if isinstance(error, CursorRefused):
        return query.restart(collection, str(error))
    failures = collection.failures
    if not may_be_caused_by_rows(error) or _is_page_tried_again(query, failures):
        fetch_runs.fail_look_up(collection, error)
    elif len(query.waiting) == 1:
        _fail_alone(query, error)
        query.forget()
    elif failures < MAX_FAILURES or query.cursor is not None:
        _divide(query, collection, error)
        query.forget()
    else:
        fetch_runs.fail_look_up(collection, error)
        _separate_one(query)
    # The rows of stored pages must not wait for pages that are fetched much later.
    return query.lookup is not None


def _is_page_tried_again(query: CustomerQuery, failures: int) -> bool:
    """Return whether to try a later page again: the pages before it were paid for."""
    is_first_look_up = query.cursor is not None and query.batch_limit is None
    return is_first_look_up and failures + 1 < MAX_PAGE_FAILURES


def _divide(
    query: CustomerQuery, collection: Collection, error: wire.WireError
) -> None:
    """Let the next calls have half of the customers, after those who wait already."""
    half = (len(query.waiting) + 1) // 2
    query.still_waiting().update(batch_limit=half, not_before=Now())
    Collection.objects.filter(pk=collection.pk).update(
        failures=collection.failures + 1, problem=str(error)
    )


def _separate_one(query: CustomerQuery) -> None:
    """Let the next call have one customer, to find out whether all calls fail."""
    first, *_ = query.waiting
    query.still_waiting().exclude(pk=first[0]).update(not_before=Now())
    query.still_waiting().filter(pk=first[0]).update(batch_limit=1)


def _fail_alone(query: CustomerQuery, error: wire.WireError) -> None:
    failures = query.failures + 1
    if reason := _reason_to_hold(failures, error):
        triggered_lookup.hold(query, reason, str(error))
        return
    wait = backoff_seconds(fetch_runs.BACKOFF, failures, error.retry_after)
    changes: dict[str, Any] = {"failures": failures, "problem": str(error)}
    query.still_waiting().update(**changes, not_before=seconds_from_now(wait))


def _reason_to_hold(failures: int, error: wire.WireError) -> ExecutionReason | None:
    match error:
        case wire.Rejected():
            return ExecutionReason.REFUSED
        case wire.Malformed() if failures >= fetch_runs.MAX_MALFORMED:
            return ExecutionReason.MALFORMED
        case _ if failures > fetch_runs.GIVE_UP_AFTER:
            return ExecutionReason.GIVEN_UP
    return None
