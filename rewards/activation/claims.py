"""Claims on pending rewards: leases and attempts that are saved before the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from executions.locks import lock_shared
from executions.models import ExecutionStop
from promoportal.db import bulk, database_identity, state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import Lease, due, leased
from promoportal.optimove import Meaning
from promoportal.platforms import Capability, Order, Reward
from rewards.activation.request_lifetime import CONFIRMED, LEASE, longest
from rewards.models import Assignment, AssignmentState, Attempt
from rewards.transitions import DIFFERS

# Seconds after which a job begins no further call, so that other jobs can run.
TURN = 8.0

BATCH_SIZE = 100
# After this number of crashes, a row is claimed alone. Crashes that another row of the
# claim caused would otherwise count for this row, too.
COMPANY = 2


@dataclass(frozen=True)
class Claim:
    """Rows that this worker may send, each with an `Attempt` in the database."""

    lease: Lease
    execution_pk: int
    rows: Sequence[Assignment]
    attempts: Mapping[int, int]
    """Primary key of each attempt, by the primary key of its row."""


def claim(execution_pk: int, capability: Capability, most: int) -> Claim | None:
    """Claim due rewards of an execution, the longest due first, or return None."""
    return _claim(execution_pk, Q(execution=execution_pk), capability, most)


def claim_one(pk: int, capability: Capability) -> Claim | None:
    """Claim one reward, or return None if it cannot be claimed now."""
    execution = Assignment.objects.filter(pk=pk).values("execution")
    return _claim(execution, Q(pk=pk), capability, 1)


def _claim(
    execution: int | QuerySet[Any], which: Q, capability: Capability, most: int
) -> Claim | None:
    """
    Claim rewards under a shared lock on their execution.

    In a stopped execution, nothing is claimed. In a restored database, nothing is
    claimed until all rewards that may have been sent are marked as `doubtful`.
    """
    # Durable: the calls that follow must not run inside a transaction. A transaction
    # would keep its locks during the calls, and its rollback would delete the attempts.
    with transaction.atomic(durable=True):
        stop = lock_shared(execution)
        if stop != ExecutionStop.NONE or database_identity.has_changed():
            return None
        rows = _chosen(claimable(capability).filter(which), most)
        if not rows:
            return None
        return _take(rows, Lease(LEASE))


def claimable(capability: Capability) -> QuerySet[Assignment]:
    """Return rewards that are due and within the limits, and that may be sent."""
    return Assignment.objects.filter(
        due(), sendable(capability), state=AssignmentState.OWED, cleared=True
    )


def sendable(capability: Capability) -> Q:
    """
    Return a filter for rewards that may be sent, for the first time or again.

    A `doubtful` reward may already be activated. It may be sent again only while the
    platform knows its key, and only with the same order. If Optimove changed the reward
    and the row has no order after a restored backup, the reward must not be sent.
    """
    # A reward that Optimove cancelled is usually `VOID`; `meaning` is a last check.
    assigned, certain = Q(meaning=Meaning.ACTIVATE), Q(doubtful=False)
    if not capability.idempotent:
        return assigned & certain
    is_same = Q(order__isnull=False) | ~DIFFERS
    return assigned & (certain | within_key_retention(capability) & is_same)


def within_key_retention(capability: Capability) -> Q:
    """Return a filter for rows whose key the platform knows for a whole new request."""
    seconds = (capability.remembers_for - longest(capability)).total_seconds()
    # If `first_sent_at` is in the future, the clock was set back: the age is unknown.
    return Q(first_sent_at__gt=seconds_from_now(-seconds), first_sent_at__lte=Now())


def confirm_claim(taken: Claim, row: Assignment) -> Lease | None:
    """
    Return a short lease in which the row may be sent; None if the claim has ended.

    This worker measures the lease by its own clock, but the database's clock ends the
    lease. If the database's clock is set forward, another worker may send the row while
    this worker's clock still shows time left. A platform that is not idempotent would
    then activate the reward twice. So the claim is confirmed just before sending.
    """
    lease = Lease(min(CONFIRMED, taken.lease.left()), taken.lease.token)
    sending = Assignment.objects.filter(pk=row.pk, state=AssignmentState.ACTIVATING)
    return lease if sending.filter(token=taken.lease.token).exists() else None


def _chosen(rows: QuerySet[Assignment], most: int) -> list[Assignment]:
    free = rows.select_for_update(of=["self"], skip_locked=True)
    ordered = free.select_related("promotion", "execution").order_by("not_before", "pk")
    together = ordered.filter(deaths__lt=COMPANY)
    return list(together[:most]) or list(ordered.filter(deaths__gte=COMPANY)[:1])


def _take(rows: Sequence[Assignment], lease: Lease) -> Claim:
    for row in rows:
        row.order = row.order or order_of(row).as_json()
    orders = {row.pk: {"order": row.order} for row in rows}
    state_machine.move_all(
        Assignment.objects.filter(pk__in=orders),
        AssignmentState.ACTIVATING,
        each=orders,
        attempts=F("attempts") + 1,
        first_sent_at=Coalesce("first_sent_at", Now()),
        **leased(lease),
    )
    begun = [{"assignment": row.pk, "number": row.attempts + 1} for row in rows]
    attempts = {row: pk for pk, row, _ in bulk.bulk_insert(Attempt, begun)}
    return Claim(lease, rows[0].execution_id, rows, attempts)


def order_of(row: Assignment) -> Order:
    """Build the order of a row from its columns, for its first activation request."""
    reward: dict[str, Any] | None = row.reward
    return Order(
        customer=row.customer,
        reward=Reward(**reward) if reward else None,
        unique_code=row.unique_code or None,
        promotion=row.promotion.reference if row.promotion else "",
        promotion_code=row.promotion.code if row.promotion else "",
        occurrence=row.execution.reference,
        properties=row.properties,
    )
