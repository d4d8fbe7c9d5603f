"""
One run over an execution's list: requested, leased, advanced page by page, finished.

One worker at a time holds an execution's collection, by a lease. A page's rows and the
cursor of the next are saved together, the cursor by compare-and-set, so that a crash
resumes and a worker that was thought dead saves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from executions.models import Execution
from promoportal import optimove, wire
from promoportal.db import state_machine
from promoportal.db.bulk import Columns
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import RELEASED, Lease, due, unleased
from promoportal.optimove import Page
from promoportal.optimove.throttle import UNAUTHORIZED
from promoportal.resilience.backoff import backoff_seconds
from rewards import signals
from rewards.collection.ingest import Stored
from rewards.models import Assignment, AssignmentReason, Collection, CollectionState

# Twice what a call can take: a worker that is gone holds a list up no longer.
LEASE = 30.0
# Seconds to wait after a failure; the last for ever after.
BACKOFF = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900)
# Three days of them.
GIVE_UP_AFTER = 300
# Seconds until Optimove is asked again after it refused our key.
WAIT_UNAUTHORIZED = 10.0
# Seconds until a list that was empty is asked for again; then a person looks.
EMPTY_WAITS = (60, 5 * 60, 15 * 60, 60 * 60)
MAX_RESTARTS = 3
# Seconds until a list that was not whole is read again: it may be written still.
RESTART_WAITS = (5, 20, 60)
MAX_MALFORMED = 8
# Whole lists in a row, each unlike the one before, until the last one stands as it is.
MAX_RECHECKS = 5
# How often a worker may die with it before a person looks.
MAX_CRASHES = 5
# Pages in a row with nothing new on them: Optimove's cursor runs in a circle.
MAX_PAGES_WITHOUT_NEW_ROWS = 20
# All is there, as far as Optimove says; whoever is listed late is looked for later.
AWAITING_RECHECK = Q(state=CollectionState.WAITING, looks__gt=0, failures=0)

_COUNTERS = ("failures", "malformed", "restarts", "empties", "looks", "deaths")
_AFRESH: dict[str, Any] = {
    **dict.fromkeys(_COUNTERS, 0),
    "reason": "",
    "problem": "",
    "not_before": Now(),
}


def request_run(
    execution: Execution, *, by: Any = None, why: str = "It was announced."
) -> None:
    """Request the whole list: now, or once more after the run under way."""
    with transaction.atomic():
        rows = _row_of(execution)
        at_rest = rows.exclude(state=CollectionState.COLLECTING)
        if not state_machine.move_all(
            at_rest, CollectionState.WAITING, by=by, why=why, **_AFRESH
        ):
            # The running run continues at once, and another one follows it. A queued run
            # starts now. `looks` starts from 0, as Optimove may list customers late.
            running = rows.filter(state=CollectionState.COLLECTING)
            running.update(again=True, not_before=Now())
            queued = rows.filter(state=CollectionState.WAITING)
            queued.update(not_before=Now(), looks=0)
        signals.collecting.send(Execution)


def resume(execution: Execution) -> None:
    """
    Start to collect for customers who triggered, also where the collection was held.

    A list that was held before it was whole begins again.
    """
    why = "A customer triggered it."
    with transaction.atomic():
        held = _row_of(execution).filter(state=CollectionState.HELD)
        whole = held.filter(number=F("finished"))
        state_machine.move_all(whole, CollectionState.IDLE, why=why, **_AFRESH)
        state_machine.move_all(held, CollectionState.WAITING, why=why, **_AFRESH)
        signals.collecting.send(Execution)


def _row_of(execution: Execution) -> QuerySet[Collection]:
    """Return the execution's collection, made when it is first needed."""
    Collection.objects.get_or_create(execution=execution)
    return Collection.objects.filter(execution=execution)


