"""
Turning deliveries into what they say.

A triggered campaign sends a notice for each customer, so that many are read together:
one transaction, one announcement for each execution. A body that kills its worker is
counted before it is read, and goes alone from then on.
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

# How many are read in one transaction.
BATCH_SIZE = 100
# And how many bytes: a worker that holds a hundred of the largest would be killed.
MAX_BYTES = 8 * 1024 * 1024
# Seconds after which whoever took them is thought dead.
LEASE = 30.0
# Seconds a job goes on reading, so that a single retry need not wait long behind it.
TURN = 1.5
# A delivery that killed its worker this often is not read again by itself.
DEADLY = 3

Said = tuple[Delivery, Notice]


def process_due() -> None:
    """Read what is unread, for one turn."""
    budget = TimeBudget(TURN)
    while not budget.is_spent() and (keys := _take()):
        crash_points.at(Point.READING_TAKEN)
        try:
            read(keys)
        except DatabaseError:
            # One of them cannot be followed: the others do not wait for it.
            _read_each(keys)


def is_due() -> bool:
    """Whether a job would find something to read."""
    return _free().exists()


def read(keys: Sequence[int]) -> None:
    """Read deliveries and act on them, all or none; unreadable ones are held."""
    with transaction.atomic():
        found = Delivery.objects.filter(pk__in=keys, state=DeliveryState.UNREAD)
        rows = found.select_related("listener").order_by("pk")
        said = list(_said(rows.select_for_update(of=["self"])))
        for occurrence in sorted({_occurrence(notice) for _, notice in said}):
            part = [row for row in said if _occurrence(row[1]) == occurrence]
            _follow(occurrence, part)
        crash_points.at(Point.READING_FOLLOWED)


def read_again(delivery: Delivery, *, by: Any, why: str) -> None:
    """
    Have a delivery read once more; what it announced before is only joined.

    :raises states.IllegalMove: if it is still to be read
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
    """:raises ExceptionGroup: after the others were read all the same"""
    errors = []
    for pk in keys:
        try:
            read([pk])
        except DatabaseError as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("Some deliveries could not be followed.", errors)


def _free() -> QuerySet[Delivery]:
    return Delivery.objects.filter(unleased(), state=DeliveryState.UNREAD)


def _take() -> list[int]:
    """Take some for us alone, and count it: what kills us now is counted, too."""
    with transaction.atomic():
        free = _free().order_by("pk").select_for_update(skip_locked=True)
        sized = free.annotate(size=Length("body"))
        keys = _together(list(sized.values_list("pk", "attempts", "size")[:BATCH_SIZE]))
        Delivery.objects.filter(pk__in=keys).update(
            attempts=F("attempts") + 1, lease_until=seconds_from_now(LEASE)
        )
        return keys


def _together(waiting: Sequence[tuple[int, int, int]]) -> list[int]:
    """
    Those that are read in one transaction: the first ones, if none was taken before.

    One that was taken before killed its worker, or could not be followed: it goes alone.
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


def _said(deliveries: Iterable[Delivery]) -> Iterable[Said]:
    """What each says; those that say nothing are held at once."""
    for delivery in deliveries:
        if delivery.attempts > DEADLY:
            problem = "Reading it failed or killed the worker, repeatedly."
            _hold(delivery, ExecutionReason.POISON, problem)
            continue
        try:
            yield (
                delivery,
                notices.read(
                    bytes(delivery.body), event_type=delivery.listener.event_type
                ),
            )
        except notices.WrongEventType as error:
            _hold(delivery, ExecutionReason.WRONG_LISTENER, str(error))
        except notices.Unreadable as error:
            _hold(delivery, ExecutionReason.UNREADABLE, str(error))


def _occurrence(notice: Notice) -> str:
    return "" if isinstance(notice, UnhandledEvent) else notice.occurrence


def _follow(occurrence: str, said: Sequence[Said]) -> None:
    """Do what the notices about one execution say, whichever came first."""
    kinds = {type(notice) for _, notice in said}
    if UnhandledEvent in kinds:
        _ignore(said)
    else:
        _conclude([delivery for delivery, _ in said], _heard(occurrence, kinds, said))


def _heard(occurrence: str, kinds: set[type], said: Sequence[Said]) -> Execution:
    """The execution, once it heard all that was said about it."""
    if Scheduled in kinds:
        lifecycle.open_execution(occurrence)
    if Triggered in kinds:
        lifecycle.add_triggers(
            occurrence,
            [
                (n.customer, delivery)
                for delivery, n in said
                if isinstance(n, Triggered)
            ],
        )
    if Cancelled in kinds:
        lifecycle.cancel_by_vendor(occurrence)
    return Execution.objects.get(reference=occurrence)


def _ignore(said: Iterable[Said]) -> None:
    for delivery, notice in said:
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
