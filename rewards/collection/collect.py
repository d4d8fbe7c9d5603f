"""
The job that fetches what customers were assigned: select a query, call Optimove, store.

Asking is always safe, and a page stored twice changes nothing. No call is made while a
transaction is open, and none that Optimove's limit would refuse.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from dataclasses import replace
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
from rewards.collection import fetch_runs, ingest, triggered_lookup
from rewards.collection.triggered_lookup import CustomerQuery
from rewards.models import Collection, CollectionState

# Seconds a job goes on, so that others on its queue get their turn.
TURN = 5.0

_UNDER_WAY = Q(state__in=[CollectionState.WAITING, CollectionState.COLLECTING])

logger = logging.getLogger("rewards.collecting")


def collect(*, priority: Priority = Priority.COLLECTING) -> None:
    """
    Collect what is due, for one turn: one call for one execution, then for another, so
    that a triggered customer never waits behind a list of a million, nor a list behind
    customers who never cease.
    """
    budget = TimeBudget(TURN)
    # Begun with either, or calls that take a whole turn would always be of one kind.
    turns = counting(random.randrange(2))  # noqa: S311 - nobody's secret
    with Promotions.from_settings() as client, suppress(Throttled):
        for turn in turns:
            asks = turn % 2 == 0
            execution = due_executions(triggered_first=asks).first()
            if execution is None or budget.is_spent():
                return
            collect_from(execution, client, priority, list_first=not asks)


def collect_from(
    execution: Execution,
    client: Promotions,
    priority: Priority,
    *,
    list_first: bool = False,
) -> None:
    """
    Make the next call for an execution and store the answer, if nobody else does.

    :raises Throttled: if Optimove is not to be called now
    """
    with fetch_runs.acquired(execution.pk) as collection:
        if collection is None:
            return
        crash_points.at(Point.COLLECTING_TAKEN)
        try:
            _step(collection, client, priority, list_first=list_first)
        except LostRace:
            logger.info("collecting.lost_race", extra={"execution": execution.pk})
        except wire.WireError as error:
            _fail(collection, error)
        except (DataError, IntegrityError) as error:
            _fail(collection, wire.Malformed(f"It cannot be stored: {error}"))


def is_due() -> bool:
    """Whether a job would find something to ask for."""
    return not circuit_breaker.is_open(Side.VENDOR) and due_executions().exists()


def due_executions(*, triggered_first: bool = True) -> QuerySet[Execution]:
    """Executions with something to collect right now, in turns."""
    free = fetch_runs.free().filter(execution=OuterRef("pk"))
    waiting = Trigger.objects.filter(
        due(), execution=OuterRef("pk"), state=TriggerState.WAITING
    )
    unsettled = Execution.objects.exclude(state=ExecutionProgress.SETTLED)
    listed = Exists(free.filter(_UNDER_WAY, due()))
    found = unsettled.annotate(asked=Exists(waiting) & Exists(free), listed=listed)
    first = "-asked" if triggered_first else "-listed"
    return found.filter(Q(asked=True) | Q(listed=True)).order_by(first, "?")


def _step(
    collection: Collection, client: Promotions, priority: Priority, *, list_first: bool
) -> None:
    listed = Collection.objects.filter(_UNDER_WAY, due(), pk=collection.pk).exists()
    query = triggered_lookup.next_query(
        collection.execution, most=client.customers_per_call
    )
    if listed and (list_first or query is None):
        _fetch_page(collection, client, priority)
    elif query is not None:
        _look_up(collection, client, query, priority)


def _fetch_page(collection: Collection, client: Promotions, priority: Priority) -> None:
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
    try:
        answer = _answer(collection.execution.reference, client, query, priority)
    except wire.Rejected as error:
        if len(query.customers) == 1:
            query.refuse(str(error))
            return
        for half in query.halves():
            _look_up(collection, client, half, priority)
    else:
        crash_points.at(Point.ASKING_ANSWERED)
        ingest.store(collection, answer, query.conclude)


def _answer(
    occurrence: str, client: Promotions, query: CustomerQuery, priority: Priority
) -> Page:
    """Return every page of an answer as one: a customer may be on several."""
    pages: list[Page] = []
    while not pages or pages[-1].next_cursor:
        if len(pages) > fetch_runs.MAX_PAGES_WITHOUT_NEW_ROWS:
            raise wire.Malformed("Optimove's pages run in a circle.")
        cursor = pages[-1].next_cursor if pages else None
        with throttled_call(priority):
            page = client.assignments(
                occurrence, customers=query.customers, cursor=cursor
            )
        pages.append(page)
    rows = tuple(row for page in pages for row in page.rows)
    return replace(pages[0], rows=rows, next_cursor=None)


def _fail(collection: Collection, error: wire.WireError) -> None:
    """Record that a call failed, as a page without rows, if the lease is still ours."""
    nothing = Page(collection.execution.reference, None, (), None, None)
    with suppress(LostRace):
        ingest.store(
            collection, nothing, lambda locked, *_: fetch_runs.fail(locked, error)
        )
