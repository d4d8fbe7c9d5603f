"""Turning a delivery into what it says."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, Q

from executions import announcing, notices, signals, stopping
from executions.models import Delivery, Execution, Reading, Reason, Stop
from promoportal.leases import after

# A delivery that killed its worker this often is not read again by itself.
DEADLY = 3
# A job that has not read its delivery by then was lost, in seconds.
LOST_AFTER = 5
# How many of them are looked for at a time.
SWEEP = 200


def read(pk: int) -> None:
    """Read a delivery and act on it, in one transaction; unreadable ones are held."""
    # Counted before it is read, so that a body that kills the worker is counted too.
    if not _count(pk):
        return
    with transaction.atomic():
        delivery = _locked(pk)
        if delivery is None:
            return
        if delivery.attempts > DEADLY:
            _hold(delivery, Reason.POISON, "Reading it killed the worker, repeatedly.")
        else:
            _act(delivery)


def read_again(delivery: Delivery, *, by: Any, why: str) -> None:
    """
    Have a delivery read once more; what it announced before is only joined.

    :raises states.IllegalMove: if it is still to be read
    """
    with transaction.atomic():
        delivery.move(Reading.UNREAD, by=by, why=why, reason="", problem="", attempts=0)
        signals.delivered.send(Delivery, row=delivery)


def lost() -> list[int]:
    """The longest waiting deliveries whose job did not come, by key: not their bodies."""
    unread = Delivery.objects.filter(
        Q(received_at__lt=after(-LOST_AFTER)),
        Q(state_since__lt=after(-LOST_AFTER)),
        state=Reading.UNREAD,
    )
    return list(unread.order_by("received_at").values_list("pk", flat=True)[:SWEEP])


def _count(pk: int) -> int:
    unread = Delivery.objects.filter(pk=pk, state=Reading.UNREAD)
    return unread.update(attempts=F("attempts") + 1)


def _locked(pk: int) -> Delivery | None:
    unread = Delivery.objects.filter(pk=pk, state=Reading.UNREAD)
    return unread.select_related("listener").select_for_update(of=["self"]).first()


def _act(delivery: Delivery) -> None:
    try:
        notice = notices.read(
            bytes(delivery.body), event_type=delivery.listener.event_type
        )
    except notices.WrongListener as error:
        _hold(delivery, Reason.WRONG_LISTENER, str(error))
    except notices.Unreadable as error:
        _hold(delivery, Reason.UNREADABLE, str(error))
    else:
        _follow(delivery, notice)


def _follow(delivery: Delivery, notice: notices.Notice) -> None:
    match notice:
        case notices.Scheduled(occurrence):
            _conclude(delivery, announcing.announce(occurrence))
        case notices.Triggered(occurrence, customer):
            row = announcing.trigger(occurrence, customer, delivery=delivery)
            _conclude(delivery, row.execution)
        case notices.Cancelled(occurrence):
            _conclude(delivery, stopping.cancel_by_vendor(occurrence))
        case notices.Unacted(name):
            problem = f"The portal does nothing about event {name}."
            delivery.move(Reading.IGNORED, why=problem, problem=problem)


def _conclude(delivery: Delivery, execution: Execution) -> None:
    why = f"It announced {execution}."
    if execution.stop == Stop.CANCELLED:
        why = f"It names {execution}, which is cancelled."
    delivery.move(Reading.READ, why=why, execution=execution)


def _hold(delivery: Delivery, reason: Reason, problem: str) -> None:
    delivery.move(Reading.HELD, why=problem, reason=reason, problem=problem)