@contextmanager
def acquired(execution_pk: int) -> Iterator[Collection | None]:
    """
    Hold the execution's collection by a lease, if it is free and due; else yield None.

    Its `token` is the lease's for as long as it is held.
    """
    token = Lease(LEASE).token
    rows = free().filter(execution=execution_pk)
    # Counted now and taken back when it is released: only deaths stay counted.
    rows.update(
        lease_until=seconds_from_now(LEASE), token=token, deaths=F("deaths") + 1
    )
    ours = Collection.objects.filter(execution=execution_pk, token=token)
    collection = ours.select_related("execution").first()
    try:
        if collection and collection.deaths > MAX_CRASHES:
            problem = "Collecting it killed the worker, repeatedly."
            _write(collection, _hold(AssignmentReason.POISON, problem, {}))
            yield None
        else:
            yield collection
    finally:
        ours.update(**RELEASED, deaths=0)


def free() -> QuerySet[Collection]:
    """Return collections nobody holds that are due, or that rest between two looks."""
    rows = Collection.objects.filter(unleased()).exclude(state=CollectionState.HELD)
    return rows.filter(due() | AWAITING_RECHECK)


def begin(collection: Collection) -> None:
    """
    Begin the run that was requested, or go on with the one under way.

    :raises LostRace: if someone else holds the collection
    """
    if collection.state != CollectionState.WAITING:
        return
    ours = Collection.objects.filter(
        pk=collection.pk, token=collection.token, state=collection.state
    )
    changes = {"again": False, **_from_the_start(collection)}
    if not state_machine.move_all(
        ours, CollectionState.COLLECTING, why="A pass begins.", **changes
    ):
        raise state_machine.LostRace(f"{collection} is held by someone else.")
    collection.refresh_from_db(fields=["state", "number", "cursor"])


def advance(collection: Collection, page: Page, stored: Stored) -> bool:
    """
    Move a run on past a stored page; return whether the limits are to be checked now.

    The collection is locked by the caller.
    """
    is_as_before = not page.next_cursor and _is_as_before(collection, stored.fresh)
    pause = settings.LIST_AGAIN_AFTER.total_seconds()
    return _write(
        collection,
        next_step(
            collection, page, stored.fresh, pause=pause, is_as_before=is_as_before
        ),
    )


def fail(collection: Collection, error: wire.WireError) -> bool:
    """
    Record that a call failed; return whether the limits are to be checked now.

    The collection is locked by the caller.
    """
    return _write(collection, step_after_error(collection, error))


@dataclass(frozen=True)
class Step:
    """
    What follows a page or a failed call: columns, a move, seconds to wait.

    `ends` says that what the run assigned is to be given, if the limits allow.
    """

    changes: Columns
    to: CollectionState | None = None
    why: str = ""
    wait: float | None = None
    ends: bool = False


def next_step(
    run: Collection, page: Page, fresh: int, *, pause: float, is_as_before: bool
) -> Step:
    """
    Decide what follows a page: the next one, the run's end, or the run once more.

    `fresh` counts rows that the run had not seen. `pause` are the seconds until a whole
    list is read once more; 0: it is not. `is_as_before` says that the list before had
    the very same rows.
    """
    kept = _after_page(run, page, fresh)
    circular = bool(page.next_cursor) and page.next_cursor == run.cursor
    if circular or kept["barren"] >= MAX_PAGES_WITHOUT_NEW_ROWS:
        problem = "Optimove's pages run in a circle."
        return _hold(AssignmentReason.MALFORMED, problem, kept)
    if page.next_cursor:
        return Step(kept)
    seen, total = kept["seen"], kept["total"]
    if not seen and not total:
        return _found_nobody(run, kept)
    if total is not None and seen < total:
        problem = f"Optimove lists {seen} rows and says there are {total}."
        return _restart(run, problem, kept)
    is_last = not pause or is_as_before or run.looks + 1 >= MAX_RECHECKS
    return _finish(run, kept, None if is_last else pause)


def _after_page(run: Collection, page: Page, fresh: int) -> dict[str, Any]:
    return {
        "pages": run.pages + 1,
        "seen": run.seen + fresh,
        "barren": 0 if fresh else run.barren + 1,
        "total": run.total if page.total is None else page.total,
        "cursor": page.next_cursor or "",
        "failures": 0,
        "malformed": 0,
        "problem": "",
    }


