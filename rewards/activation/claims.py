"""
Taking owed rewards to be activated: a lease, a token, and the attempt written down
before the call, all committed before anything is sent.
"""

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

# Seconds one call can take, connecting included, with some to spare.
MAX_CALL_SECONDS = 20.0
# Seconds a job goes on claiming, so that several executions take turns.
TURN = 8.0

# How long a claimed row is ours, in seconds: a job's turn and a call, several times.
LEASE = 60.0
BATCH_SIZE = 100
# A row that was held this often when its worker died goes alone from then on, so that
# only deaths it may itself have caused count against it.
COMPANY = 2
# Seconds for which a row that was seen to be still ours counts as that: looking up a name
# and connecting take some of them.
CONFIRMED = 10.0


@dataclass(frozen=True)
class Claim:
    """Rows that are ours to activate, each with its attempt on record."""

    lease: Lease
    execution_pk: int
    rows: Sequence[Assignment]
    attempts: Mapping[int, int]
    """The key of each row's attempt."""


def claim(execution_pk: int, capability: Capability, most: int) -> Claim | None:
    """Claim rewards of an execution that are due, the longest due first; None if none."""
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

    Nothing of a stopped execution can be claimed, nor in a restored database before what
    may have been sent is in doubt.
    """
    # Durable, so that no one can wrap the calls that follow in a transaction: a slow
    # platform must not hold our locks, nor a rollback forget that we asked.
    with transaction.atomic(durable=True):
        stop = lock_shared(execution)
        if stop != ExecutionStop.NONE or database_identity.has_changed():
            return None
        rows = _chosen(claimable(capability).filter(which), most)
        if not rows:
            return None
        return _take(rows, Lease(LEASE))


def claimable(capability: Capability) -> QuerySet[Assignment]:
    """What may be sent now: due, past the limits, and safe to send (again)."""
    # What the vendor took back is void already; this is the last look before it is sent.
    owed = Assignment.objects.filter(
        due(), state=AssignmentState.OWED, cleared=True, meaning=Meaning.ACTIVATE
    )
    if not capability.idempotent:
        return owed.filter(doubtful=False)
    return owed.filter(Q(doubtful=False) | within_key_retention(capability))


def within_key_retention(capability: Capability) -> Q:
    """What the platform will know again, also if it is sent at the lease's very end."""
    seconds = capability.remembers_for.total_seconds() - LEASE
    # What was sent later than now was sent before a clock was set back: nobody knows when.
    return Q(first_sent_at__gt=seconds_from_now(-seconds), first_sent_at__lte=Now())


def confirm_claim(taken: Claim, row: Assignment) -> Lease | None:
    """
    Some seconds to send a row in, if it is still ours; None if it was taken from us.

    Our own clock says how long the lease lasts, the database's says when it is over. If
    that one is set forward, others settle the row and may send it, while we believe we
    have time. A platform without keys would credit both; so there the row is looked at
    right before it is sent.
    """
    seen = Lease(min(CONFIRMED, taken.lease.left()), taken.lease.token)
    held = Assignment.objects.filter(pk=row.pk, state=AssignmentState.ACTIVATING)
    return seen if held.filter(token=taken.lease.token).exists() else None


def _chosen(rows: QuerySet[Assignment], most: int) -> list[Assignment]:
    free = rows.select_for_update(of=["self"], skip_locked=True)
    ordered = free.select_related("promotion", "execution").order_by("not_before", "pk")
    in_company = ordered.filter(deaths__lt=COMPANY)
    return list(in_company[:most]) or list(ordered.filter(deaths__gte=COMPANY)[:1])


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
    """What is sent for it; frozen at the first attempt."""
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
