"""
The job that fetches assignments from Optimove and stores them.

The calls change nothing at Optimove. A page that is stored again changes no assignment.
No call is made inside a transaction, and no call exceeds Optimove's rate limit.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count as counting

from django.db import DataError, IntegrityError
from django.db.models import Exists, OuterRef, Q, QuerySet

from executions.models import Execution, ExecutionProgress, Trigger, TriggerState
from promoportal import wire
from promoportal.db.leases import due
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Page, Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.optimove.throttle import Throttled, throttled_call
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Side
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget
from rewards.collection import (
    fetch_runs,
    ingest,
    lookup_failures,
    triggered_lookup,
)
from rewards.collection.triggered_lookup import CustomerQuery
from rewards.models import Collection, CollectionState

# Seconds after which a job begins no further call, so that other jobs can run.
TURN = 5.0

_UNFINISHED = Q(state__in=[CollectionState.WAITING, CollectionState.COLLECTING])

logger = logging.getLogger("rewards.collecting")


def collect() -> None:
    """
    Fetch due assignments, and begin no further call after `TURN` seconds.

    Calls for lists and for triggered customers alternate: a list may have a million
    rows, and new customers may be triggered without a pause.
    """
    budget = TimeBudget(TURN)
    # The first kind is random, because one call may take the whole turn.
    turns = counting(random.randrange(2))  # noqa: S311 - not a secret
    with Promotions.from_settings() as client, suppress(Throttled):
        for turn in turns:
            triggered = turn % 2 == 0
            execution = due_executions(triggered_first=triggered).first()
            if execution is None or budget.is_spent():
                return
            collect_from(execution, client, list_first=not triggered)
            if triggered:
                _look_up_parts(execution, client, budget)


def _look_up_parts(
    execution: Execution, client: Promotions, budget: TimeBudget
) -> None:
    """
    If the look-up failed and was divided, look up its parts at once.

    If one customer was the cause, a part succeeds. Otherwise, the circuit breaker
    could see only the first failures of many executions, each with such a customer.
    """
    for _ in range(lookup_failures.MAX_FAILURES):
        if budget.is_spent() or not lookup_failures.is_divided(execution):
            return
        collect_from(execution, client)


def collect_from(
    execution: Execution,
    client: Promotions,
    priority: Priority = Priority.COLLECTING,
    *,
    list_first: bool = False,
) -> None:
    """
    Make the next call for an execution, and store the response.

    Do nothing if the assignment fetch is leased, not due, or needs review.

    :raises Throttled: if Optimove must not be called now
    """
    with fetch_runs.acquired(execution.pk) as collection:
        if collection is None:
            return
        crash_points.at(Point.COLLECTING_TAKEN)
        with suppress(LostRace):
            _step(collection, client, priority, list_first=list_first)
            return
        logger.info("collecting.lost_race", extra={"execution": execution.pk})


def is_due() -> bool:
    """Return whether an execution is due, and the circuit breaker permits calls."""
    return not circuit_breaker.is_open(Side.VENDOR) and due_executions().exists()


def due_executions(*, triggered_first: bool = True) -> QuerySet[Execution]:
    """Return due executions, with triggered customers or with due lists first."""
    free = fetch_runs.free().filter(execution=OuterRef("pk"))
    waiting = Trigger.objects.filter(
        due(), execution=OuterRef("pk"), state=TriggerState.WAITING
    )
    unsettled = Execution.objects.exclude(state=ExecutionProgress.SETTLED)
    listed = Exists(free.filter(_UNFINISHED, due()))
    found = unsettled.annotate(asked=Exists(waiting) & Exists(free), listed=listed)
    first = "-asked" if triggered_first else "-listed"
    return found.filter(Q(asked=True) | Q(listed=True)).order_by(first, "?")


def _step(
    collection: Collection, client: Promotions, priority: Priority, *, list_first: bool
) -> None:
    listed = Collection.objects.filter(_UNFINISHED, due(), pk=collection.pk).exists()
    query = triggered_lookup.next_query(
        collection.execution, most=client.customers_per_call
    )
    if listed and (list_first or query is None):
        _fetch_page(collection, client, priority)
    elif query is not None:
        _look_up(collection, client, query, priority)


def _fetch_page(collection: Collection, client: Promotions, priority: Priority) -> None:
    with _failures_recorded(collection, fetch_runs.fail):
        with throttled_call(priority):
            fetch_runs.begin(collection)
            page = client.assignments(
                collection.execution.reference, cursor=collection.cursor or None
            )
        crash_points.at(Point.COLLECTING_ANSWERED)
        ingest.store(collection, page, fetch_runs.advance)
        crash_points.at(Point.COLLECTING_SAVED)


def _look_up(
    collection: Collection, client: Promotions, query: CustomerQuery, priority: Priority
) -> None:
    is_suspect = lookup_failures.is_suspect(query, collection)
    with _failures_recorded(collection, partial(lookup_failures.record, query)):
        with throttled_call(priority, is_suspect=is_suspect):
            page = client.assignments(
                collection.execution.reference,
                customers=query.customers,
                cursor=query.cursor,
            )
        crash_points.at(Point.ASKING_ANSWERED)
        ingest.store(collection, page, query.conclude)


Fail = Callable[[Collection, wire.WireError], bool]
"""A function that records a failed call, and returns whether to check the limits."""


@contextmanager
def _failures_recorded(collection: Collection, fail: Fail) -> Iterator[None]:
    """Record a failed call, and a response that cannot be stored."""
    try:
        yield
    except wire.WireError as error:
        _fail(collection, error, fail)
    except (DataError, IntegrityError) as error:
        _fail(collection, wire.Malformed(f"It cannot be stored: {error}"), fail)


def _fail(
    collection: Collection, error: wire.WireError, fail: Fail = fetch_runs.fail
) -> None:
    """Record a failed call, unless another worker has the assignment fetch now."""
    empty = Page(collection.execution.reference, None, (), None, None)
    with suppress(LostRace):
        ingest.store(collection, empty, lambda locked, *_: fail(locked, error))