def _found_nobody(run: Collection, kept: Columns) -> Step:
    if run.empties >= len(EMPTY_WAITS):
        problem = "Optimove lists nobody for this execution."
        return _hold(AssignmentReason.EMPTY, problem, kept)
    return Step(
        {**kept, "empties": run.empties + 1},
        CollectionState.WAITING,
        "Optimove lists nobody yet.",
        EMPTY_WAITS[run.empties],
    )


def _finish(run: Collection, kept: Columns, pause: float | None) -> Step:
    """
    Finish a whole list. The run that was requested in the meantime follows, or one more
    look some time later, until two in a row are alike: by its own total a list is whole
    also while a row is still to come, or is left out this once.
    """
    seen, pages = kept["seen"], kept["pages"]
    to = CollectionState.DONE if pause is None else CollectionState.WAITING
    return Step(
        {
            **kept,
            "finished": run.number,
            "restarts": 0,
            "empties": 0,
            "looks": 0 if run.again else run.looks + 1,
            "seen_before": seen,
        },
        CollectionState.WAITING if run.again else to,
        f"Pass {run.number} saw {seen:,} {'row' if seen == 1 else 'rows'}"
        f" on {pages:,} {'page' if pages == 1 else 'pages'}.",
        None if run.again else pause,
        ends=True,
    )


def step_after_error(run: Collection, error: wire.WireError) -> Step:
    """Decide what follows a call that failed: later, from the start, or for staff."""
    problem, malformed = str(error), run.malformed + isinstance(error, wire.Malformed)
    match error:
        case optimove.CursorRefused():
            return _restart(run, problem, {})
        case wire.Misconfigured() if error.status == UNAUTHORIZED:
            return Step({"problem": problem}, wait=WAIT_UNAUTHORIZED)
        case wire.Rejected():
            return _hold(AssignmentReason.REFUSED, problem, {})
        case wire.Malformed() if malformed >= MAX_MALFORMED:
            return _hold(AssignmentReason.MALFORMED, problem, {})
        case _ if run.failures >= GIVE_UP_AFTER:
            return _hold(AssignmentReason.GIVEN_UP, problem, {})
    failures = run.failures + 1
    return Step(
        {"failures": failures, "malformed": malformed, "problem": problem},
        wait=backoff_seconds(BACKOFF, failures, error.retry_after),
    )


def _restart(run: Collection, problem: str, kept: Columns) -> Step:
    """
    Begin the run again: what is stored stays, so that this costs only time.

    After the last time, what was listed is given.
    """
    if run.restarts >= MAX_RESTARTS:
        return replace(_hold(AssignmentReason.INCOMPLETE, problem, kept), ends=True)
    restarts = run.restarts + 1
    changes = {**kept, **_from_the_start(run), "restarts": restarts, "problem": problem}
    return Step(changes, wait=backoff_seconds(RESTART_WAITS, restarts))


def _from_the_start(run: Collection) -> dict[str, Any]:
    zeros = {"pages": 0, "seen": 0, "barren": 0}
    return {**zeros, "number": run.number + 1, "cursor": "", "total": None}


def _hold(reason: AssignmentReason, problem: str, kept: Columns) -> Step:
    changes = {**kept, "reason": reason, "problem": problem}
    return Step(changes, CollectionState.HELD, problem)


def _write(locked: Collection, step: Step) -> bool:
    changes = dict(step.changes)
    if step.wait is not None:
        changes["not_before"] = seconds_from_now(step.wait)
    if step.to is not None:
        locked.move(step.to, why=step.why, **changes)
    else:
        Collection.objects.filter(pk=locked.pk).update(**changes)
    return step.ends


def _is_as_before(run: Collection, fresh: int) -> bool:
    """Return whether the run listed the very rows that the whole list before had."""
    if not run.looks or run.seen + fresh != run.seen_before:
        return False
    left_out = Assignment.objects.filter(
        execution=run.execution_id, listed_pass=run.finished
    )
    return not left_out.exists()
