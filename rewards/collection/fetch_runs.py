"""
Runs of an assignment fetch: request, begin, advance page by page, finish.

A lease ensures that only one worker at a time processes an execution's assignment
fetch. The rows of a page and the next cursor are saved in one transaction, if the
previous cursor and the lease token are unchanged. After a crash, the run resumes at the
saved cursor. A worker that lost its lease saves nothing.
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
from promoportal.db.leases import RELEASED, Lease, due, leased, unleased
from promoportal.optimove import Page
from promoportal.optimove.throttle import UNAUTHORIZED
from promoportal.resilience.backoff import backoff_seconds
from rewards import signals
from rewards.collection.ingest import Stored
from rewards.models import Assignment, AssignmentReason, Collection, CollectionState

# Duration of a lease in seconds, and of the wait after a crash: twice the longest call.
LEASE = 30.0
# Seconds to wait, by the number of failures in a row; the last value repeats.
BACKOFF = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900)
# Failures in a row before the list needs review: about three days.
GIVE_UP_AFTER = 300
# Seconds until the next call after Optimove rejected the API key.
WAIT_UNAUTHORIZED = 10.0
# Seconds until an empty list is fetched again. If it stays empty, it needs review.
EMPTY_WAITS = (60, 5 * 60, 15 * 60, 60 * 60)
MAX_RESTARTS = 3
# Seconds until an incomplete list is fetched again: Optimove may still be writing it.
RESTART_WAITS = (5, 20, 60)
MAX_MALFORMED = 8
# A list is accepted after this number of complete runs, even if it still changes.
MAX_RECHECKS = 5
# Crashes in a row with the same list before it needs review.
MAX_CRASHES = 5
# Pages in a row without a new row, after which Optimove's cursor counts as circular.
MAX_PAGES_WITHOUT_NEW_ROWS = 20
# Complete lists that are fetched again, because Optimove may list customers late.
AWAITING_RECHECK = Q(state=CollectionState.WAITING, looks__gt=0, failures=0)

_COUNTERS = ("failures", "malformed", "restarts", "empties", "looks", "deaths")
_RESET: dict[str, Any] = {
    **dict.fromkeys(_COUNTERS, 0),
    "reason": "",
    "problem": "",
    "not_before": Now(),
}


def request_run(
    execution: Execution, *, by: Any = None, why: str = "It was announced."
) -> None:
    """Request a run over the whole list, which begins now or after the current run."""
    with transaction.atomic():
        rows = _row_of(execution)
        idle = rows.exclude(state=CollectionState.COLLECTING)
        if not state_machine.move_all(
            idle, CollectionState.WAITING, by=by, why=why, **_RESET
        ):
            # After a run in progress, another run follows. A queued run starts now; its
            # rechecks count from 0 again, because Optimove may list customers late.
            running = rows.filter(state=CollectionState.COLLECTING)
            running.update(again=True, not_before=Now())
            queued = rows.filter(state=CollectionState.WAITING)
            queued.update(not_before=Now(), looks=0)
        signals.collecting.send(Execution)


def resume(execution: Execution) -> None:
    """
    Look up triggered customers, even if the assignment fetch needs review.

    If it needs review after an incomplete run, the whole list is fetched again.
    """
    why = "A customer triggered it."
    with transaction.atomic():
        held = _row_of(execution).filter(state=CollectionState.HELD)
        complete = held.filter(number=F("finished"))
        state_machine.move_all(complete, CollectionState.IDLE, why=why, **_RESET)
        state_machine.move_all(held, CollectionState.WAITING, why=why, **_RESET)
        signals.collecting.send(Execution)


def _row_of(execution: Execution) -> QuerySet[Collection]:
    """Return a query for the execution's `Collection`, which is created if missing."""
    Collection.objects.get_or_create(execution=execution)
    return Collection.objects.filter(execution=execution)


