"""
Fetching what customers were assigned: whole lists page by page, triggered ones gathered.

Asking is always safe, and a page stored twice changes nothing. No call is made while a
transaction is open, and none that the vendor's limit would refuse.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from itertools import count as counting

from django.db import DataError, IntegrityError
from django.db.models import Exists, OuterRef, Q, QuerySet

from executions.models import Execution, ExecutionProgress, Trigger, TriggerState
from promoportal import optimove, wire
from promoportal.db.leases import Lease, due
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Page, Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.optimove.throttle import UNAUTHORIZED, Throttled, throttled_call
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Side
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget
from rewards.collection import fetch_runs, triggered_lookup
from rewards.models import AssignmentReason, Collection, CollectionState

# Seconds a job goes on, so that others on its queue get their turn.
TURN = 5.0
# Seconds until a vendor that refuses our configuration is asked again.
CLOSED = 10.0

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
    Make the next call for an execution and store what it brings, if nobody else does.

    :raises NotNow: if the vendor is not to be called now
    """
    held = fetch_runs.acquire_lease(execution.pk)
    if held is None:
        return
    crash_points.at(Point.COLLECTING_TAKEN)
    collection, lease = held
    try:
        _step(collection, lease, client, priority, list_first=list_first)
    except LostRace:
        logger.info("collecting.lost_race", extra={"execution": execution.pk})
    except wire.WireError as error:
        _follow(collection, error)
    except (DataError, IntegrityError) as error:
        _follow(collection, wire.Malformed(f"It cannot be stored: {error}"))
    finally:
        fetch_runs.release_lease(collection, lease)


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
    collection: Collection,
    lease: Lease,
    client: Promotions,
    priority: Priority,
    *,
    list_first: bool,
) -> None:
    listed = Collection.objects.filter(_UNDER_WAY, due(), pk=collection.pk).exists()
    question = triggered_lookup.gather(
        collection.execution, most=client.customers_per_call
    )
    if listed and (list_first or not question):
        _fetch(collection, lease, client, priority)
    elif question:
        _ask(collection, lease, client, question, priority)


def _ask(
    collection: Collection,
    lease: Lease,
    client: Promotions,
    question: triggered_lookup.CustomerQuery,
    priority: Priority,
) -> None:
    try:
        pages = _answer(collection.execution.reference, client, question, priority)
    except optimove.CursorRefused:
        raise
    except wire.Rejected as error:
        if len(question.customers) == 1:
            triggered_lookup.refuse(question, str(error))
            return
        for half in question.halves():
            _ask(collection, lease, client, half, priority)
    else:
        crash_points.at(Point.ASKING_ANSWERED)
        triggered_lookup.save(collection, question, pages, lease=lease)


def _answer(
    occurrence: str,
    client: Promotions,
    question: triggered_lookup.CustomerQuery,
    priority: Priority,
) -> list[Page]:
    """Every page of it, before any is stored: a customer may be on several."""
    pages: list[Page] = []
    while not pages or pages[-1].next_cursor:
        if len(pages) > fetch_runs.MAX_PAGES_WITHOUT_NEW_ROWS:
            raise wire.Malformed("Optimove's pages run in a circle.")
        cursor = pages[-1].next_cursor if pages else None
        with throttled_call(priority):
            page = client.assignments(
                occurrence, customers=question.customers, cursor=cursor
            )
        pages.append(page)
    return pages


def _fetch(
    collection: Collection, lease: Lease, client: Promotions, priority: Priority
) -> None:
    with throttled_call(priority):
        fetch_runs.begin(collection)
        page = client.assignments(
            collection.execution.reference, cursor=collection.cursor or None
        )
    crash_points.at(Point.COLLECTING_ANSWERED)
    fetch_runs.save(collection, page, lease=lease)
    crash_points.at(Point.COLLECTING_SAVED)


def _follow(collection: Collection, error: wire.WireError) -> None:
    """Try later, begin again, or hold it for a person."""
    collection.refresh_from_db()
    match error:
        case optimove.CursorRefused():
            fetch_runs.restart(collection, str(error))
        case wire.Misconfigured() if error.status == UNAUTHORIZED:
            fetch_runs.postpone(collection, CLOSED, problem=str(error))
        case wire.Rejected():
            fetch_runs.hold(collection, AssignmentReason.REFUSED, str(error))
        case wire.Malformed() if collection.malformed + 1 >= fetch_runs.MAX_MALFORMED:
            fetch_runs.hold(collection, AssignmentReason.MALFORMED, str(error))
        case wire.Malformed():
            count = collection.malformed + 1
            fetch_runs.fail(collection, str(error), None, malformed=count)
        case _:
            retry_after = getattr(error, "retry_after", None)
            fetch_runs.fail(collection, str(error), retry_after)
