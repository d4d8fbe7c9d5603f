"""
Asking for the customers of triggered executions: one call carries all that wait.

The vendor takes fifty calls in ten seconds. With one call per customer that would be
five rewards a second; gathered, it is as many as a page holds.
"""

from __future__ import annotations

from collections.abc import Collection as Set
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery

from executions import lifecycle
from executions.models import Execution, ExecutionReason, Trigger, TriggerState
from promoportal import optimove
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import Lease, due
from promoportal.optimove import Page
from promoportal.resilience.backoff import backoff_seconds
from rewards import limits, signals
from rewards.collection import fetch_runs, ingest
from rewards.models import Assignment, Collection

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
        """The same in two questions: one customer's id may spoil a call for all."""
        rows = list(zip(self.announced.items(), self.customers, strict=True))
        middle = len(rows) // 2
        return _question(rows[:middle]), _question(rows[middle:])


def wake(execution: Execution) -> None:
    """Customers wait to be asked for, also where asking was given up before."""
    with transaction.atomic():
        fetch_runs.resume_held(execution, why="A customer triggered it.")
        signals.collecting.send(Execution)


def gather(execution: Execution, *, most: int) -> CustomerQuery | None:
    """All that wait, up to what a call may carry."""
    waiting = Trigger.objects.filter(
        due(), execution=execution, state=TriggerState.WAITING
    ).order_by("not_before", "pk")[:most]
    rows = waiting.values_list("pk", "announced", "customer")
    found = [((pk, announced), customer) for pk, announced, customer in rows]
    return _question(found) if found else None


def refuse(question: CustomerQuery, problem: str) -> None:
    """The vendor refuses to be asked for this customer: a person looks."""
    state_machine.move_all(
        _still_waiting(question),
        TriggerState.HELD,
        why="Optimove refuses to be asked for this customer.",
        reason=ExecutionReason.REFUSED,
        problem=problem,
    )


def save(
    collection: Collection, question: CustomerQuery, pages: list[Page], *, lease: Lease
) -> None:
    """
    Store the whole answer, and conclude the customers it lists, in one transaction.

    :raises states.LostRace: if someone else holds the collection
    """
    with transaction.atomic():
        stop = limits.look(collection.execution_id, ends=True)
        locked = fetch_runs.lock(collection, lease)
        rows = [row for page in pages for row in page.rows]
        lifecycle.name_campaign(locked.execution, pages[0].series)
        listed = ingest.store(
            locked.execution, rows, listed_pass=locked.number, stop=stop
        )
        limits.check_run(locked)
        _conclude(question, listed.customers)
        fetch_runs.answered(locked, listed.fresh)


def _question(rows: Sequence[tuple[tuple[int, int], str]]) -> CustomerQuery:
    return CustomerQuery(
        announced=dict(key for key, _ in rows),
        customers=tuple(customer for _, customer in rows),
    )


def _conclude(question: CustomerQuery, listed: Set[str]) -> None:
    waiting = _still_waiting(question)
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
    Announced more often than assigned, where each announcement may mean one more.

    It may also have come twice, so that it is not waited for as long as a customer who
    is not listed at all.
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


def _still_waiting(question: CustomerQuery) -> QuerySet[Trigger]:
    """Those not announced again meanwhile: an answer to an old question is no answer."""
    same = Q(pk=None)
    by_count: dict[int, list[int]] = {}
    for pk, announced in question.announced.items():
        by_count.setdefault(announced, []).append(pk)
    for announced, keys in by_count.items():
        same |= Q(pk__in=keys, announced=announced)
    return Trigger.objects.filter(same, state=TriggerState.WAITING)