@contextmanager
def acquired(execution_pk: int) -> Iterator[Collection | None]:
    """
    Lease the execution's `Collection`; yield None if it is not free or crashes often.

    The row has the lease's `token` until this lease is released, or a later one begins.
    """
    lease = Lease(LEASE)
    rows = free().filter(execution=execution_pk)
    # A crash is counted in advance. If no crash happens, the release resets the count.
    rows.update(**leased(lease), deaths=F("deaths") + 1)
    own = Collection.objects.filter(execution=execution_pk, token=lease.token)
    collection = own.select_related("execution").first()
    try:
        if collection and collection.deaths > MAX_CRASHES:
            problem = "Collecting it killed the worker, repeatedly."
            _write(collection, _hold(AssignmentReason.POISON, problem, {}))
            yield None
        else:
            yield collection
    finally:
        own.update(**RELEASED, deaths=0)


def free() -> QuerySet[Collection]:
    """Return unleased collections, not in `HELD`, that are due or await a recheck."""
    rows = Collection.objects.filter(unleased()).exclude(state=CollectionState.HELD)
    return rows.filter(due() | AWAITING_RECHECK)


def begin(collection: Collection) -> None:
    """
    Begin the requested run, unless a run is in progress already.

    :raises LostRace: if another worker has the collection
    """
    if collection.state != CollectionState.WAITING:
        return
    same = Collection.objects.filter(
        pk=collection.pk, token=collection.token, state=collection.state
    )
    changes = {"again": False, **_from_the_start(collection)}
    if not state_machine.move_all(
        same, CollectionState.COLLECTING, why="A pass begins.", **changes
    ):
        raise state_machine.LostRace(f"{collection} is held by someone else.")
    collection.refresh_from_db(fields=["state", "number", "cursor"])


def advance(collection: Collection, page: Page, stored: Stored) -> bool:
    """
    Advance a run past a stored page; return whether to check the limits now.

    The caller must have locked the collection.
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
    Record a failed call; return whether to check the limits now.

    The caller must have locked the collection.
    """
    return _write(collection, step_after_error(collection, error))


def fail_look_up(collection: Collection, error: wire.WireError) -> None:
    """
    Record a failed look-up that no single customer seems to have caused.

    The caller must have locked the collection.
    """
    _write(collection, _retry(collection, error))


def restart_look_up(collection: Collection, restarts: int, problem: str) -> None:
    """Let the next look-up wait, after this number of restarts."""
    wait = backoff_seconds(RESTART_WAITS, restarts)
    _write(collection, Step({"problem": problem}, wait=wait))


@dataclass(frozen=True)
class Step:
    """
    The changes after a page or a failed call: columns, a new state, seconds to wait.

    `ends` means that the limits are to be checked now.
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
    Decide what follows a page: the next page, the end of the run, or a restart.

    `fresh` is the number of rows on the page that are new to the run. `pause` is the
    number of seconds until a complete list is fetched again; 0 turns this off.
    `is_as_before` means that the previous complete list had the same rows.
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
        return _found_no_rows(run, kept)
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


def _found_no_rows(run: Collection, kept: Columns) -> Step:
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
    Finish a run with a complete list, and queue the requested run or a recheck, if any.

    A list with the right total may still lack a row, if Optimove lists the row late or
    leaves it out once. So the list is fetched again until it does not change.
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
    """Decide what follows a failed call: a retry, a restart, or a review by staff."""
    match error:
        case optimove.CursorRefused():
            return _restart(run, str(error), {})
        case wire.Rejected():
            return _hold(AssignmentReason.REFUSED, str(error), {})
    return _retry(run, error)


def _retry(run: Collection, error: wire.WireError) -> Step:
    problem, malformed = str(error), run.malformed + isinstance(error, wire.Malformed)
    match error:
        case wire.Misconfigured() if error.status == UNAUTHORIZED:
            return Step({"problem": problem}, wait=WAIT_UNAUTHORIZED)
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
    Restart the run. After `MAX_RESTARTS` restarts, set it to `HELD` instead.

    Stored rows stay. Even in `HELD`, the rows can be activated if the limits allow it.
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
    """Return whether the run listed the same rows as the previous complete list."""
    if not run.looks or run.seen + fresh != run.seen_before:
        return False
    left_out = Assignment.objects.filter(
        execution=run.execution_id, listed_pass=run.finished
    )
    return not left_out.exists()
