"""Claims on pending rewards: a lease and an attempt, committed before the call."""

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
from rewards.models import Assignment, AssignmentState, Attempt
from rewards.transitions import DIFFERS

# Longest duration of one call in seconds, with the connection and a reserve.
MAX_CALL_SECONDS = 20.0
# Seconds that a job makes claims, so that other jobs of the queue can run.
TURN = 8.0

# Seconds that a claim lasts: a job's turn and a call, several times over.
LEASE = 60.0
BATCH_SIZE = 100
# After this number of crashes a row is claimed alone, so that further crashes count
# only if the row itself may have caused them.
COMPANY = 2
# Seconds that a confirmed claim is valid. Resolving a name and connecting take some.
CONFIRMED = 10.0


@dataclass(frozen=True)
class Claim:
    """Rows that this worker may send, each with a recorded attempt."""

    lease: Lease
    execution_pk: int
    rows: Sequence[Assignment]
    attempts: Mapping[int, int]
    """The key of the attempt by the key of the row."""


def claim(execution_pk: int, capability: Capability, most: int) -> Claim | None:
    """Claim due rewards of an execution, the longest due first; None if none are."""
    return _claim(execution_pk, Q(execution=execution_pk), capability, most)


def claim_one(pk: int, capability: Capability) -> Claim | None:
    """Claim one reward; None if it is not due."""
    execution = Assignment.objects.filter(pk=pk).values("execution")
    return _claim(execution, Q(pk=pk), capability, 1)


def _claim(
    execution: int | QuerySet[Any], which: Q, capability: Capability, most: int
) -> Claim | None:
    """
    Claim rewards under a shared lock on their execution.

    Nothing is claimed in a stopped execution, nor in a restored database before all
    rewards that may have been sent are marked as `doubtful`.
    """
    # Durable: the calls that follow must not run inside a transaction. A slow platform
    # would keep its locks, and a rollback would delete the record of a request.
    with transaction.atomic(durable=True):
        stop = lock_shared(execution)
        if stop != ExecutionStop.NONE or database_identity.has_changed():
            return None
        rows = _chosen(claimable(capability).filter(which), most)
        if not rows:
            return None
        return _take(rows, Lease(LEASE))


def claimable(capability: Capability) -> QuerySet[Assignment]:
    """Return rewards that are due, within the limits, and safe to send, also again."""
    return Assignment.objects.filter(
        due(), sendable(capability), state=AssignmentState.OWED, cleared=True
    )


def sendable(capability: Capability) -> Q:
    """
    Return a filter for rewards that may be sent, also again.

    A `doubtful` reward may have been sent. It is sent again only under a key that the
    platform still knows, and only as it was sent: not if Optimove changed it and its
    order was lost with a backup.
    """
    # Rewards that Optimove cancelled are `VOID` already; `meaning` is the last check.
    assigned, certain = Q(meaning=Meaning.ACTIVATE), Q(doubtful=False)
    if not capability.idempotent:
        return assigned & certain
    is_same = Q(order__isnull=False) | ~DIFFERS
    return assigned & (certain | within_key_retention(capability) & is_same)


def within_key_retention(capability: Capability) -> Q:
    """Return a filter for rows whose key the platform knows until the lease ends."""
    seconds = capability.remembers_for.total_seconds() - LEASE
    # A time in the future means that the clock was set back since: the age is unknown.
    return Q(first_sent_at__gt=seconds_from_now(-seconds), first_sent_at__lte=Now())


def confirm_claim(taken: Claim, row: Assignment) -> Lease | None:
    """
    Return a short lease in which the row may be sent; None if another worker has it.

    This process measures the lease by its own clock, but it ends by the clock of the
    database. If the latter is set forward, another worker may send the row while this
    one believes it still has time. A platform without idempotency keys would activate
    both, so that the claim is confirmed directly before the row is sent.
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
    """Return the order to send for a row; it is fixed at the first attempt."""
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
