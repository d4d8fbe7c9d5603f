"""
One query for all pending customers of a triggered execution.

Optimove takes fifty calls in ten seconds. With one call per customer that would be five
rewards a second; together, it is as many as a page holds.
"""

from __future__ import annotations

from collections.abc import Collection as Set
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery

from executions.models import Execution, ExecutionReason, Trigger, TriggerState
from promoportal import optimove
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import due
from promoportal.optimove import Page
from promoportal.resilience.backoff import backoff_seconds
from rewards.collection.ingest import Stored
from rewards.models import Assignment, Collection, CollectionState

# Seconds until a customer who is not listed yet is asked for again; then a person looks.
BACKOFF = (1, 2, 5, 10, 30, 60, 5 * 60, 15 * 60, 30 * 60)
# How often one is asked for who may have been assigned something more.
MAX_FAILURES_TOGETHER = 6


@dataclass(frozen=True)
class CustomerQuery:
    """The customers one call asks for, each as often announced as when we asked."""

    announced: dict[int, int]
    customers: tuple[str, ...]

    def halves(self) -> tuple[CustomerQuery, CustomerQuery]:
        """Return the same in two queries: one customer's id may spoil a call for all."""
        rows = list(zip(self.announced.items(), self.customers, strict=True))
        middle = len(rows) // 2
        return _query(rows[:middle]), _query(rows[middle:])

    def refuse(self, problem: str) -> None:
        """Hold the customers: Optimove refuses to be asked for them."""
        state_machine.move_all(
            _still_waiting(self),
            TriggerState.HELD,
            why="Optimove refuses to be asked for this customer.",
            reason=ExecutionReason.REFUSED,
            problem=problem,
        )

    def conclude(self, collection: Collection, _: Page, stored: Stored) -> bool:
        """
        Conclude the customers whom the stored answer lists.

        The run under way has seen their rows now, and does not miss them on its pages.
        The limits are checked after each answer.
        """
        _conclude(self, stored.customers)
        is_running = collection.state == CollectionState.COLLECTING
        seen = F("seen") + (stored.fresh if is_running else 0)
        Collection.objects.filter(pk=collection.pk).update(
            failures=0, malformed=0, problem="", seen=seen
        )
        return True


def next_query(execution: Execution, *, most: int) -> CustomerQuery | None:
    """Return a query for all customers who wait, up to what a call may carry."""
    waiting = Trigger.objects.filter(
        due(), execution=execution, state=TriggerState.WAITING
    ).order_by("not_before", "pk")[:most]
    rows = waiting.values_list("pk", "announced", "customer")
    found = [((pk, announced), customer) for pk, announced, customer in rows]
    return _query(found) if found else None


def _query(rows: Sequence[tuple[tuple[int, int], str]]) -> CustomerQuery:
    return CustomerQuery(
        announced=dict(key for key, _ in rows),
        customers=tuple(customer for _, customer in rows),
    )


def _conclude(query: CustomerQuery, listed: Set[str]) -> None:
    waiting = _still_waiting(query)
    state_machine.move_all(
        waiting.filter(customer__in=list(listed)).exclude(_expects_more()),
        TriggerState.DONE,
        why="Optimove lists this customer.",
        problem="",
        reason="",
    )
    missing = waiting.all()  # those that were not concluded just now
    state_machine.move_all(
        missing.filter(attempts__gte=len(BACKOFF)),
        TriggerState.HELD,
        why="Optimove still does not list this customer.",
        reason=ExecutionReason.NOT_LISTED,
        problem="Optimove announced this customer and does not list them.",
    )
    # The longest waiting first, or a row would be moved on from wait to wait.
    for attempts, seconds in reversed(list(enumerate(BACKOFF))):
        missing.filter(attempts=attempts).update(
            attempts=F("attempts") + 1,
            not_before=seconds_from_now(backoff_seconds([seconds], 1)),
        )


def _expects_more() -> Q:
    """
    Select customers announced more often than assigned, where each may mean one more.

    An announcement may also have come twice, so that it is not waited for as long as a
    customer who is not listed at all.
    """
    if not optimove.current().vendor.repeats_are_meant:
        return Q(pk=None)
    theirs = Assignment.objects.filter(
        execution=OuterRef("execution"), customer=OuterRef("customer")
    )
    counted = theirs.order_by().values("customer").annotate(number=Count("pk"))
    short = Trigger.objects.filter(
        announced__gt=Subquery(counted.values("number")),
        attempts__lt=MAX_FAILURES_TOGETHER,
    )
    return Q(pk__in=short.values("pk"))


def _still_waiting(query: CustomerQuery) -> QuerySet[Trigger]:
    """Return those not announced again since: an answer to an old query is no answer."""
    same = Q(pk=None)
    by_count: dict[int, list[int]] = {}
    for pk, announced in query.announced.items():
        by_count.setdefault(announced, []).append(pk)
    for announced, keys in by_count.items():
        same |= Q(pk__in=keys, announced=announced)
    return Trigger.objects.filter(same, state=TriggerState.WAITING)
