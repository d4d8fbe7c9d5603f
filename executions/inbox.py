"""
Processing of stored webhook deliveries.

Optimove sends one webhook per triggered customer. So deliveries are processed in
batches, with one transaction per batch and one signal per execution. An attempt is
counted before a body is parsed. A delivery that crashed its worker is processed alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Length

from executions import lifecycle, notices, signals
from executions.models import (
    Delivery,
    DeliveryState,
    Execution,
    ExecutionReason,
    ExecutionStop,
)
from executions.notices import Cancelled, Notice, Scheduled, Triggered, UnhandledEvent
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import unleased
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget

# Maximum number of deliveries in one transaction.
BATCH_SIZE = 100
# Maximum bytes of bodies in one transaction: 100 of the largest could fill the memory.
MAX_BYTES = 8 * 1024 * 1024
# Seconds after which the worker that claimed a delivery is presumed to have crashed.
LEASE = 30.0
# Seconds after which a job begins no batch, so that a retry by staff can start soon.
TURN = 1.5
# Number of failed attempts after which a delivery needs review.
DEADLY = 3

Parsed = tuple[Delivery, Notice]


def process_due() -> None:
    """Process pending deliveries until none is left or `TURN` seconds have passed."""
    budget = TimeBudget(TURN)
    while not budget.is_spent() and (keys := _take()):
        crash_points.at(Point.READING_TAKEN)
        try:
            read(keys)
        except DatabaseError:
            # One delivery failed. The others of its batch must not fail with it.
            _read_each(keys)


def is_due() -> bool:
    """Return whether a delivery is pending and not claimed."""
    return _unclaimed().exists()


def read(keys: Sequence[int]) -> None:
    """Parse and apply deliveries in one transaction; mark invalid ones as `HELD`."""
    with transaction.atomic():
        found = Delivery.objects.filter(pk__in=keys, state=DeliveryState.UNREAD)
        rows = found.select_related("listener").order_by("pk")
        parsed = list(_parsed(rows.select_for_update(of=["self"])))
        for occurrence in sorted({_occurrence(notice) for _, notice in parsed}):
            part = [row for row in parsed if _occurrence(row[1]) == occurrence]
            _follow(occurrence, part)
        crash_points.at(Point.READING_FOLLOWED)


def read_again(delivery: Delivery, *, by: Any, why: str) -> None:
    """
    Queue a delivery to be processed again. If its execution exists, none is added.

    :raises state_machine.IllegalMove: if the delivery is still pending
    """
    with transaction.atomic():
        delivery.move(
            DeliveryState.UNREAD,
            by=by,
            why=why,
            reason="",
            problem="",
            attempts=0,
            lease_until=None,
        )
        signals.delivered.send(Delivery, row=delivery)


def _read_each(keys: Sequence[int]) -> None:
    """Process the deliveries one by one; at the end, raise the errors as a group."""
    errors = []
    for pk in keys:
        try:
            read([pk])
        except DatabaseError as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("Some deliveries could not be processed.", errors)


def _unclaimed() -> QuerySet[Delivery]:
    return Delivery.objects.filter(unleased(), state=DeliveryState.UNREAD)


def _take() -> list[int]:
    """Claim a batch. Count the attempt now, so that an attempt that crashes counts."""
    with transaction.atomic():
        unclaimed = _unclaimed().order_by("pk").select_for_update(skip_locked=True)
        sized = unclaimed.annotate(size=Length("body"))
        keys = _batch(list(sized.values_list("pk", "attempts", "size")[:BATCH_SIZE]))
        Delivery.objects.filter(pk__in=keys).update(
            attempts=F("attempts") + 1, lease_until=seconds_from_now(LEASE)
        )
        return keys


def _batch(waiting: Sequence[tuple[int, int, int]]) -> list[int]:
    """
    Return the keys of the deliveries that are processed in one transaction.

    A delivery with an earlier attempt is processed alone: that attempt failed, or
    crashed its worker.
    """
    keys: list[int] = []
    total = 0
    for pk, attempts, size in waiting:
        total += size
        if keys and (attempts or total > MAX_BYTES):
            break
        keys.append(pk)
        if attempts:
            break
    return keys


def _parsed(deliveries: Iterable[Delivery]) -> Iterable[Parsed]:
    """Yield each valid delivery with its notification; mark the others as `HELD`."""
    for delivery in deliveries:
        if delivery.attempts > DEADLY:
            problem = "Reading it failed or killed the worker, repeatedly."
            _hold(delivery, ExecutionReason.POISON, problem)
            continue
        body = bytes(delivery.body)
        try:
            yield delivery, notices.read(body, event_type=delivery.listener.event_type)
        except notices.WrongEventType as error:
            _hold(delivery, ExecutionReason.WRONG_LISTENER, str(error))
        except notices.Unreadable as error:
            _hold(delivery, ExecutionReason.UNREADABLE, str(error))


def _occurrence(notice: Notice) -> str:
    return "" if isinstance(notice, UnhandledEvent) else notice.occurrence


def _follow(occurrence: str, part: Sequence[Parsed]) -> None:
    """Apply the notifications about one execution, or ignore unhandled events."""
    kinds = {type(notice) for _, notice in part}
    if UnhandledEvent in kinds:
        _ignore(part)
    else:
        _conclude([delivery for delivery, _ in part], _apply(occurrence, kinds, part))


def _apply(occurrence: str, kinds: set[type], part: Sequence[Parsed]) -> Execution:
    """
    Apply the notifications about one execution, and return the execution.

    A cancellation comes first: the others then start no calls.
    """
    if Cancelled in kinds:
        lifecycle.cancel_by_vendor(occurrence)
    if Scheduled in kinds:
        lifecycle.open_execution(occurrence)
    if Triggered in kinds:
        customers = [
            (notice.customer, delivery)
            for delivery, notice in part
            if isinstance(notice, Triggered)
        ]
        lifecycle.add_triggers(occurrence, customers)
    return Execution.objects.get(reference=occurrence)


def _ignore(part: Iterable[Parsed]) -> None:
    for delivery, notice in part:
        problem = f"The portal does nothing about event {getattr(notice, 'name', '')}."
        delivery.move(DeliveryState.IGNORED, why=problem, problem=problem)


def _conclude(deliveries: Iterable[Delivery], execution: Execution) -> None:
    why = f"It announced {execution}."
    if execution.stop == ExecutionStop.CANCELLED:
        why = f"It names {execution}, which is cancelled."
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    state_machine.move_all(rows, DeliveryState.READ, why=why, execution=execution)


def _hold(delivery: Delivery, reason: ExecutionReason, problem: str) -> None:
    delivery.move(DeliveryState.HELD, why=problem, reason=reason, problem=problem)
