"""
One pass over an execution's list: asked for, begun, advanced page by page, finished.

One worker at a time holds an execution's collection, by a lease. A page's rows and the
cursor of the next are saved together, the cursor by compare-and-set, so that a crash
resumes and a worker that was thought dead saves nothing.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from executions import lifecycle
from executions.models import Execution
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import Lease, due, unleased
from promoportal.optimove import Page
from promoportal.resilience.backoff import backoff_seconds
from rewards import limits, signals
from rewards.collection import ingest
from rewards.models import Assignment, AssignmentReason, Collection, CollectionState

# Twice what a call can take: a worker that is gone holds a list up no longer.
LEASE = 30.0
# Seconds to wait after a failure; the last for ever after.
BACKOFF = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900)
# Three days of them.
GIVE_UP_AFTER = 300
# Seconds until a list that was empty is asked for again; then a person looks.
EMPTY_WAITS = (60, 5 * 60, 15 * 60, 60 * 60)
MAX_RESTARTS = 3
# Seconds until a list that was not whole is read anew: it may be written still.
RESTART_WAITS = (5, 20, 60)
MAX_MALFORMED = 8
# Whole lists in a row, each unlike the one before, until the last one stands as it is.
MAX_RECHECKS = 5
# How often a worker may die with it before a person looks.
MAX_CRASHES = 5
# Pages in a row with nothing new on them: the vendor's cursor runs in a circle.
MAX_PAGES_WITHOUT_NEW_ROWS = 20
# All is there, as far as the vendor says; whoever is listed late is looked for later.
AWAITING_RECHECK = Q(state=CollectionState.WAITING, looks__gt=0, failures=0)

_AFRESH: dict[str, Any] = {
    "reason": "",
    "problem": "",
    "not_before": Now(),
    "failures": 0,
    "malformed": 0,
    "restarts": 0,
    "empties": 0,
    "looks": 0,
    "deaths": 0,
}
_FROM_THE_START: dict[str, Any] = {
    "number": F("number") + 1,
    "cursor": "",
    "pages": 0,
    "seen": 0,
    "barren": 0,
    "total": None,
}


def request_run(
    execution: Execution, *, by: Any = None, why: str = "It was announced."
) -> None:
    """Ask for the whole list: now, or once more after the pass under way."""
    with transaction.atomic():
        rows = row_of(execution)
        at_rest = rows.exclude(state=CollectionState.COLLECTING)
        if not state_machine.move_all(
            at_rest, CollectionState.WAITING, by=by, why=why, **_AFRESH
        ):
            _hasten(rows)
        signals.collecting.send(Execution)


def _hasten(rows: QuerySet[Collection]) -> None:
    """
    A pass is asked for, or under way: it comes now, or another follows it at once. The
    looks count anew, since of what was said just now the vendor may list some later.
    """
    rows.filter(state=CollectionState.COLLECTING).update(again=True, not_before=Now())
    rows.filter(state=CollectionState.WAITING).update(not_before=Now(), looks=0)


def resume_held(execution: Execution, *, why: str) -> None:
    """Let a held collection be asked again; a list that was not whole begins anew."""
    held = row_of(execution).filter(state=CollectionState.HELD)
    whole = held.filter(number=F("finished"))
    state_machine.move_all(whole, CollectionState.IDLE, why=why, **_AFRESH)
    state_machine.move_all(held, CollectionState.WAITING, why=why, **_AFRESH)


def row_of(execution: Execution) -> QuerySet[Collection]:
    """The execution's collection, made when it is first needed."""
    Collection.objects.get_or_create(execution=execution)
    return Collection.objects.filter(execution=execution)


def acquire_lease(execution_pk: int) -> tuple[Collection, Lease] | None:
    """The collection, held by us alone for a while, if it is free and due."""
    lease = Lease(LEASE)
    # Counted now and taken back when it is handed back: only deaths stay counted.
    taken = (
        free()
        .filter(execution_id=execution_pk)
        .update(
            lease_until=seconds_from_now(LEASE),
            token=lease.token,
            deaths=F("deaths") + 1,
        )
    )
    if not taken:
        return None
    held = Collection.objects.select_related("execution")
    collection = held.get(execution_id=execution_pk)
    if collection.deaths > MAX_CRASHES:
        hold(
            collection,
            AssignmentReason.POISON,
            "Collecting it killed the worker, repeatedly.",
        )
        release_lease(collection, lease)
        return None
    return collection, lease


def free() -> QuerySet[Collection]:
    """Collections nobody holds, whose time has come, or that rest between two looks."""
    rows = Collection.objects.filter(unleased()).exclude(state=CollectionState.HELD)
    return rows.filter(due() | AWAITING_RECHECK)


def release_lease(collection: Collection, lease: Lease) -> None:
    """Let others take it."""
    ours = Collection.objects.filter(pk=collection.pk, token=lease.token)
    ours.update(lease_until=None, token=None, deaths=0)


def begin(collection: Collection) -> None:
    """Begin the pass that is asked for, or go on with the one under way."""
    if collection.state == CollectionState.WAITING:
        collection.move(
            CollectionState.COLLECTING,
            why="A pass begins.",
            again=False,
            **_FROM_THE_START,
        )


def save(collection: Collection, page: Page, *, lease: Lease) -> None:
    """
    Store a page and where the next begins, or neither.

    :raises state_machine.LostRace: if someone else holds the collection or moved its cursor
    """
    with transaction.atomic():
        stop = limits.look(collection.execution_id, ends=not page.next_cursor)
        locked = lock(collection, lease)
        if (locked.number, locked.cursor) != (collection.number, collection.cursor):
            raise state_machine.LostRace(f"{collection} has moved on.")
        lifecycle.name_campaign(locked.execution, page.series)
        listed = ingest.store(
            locked.execution, page.rows, listed_pass=locked.number, stop=stop
        )
        _advance(locked, page, listed.fresh)
    collection.refresh_from_db()


