"""
Reporting of activated rewards to Optimove: claim redemptions, call, record the outcome.

A redemption request is stored before it is sent. Immediate redemptions are sent
one by one, as Optimove's guide says. If more of them are due than `ONE_BY_ONE`, or than
the rate limit allows at the moment, they are sent in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, QuerySet

from promoportal import optimove, wire
from promoportal.db import database_identity, state_machine
from promoportal.db.leases import Lease, due, leased
from promoportal.optimove import Promotions, rate_limiter
from promoportal.optimove.rate_limiter import Priority
from promoportal.optimove.throttle import Throttled, throttled_call
from promoportal.resilience import circuit_breaker
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget
from redemptions.models import Redemption, RedemptionState, Report, ReportMode
from redemptions.report_outcomes import ClaimedReport, conclude
from rewards.collection import identification

LEASE = 60.0
# Maximum seconds of a call. No call begins if its lease ends in less than this time.
MAX_CALL_SECONDS = 20.0
# Seconds after which a job begins no further request, so that other jobs can run.
TURN = 5.0
# If more immediate redemptions are due, they are sent in a batch, to save calls.
ONE_BY_ONE = 5


def report() -> None:
    """Report due redemptions while calls are allowed, for up to `TURN` seconds."""
    budget = TimeBudget(TURN)
    with Promotions.from_settings() as client:
        while not budget.is_spent() and _may_call():
            carried = claim(batch_limit=client.batch_limit)
            if carried is None:
                return
            crash_points.at(Point.REPORTING_CLAIMED)
            send(carried, client)
            crash_points.at(Point.REPORTING_CONCLUDED)


def is_due() -> bool:
    """Return whether redemptions are due, and a call is likely to be allowed."""
    return _may_call() and _due().exists()


def _due() -> QuerySet[Redemption]:
    return Redemption.objects.filter(due(), state=RedemptionState.WAITING)


def _may_call() -> bool:
    """Return whether a call is likely to be allowed; the check itself is not a call."""
    is_open = circuit_breaker.is_open(circuit_breaker.Side.VENDOR)
    return not is_open and rate_limiter.remaining(Priority.REPORTING) > 0


def claim(*, batch_limit: int) -> ClaimedReport | None:
    """Store the next redemption request and claim its rows; None if none is claimed."""
    with transaction.atomic(durable=True):
        rows = [] if database_identity.has_changed() else _chosen(batch_limit)
        if not rows:
            return None
        lease = Lease(LEASE)
        written = Report.objects.create(
            size=len(rows),
            is_batch=len(rows) > 1 or (rows[0].is_batched and batch_limit > 1),
            token=lease.token,
        )
        _take(rows, written, lease)
        return ClaimedReport(written, lease, rows)


def _chosen(batch_limit: int) -> list[Redemption]:
    """Return the oldest due redemptions with the mode and batch limit of the first."""
    free = _due().select_for_update(of=["self"], skip_locked=True)
    ordered = free.order_by("not_before", "pk").select_related(
        "assignment__execution", "assignment__promotion"
    )
    first = ordered.first()
    if first is None:
        return []
    most = _most(first, batch_limit)
    alike = ordered.filter(batch_limit=first.batch_limit, mode=first.mode)
    return list(alike[:most])


def _most(first: Redemption, batch_limit: int) -> int:
    most = min(first.batch_limit or batch_limit, batch_limit)
    if first.is_batched:
        return most
    calls = min(ONE_BY_ONE, rate_limiter.remaining(Priority.REPORTING))
    waiting = _due().filter(mode=ReportMode.TRIGGERED)[: calls + 1].count()
    return most if waiting > calls else 1


def _take(rows: Sequence[Redemption], written: Report, lease: Lease) -> None:
    state_machine.move_all(
        Redemption.objects.filter(pk__in=[row.pk for row in rows]),
        RedemptionState.REPORTING,
        why=f"Report {written.pk} carries it.",
        report=written,
        attempts=F("attempts") + 1,
        **leased(lease),
    )


def send(carried: ClaimedReport, client: Promotions) -> None:
    """Send the request if its lease is long enough for the call; record the outcome."""
    if carried.lease.left() < MAX_CALL_SECONDS:
        conclude(carried, None)
        return
    rows = [vendor_record(row) for row in carried.rows]
    try:
        with (
            throttled_call(Priority.REPORTING, is_suspect=_failed_alone(carried)),
            wire.only_while(lambda: carried.lease.left() > 0),
        ):
            if carried.report.is_batch:
                verdict = client.report_batch(rows)
            else:
                verdict = client.report(rows[0])
    except Throttled:
        conclude(carried, None)
    except wire.WireError as error:
        conclude(carried, error)
    else:
        crash_points.at(Point.REPORTING_ANSWERED)
        conclude(carried, verdict)


def _failed_alone(carried: ClaimedReport) -> bool:
    """
    Return whether the redemption failed alone before, while other calls succeeded.

    A probe of the circuit breaker must count: otherwise, the next one would start at
    once.
    """
    [first, *others] = carried.rows
    is_probe = circuit_breaker.is_half_open(circuit_breaker.Side.VENDOR)
    return not others and first.failures > 0 and not is_probe


def vendor_record(row: Redemption) -> optimove.Redemption:
    assignment = row.assignment
    return optimove.Redemption(
        occurrence=assignment.execution.reference,
        promotion=assignment.promotion.reference if assignment.promotion else "",
        customer=assignment.customer,
        assignment=identification.listed_reference(assignment),
        redeemed_at=row.redeemed_at,
        reference=row.reference,
    )
