"""
Look-ups of many waiting customers of a triggered execution with one query.

Optimove allows fifty calls in ten seconds. With one call per customer, the portal could
look up only five customers per second. If an answer has several pages, each page is
stored with the cursor of the next one, so that the look-up resumes after a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection as Set
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery

from executions.models import Execution, ExecutionReason, Trigger, TriggerState
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import due
from promoportal.optimove import Page
from promoportal.resilience.backoff import backoff_seconds
from rewards.collection import fetch_runs
from rewards.collection.ingest import Stored
from rewards.models import Assignment, Collection, CollectionState, Lookup

# Seconds until each further look-up of an unlisted customer, before a review.
BACKOFF = (1, 2, 5, 10, 30, 60, 5 * 60, 15 * 60, 30 * 60)
# Most look-ups of a listed customer who may get a further assignment.
MAX_FAILURES_TOGETHER = 6

# Columns of a customer after a call that succeeded.
RECOVERED: dict[str, Any] = {"failures": 0, "batch_limit": None, "problem": ""}


@dataclass(frozen=True)
class CustomerQuery:
    """
    The customers of a call, each as (primary key, number of announcements, ID).

    `lookup` is set if pages of the answer are stored already. `batch_limit` is set if
    the customers failed in a larger call. `failures` are those of a single customer.
    """

    waiting: Sequence[tuple[int, int, str]]
    lookup: Lookup | None = None
    batch_limit: int | None = None
    failures: int = 0

    @property
    def customers(self) -> tuple[str, ...]:
        return tuple(customer for _, _, customer in self.waiting)

    @property
    def cursor(self) -> str | None:
        return self.lookup.cursor or None if self.lookup else None

    def still_waiting(self) -> QuerySet[Trigger]:
        """Return the waiting customers who were not announced again since the query."""
        # The response to an older query may lack the latest assignment.
        same = Q(pk=None)
        by_count: dict[int, list[int]] = {}
        for pk, announced, _ in self.waiting:
            by_count.setdefault(announced, []).append(pk)
        for announced, keys in by_count.items():
            same |= Q(pk__in=keys, announced=announced)
        return Trigger.objects.filter(same, state=TriggerState.WAITING)

    def conclude(self, collection: Collection, page: Page, stored: Stored) -> bool:
        """
        Record a stored page; return whether to check the limits now.

        Only the last page shows who is not listed: a customer may be on several pages.
        """
        _count_as_seen(collection, stored)
        if page.next_cursor:
            return self._go_on(collection, page, stored)
        earlier = self.lookup.listed if self.lookup else ()
        _conclude(self, stored.customers.union(earlier))
        self.forget()
        return True

    def restart(self, collection: Collection, problem: str) -> bool:
        """
        Start again with the first page; return True, to check the limits now.

        After `MAX_RESTARTS` restarts, set the customers to `HELD` instead.
        """
        lookup = self.lookup or self._remembered(collection)
        if lookup.restarts >= fetch_runs.MAX_RESTARTS:
            hold(self, ExecutionReason.MALFORMED, problem)
            self.forget()
            return True
        restarts = lookup.restarts + 1
        same = Lookup.objects.filter(pk=lookup.pk)
        same.update(**_FIRST_PAGE, restarts=restarts)
        fetch_runs.restart_look_up(collection, restarts, problem)
        return True

    def forget(self) -> None:
        """Delete the stored cursor: the answer is complete, or cannot be completed."""
        if self.lookup:
            self.lookup.delete()

    def _go_on(self, collection: Collection, page: Page, stored: Stored) -> bool:
        lookup = self.lookup or self._remembered(collection)
        content = _digest("page", *sorted(row.reference for row in page.rows))
        cursor = _digest("cursor", page.next_cursor or "")
        barren = lookup.barren + 1 if content in lookup.visited else 0
        is_circle = barren >= fetch_runs.MAX_PAGES_WITHOUT_NEW_ROWS
        if is_circle or cursor in lookup.visited:
            return self.restart(collection, "Optimove's pages run in a circle.")
        Lookup.objects.filter(pk=lookup.pk).update(
            cursor=page.next_cursor,
            pages=lookup.pages + 1,
            listed=sorted(
                stored.customers.intersection(self.customers) | {*lookup.listed}
            ),
            visited=list(dict.fromkeys([*lookup.visited, content, cursor])),
            barren=barren,
        )
        return False

    def _remembered(self, collection: Collection) -> Lookup:
        return Lookup.objects.create(collection=collection, waiting=list(self.waiting))


_FIRST_PAGE: dict[str, Any] = {
    "cursor": "",
    "pages": 0,
    "listed": [],
    "visited": [],
    "barren": 0,
}


def next_query(execution: Execution, *, most: int) -> CustomerQuery | None:
    """
    Return the query in progress, or one for up to `most` due customers; None without any.

    The caller must have the lease of the execution's `Collection`.
    """
    return _in_progress(execution, most) or _new_query(execution, most)


def hold(query: CustomerQuery, reason: ExecutionReason, problem: str) -> None:
    """Set the customers of the query to `HELD`, so that staff decide."""
    state_machine.move_all(
        query.still_waiting(),
        TriggerState.HELD,
        why=f"Looking up this customer failed: {reason.label}.",
        reason=reason,
        problem=problem,
    )


def _in_progress(execution: Execution, most: int) -> CustomerQuery | None:
    lookup = Lookup.objects.filter(collection__execution=execution).first()
    if lookup is None:
        return None
    waiting = [(pk, announced, customer) for pk, announced, customer in lookup.waiting]
    query = CustomerQuery(waiting, lookup, **_failures_of(waiting))
    # The contract may allow fewer customers than before. A release without this class
    # may have looked up the customers in the meantime.
    if len(waiting) <= most and query.still_waiting().exists():
        return query
    query.forget()
    return None


def _failures_of(waiting: Sequence[tuple[int, int, str]]) -> dict[str, Any]:
    known = Trigger.objects.filter(pk=waiting[0][0])
    return dict(known.values("batch_limit", "failures").first() or {})


def _new_query(execution: Execution, most: int) -> CustomerQuery | None:
    rows = Trigger.objects.filter(
        due(), execution=execution, state=TriggerState.WAITING
    ).order_by("not_before", "pk")
    found = list(rows.values_list(*_COLUMNS)[:most])
    if not found:
        return None
    *_, batch_limit, failures = found[0]
    alike = [row for row in found if row[-2] == batch_limit][: batch_limit or most]
    return CustomerQuery(
        [row[:3] for row in alike], batch_limit=batch_limit, failures=failures
    )


_COLUMNS = ("pk", "announced", "customer", "batch_limit", "failures")


def _count_as_seen(collection: Collection, stored: Stored) -> None:
    """
    Reset the failures of the collection, and count new rows as seen by a run.

    If a run is in progress, these rows are not new any more on its pages, and would not
    be counted.
    """
    is_running = collection.state == CollectionState.COLLECTING
    seen = F("seen") + (stored.fresh if is_running else 0)
    Collection.objects.filter(pk=collection.pk).update(
        failures=0, malformed=0, problem="", seen=seen
    )


def _conclude(query: CustomerQuery, listed: Set[str]) -> None:
    waiting = query.still_waiting()
    state_machine.move_all(
        waiting.filter(customer__in=list(listed)).exclude(_expects_more()),
        TriggerState.DONE,
        why="Optimove lists this customer.",
        reason="",
        **RECOVERED,
    )
    missing = waiting.all()  # a new query: the customers that are still waiting
    state_machine.move_all(
        missing.filter(attempts__gte=len(BACKOFF)),
        TriggerState.HELD,
        why="Optimove still does not list this customer.",
        reason=ExecutionReason.NOT_LISTED,
        **{**RECOVERED, "problem": _NOT_LISTED},
    )
    # The highest number first: otherwise, an updated row would match the next update.
    for attempts, seconds in reversed(list(enumerate(BACKOFF))):
        missing.filter(attempts=attempts).update(
            attempts=F("attempts") + 1,
            not_before=seconds_from_now(backoff_seconds([seconds], 1)),
            **RECOVERED,
        )


_NOT_LISTED = "Optimove announced this customer and does not list them."


def _expects_more() -> Q:
    """
    Return a filter for customers who may get a further assignment soon.

    It matches customers with more announcements than assignments, and those without a
    new assignment since they were announced: Optimove may list the new one late. An
    announcement may have been delivered twice, so these customers are looked up less
    often than customers who are not listed at all.
    """
    assigned = Assignment.objects.filter(
        execution=OuterRef("execution"), customer=OuterRef("customer")
    )
    counted = assigned.order_by().values("customer").annotate(number=Count("pk"))
    is_short = Q(announced__gt=Subquery(counted.values("number")))
    # `state_since`: while a customer waits, a further announcement only adds to the
    # number of announcements.
    is_old = ~Exists(assigned.filter(created_at__gte=OuterRef("state_since")))
    expecting = Trigger.objects.filter(
        is_short | is_old, attempts__lt=MAX_FAILURES_TOGETHER
    )
    return Q(pk__in=expecting.values("pk"))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