def lock(collection: Collection, lease: Lease) -> Collection:
    """
    The collection as it is now, and stays until this transaction ends.

    :raises state_machine.LostRace: if someone else holds it
    """
    ours = Collection.objects.select_for_update(of=["self"]).select_related("execution")
    locked = ours.filter(pk=collection.pk, token=lease.token).first()
    if locked is None:
        raise state_machine.LostRace(f"{collection} is held by someone else.")
    return locked


def answered(locked: Collection, fresh: int) -> None:
    """
    A question about some customers was answered, with so many rows that the pass under
    way had not seen: it has seen them now, and does not miss them on its pages.
    """
    seen = fresh if locked.state == CollectionState.COLLECTING else 0
    _update(locked, failures=0, malformed=0, problem="", seen=F("seen") + seen)


def restart(collection: Collection, problem: str) -> None:
    """Begin the pass again: what is stored stays, so that this costs only time."""
    if collection.restarts >= MAX_RESTARTS:
        hold(collection, AssignmentReason.INCOMPLETE, problem)
    else:
        _update(
            collection,
            restarts=F("restarts") + 1,
            problem=problem,
            not_before=seconds_from_now(
                backoff_seconds(RESTART_WAITS, collection.restarts + 1)
            ),
            **_FROM_THE_START,
        )


def postpone(collection: Collection, seconds: float, **changes: Any) -> None:
    """Nothing is wrong with it; not now."""
    _update(collection, not_before=seconds_from_now(seconds), **changes)


def fail(
    collection: Collection, problem: str, retry_after: float | None, **changes: Any
) -> None:
    """A call failed: later, and after days of it, never."""
    if collection.failures >= GIVE_UP_AFTER:
        hold(collection, AssignmentReason.GIVEN_UP, problem)
    else:
        seconds = backoff_seconds(BACKOFF, collection.failures + 1, retry_after)
        more = {"failures": F("failures") + 1, "problem": problem, **changes}
        postpone(collection, seconds, **more)


def hold(collection: Collection, reason: AssignmentReason, problem: str) -> None:
    """Nothing more happens by itself; a person looks at it."""
    collection.move(CollectionState.HELD, why=problem, reason=reason, problem=problem)


def _advance(locked: Collection, page: Page, fresh: int) -> None:
    """Move the cursor on, or end the pass."""
    changes = {
        "pages": F("pages") + 1,
        "seen": F("seen") + fresh,
        "barren": 0 if fresh else F("barren") + 1,
        "total": page.total if page.total is not None else F("total"),
        "cursor": page.next_cursor or "",
        "failures": 0,
        "malformed": 0,
        "problem": "",
    }
    circular = page.next_cursor and page.next_cursor == locked.cursor
    _update(locked, **changes)
    locked.refresh_from_db()
    if circular or locked.barren >= MAX_PAGES_WITHOUT_NEW_ROWS:
        hold(locked, AssignmentReason.MALFORMED, "Optimove's pages run in a circle.")
    elif not page.next_cursor:
        _end(locked)


def _end(locked: Collection) -> None:
    if not locked.seen and not locked.total:
        _found_nobody(locked)
    elif locked.total is not None and locked.seen < locked.total:
        problem = (
            f"Optimove lists {locked.seen} rows and says there are {locked.total}."
        )
        restart(locked, problem)
    else:
        _finish(locked)


def _found_nobody(locked: Collection) -> None:
    if locked.empties >= len(EMPTY_WAITS):
        hold(
            locked, AssignmentReason.EMPTY, "Optimove lists nobody for this execution."
        )
        return
    locked.move(
        CollectionState.WAITING,
        why="Optimove lists nobody yet.",
        empties=locked.empties + 1,
        not_before=seconds_from_now(EMPTY_WAITS[locked.empties]),
    )


def _finish(locked: Collection) -> None:
    rows = f"{locked.seen:,} {'row' if locked.seen == 1 else 'rows'}"
    pages = f"{locked.pages:,} {'page' if locked.pages == 1 else 'pages'}"
    why = f"Pass {locked.number} saw {rows} on {pages}."
    to, changes = _next(locked)
    changes = {"looks": locked.looks + 1, "seen_before": locked.seen, **changes}
    locked.move(to, why=why, finished=locked.number, restarts=0, empties=0, **changes)
    limits.check_run(locked)


def _next(locked: Collection) -> tuple[CollectionState, dict[str, Any]]:
    """
    What follows a whole list: the pass that was asked for meanwhile, or one more look
    some time later, until two in a row are alike. By its own total a list is whole also
    while a row is still to come, or is left out this once.
    """
    if locked.again:
        return CollectionState.WAITING, {"looks": 0}
    pause = settings.LIST_AGAIN_AFTER.total_seconds()
    if not pause or locked.looks + 1 >= MAX_RECHECKS or _is_as_before(locked):
        return CollectionState.DONE, {}
    return CollectionState.WAITING, {"not_before": seconds_from_now(pause)}


def _is_as_before(locked: Collection) -> bool:
    """Whether this pass listed the very rows that the whole list before had."""
    if not locked.looks or locked.seen != locked.seen_before:
        return False
    left_out = Assignment.objects.filter(
        execution=locked.execution_id, listed_pass=locked.finished
    )
    return not left_out.exists()


def _update(collection: Collection, **changes: Any) -> None:
    Collection.objects.filter(pk=collection.pk).update(**changes)
