"""
Look-ups of many waiting customers of a triggered execution with one query.

Optimove allows fifty calls in ten seconds. With one call per customer, the portal could
look up only five customers per second.
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

# Seconds until each further look-up of an unlisted customer, before a review.
BACKOFF = (1, 2, 5, 10, 30, 60, 5 * 60, 15 * 60, 30 * 60)
# Most look-ups of a listed customer who may get a further assignment.
MAX_FAILURES_TOGETHER = 6


@dataclass(frozen=True)
class CustomerQuery:
    """The customers of a call, each as (primary key, number of announcements, ID)."""

    waiting: Sequence[tuple[int, int, str]]

    @property
    def customers(self) -> tuple[str, ...]:
        return tuple(customer for _, _, customer in self.waiting)

    def halves(self) -> tuple[CustomerQuery, CustomerQuery]:
        """Return two queries with half of the customers, to isolate an invalid ID."""
        middle = len(self.waiting) // 2
        return CustomerQuery(self.waiting[:middle]), CustomerQuery(
            self.waiting[middle:]
        )

    def refuse(self, problem: str) -> None:
        """Set the customers to `HELD`, because Optimove rejects the query for them."""
        state_machine.move_all(
            _still_waiting(self),
            TriggerState.HELD,
            why="Optimove refuses to be asked for this customer.",
            reason=ExecutionReason.REFUSED,
            problem=problem,
        )

    def conclude(self, collection: Collection, _: Page, stored: Stored) -> bool:
        """
        Update the customers by the response; return True, to check the limits now.

        If a run is in progress, the new rows also count as seen by this run. On its
        pages, these rows are not new any more, and would not be counted.
        """
        _conclude(self, stored.customers)
        is_running = collection.state == CollectionState.COLLECTING
        seen = F("seen") + (stored.fresh if is_running else 0)
        Collection.objects.filter(pk=collection.pk).update(
            failures=0, malformed=0, problem="", seen=seen
        )
        return True


def next_query(execution: Execution, *, most: int) -> CustomerQuery | None:
    """Return a query for up to `most` waiting customers; None if no customer is due."""
    waiting = Trigger.objects.filter(
        due(), execution=execution, state=TriggerState.WAITING
    ).order_by("not_before", "pk")[:most]
    found = list(waiting.values_list("pk", "announced", "customer"))
    return CustomerQuery(found) if found else None


def _conclude(query: CustomerQuery, listed: Set[str]) -> None:
    waiting = _still_waiting(query)
    state_machine.move_all(
        waiting.filter(customer__in=list(listed)).exclude(_expects_more()),
        TriggerState.DONE,
        why="Optimove lists this customer.",
        problem="",
        reason="",
    )
    missing = waiting.all()  # a new query: the customers that are still waiting
    state_machine.move_all(
        missing.filter(attempts__gte=len(BACKOFF)),
        TriggerState.HELD,
        why="Optimove still does not list this customer.",
        reason=ExecutionReason.NOT_LISTED,
        problem="Optimove announced this customer and does not list them.",
    )
    # The highest number first: otherwise, an updated row would match the next update.
    for attempts, seconds in reversed(list(enumerate(BACKOFF))):
        missing.filter(attempts=attempts).update(
            attempts=F("attempts") + 1,
            not_before=seconds_from_now(backoff_seconds([seconds], 1)),
        )


def _expects_more() -> Q:
    """
    Return a filter for customers with more announcements than assignments.

    It matches only if `repeats_are_meant` is set in the contract file. An announcement
    may have been delivered twice, so these customers are looked up less often than
    customers who are not listed at all.
    """
    if not optimove.current().vendor.repeats_are_meant:
        return Q(pk=None)
    assigned = Assignment.objects.filter(
        execution=OuterRef("execution"), customer=OuterRef("customer")
    )
    counted = assigned.order_by().values("customer").annotate(number=Count("pk"))
    expecting = Trigger.objects.filter(
        announced__gt=Subquery(counted.values("number")),
        attempts__lt=MAX_FAILURES_TOGETHER,
    )
    return Q(pk__in=expecting.values("pk"))


def _still_waiting(query: CustomerQuery) -> QuerySet[Trigger]:
    """Return the waiting customers of the query who were not announced again since."""
    # The response to an older query may lack the latest assignment.
    same = Q(pk=None)
    by_count: dict[int, list[int]] = {}
    for pk, announced, _ in query.waiting:
        by_count.setdefault(announced, []).append(pk)
    for announced, keys in by_count.items():
        same |= Q(pk__in=keys, announced=announced)
    return Trigger.objects.filter(same, state=TriggerState.WAITING)
