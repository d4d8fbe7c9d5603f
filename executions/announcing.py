"""An execution hears that it has work: from the vendor, or from a person."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from executions import signals
from executions.models import (
    Asking,
    Delivery,
    Execution,
    Kind,
    Progress,
    Stop,
    Trigger,
)
from promoportal import states


def announce(
    occurrence: str, *, kind: Kind = Kind.SCHEDULED, by: Any = None, why: str = ""
) -> Execution:
    """
    Open or join the execution of that occurrence, and ask for its whole list.

    A cancelled execution is not reopened.
    """
    with transaction.atomic():
        execution = join(occurrence, kind=kind)
        if execution.stop != Stop.CANCELLED:
            reopen(execution, by=by, why=why or "It was announced.")
            signals.announced.send(Execution, execution=execution)
    return execution


def trigger(occurrence: str, customer: str, *, delivery: Delivery | None) -> Trigger:
    """Ask for one customer of a triggered execution, anew if they were asked before."""
    with transaction.atomic():
        execution = join(occurrence, kind=Kind.TRIGGERED)
        row, is_new = Trigger.objects.get_or_create(
            execution=execution, customer=customer, defaults={"delivery": delivery}
        )
        if not is_new:
            _ask_anew(row, delivery)
        reopen(execution, why="A customer triggered it.")
        signals.triggered.send(Execution, execution=execution)
    return row


def ask_again(row: Trigger, *, by: Any, why: str) -> None:
    """
    Ask for a held customer once more.

    :raises states.IllegalMove: if it is not held
    """
    with transaction.atomic():
        row.move(Asking.WAITING, by=by, why=why, attempts=0, not_before=Now())
        reopen(row.execution, by=by, why=why)
        signals.triggered.send(Execution, execution=row.execution)


def join(occurrence: str, *, kind: Kind) -> Execution:
    """The one execution of that occurrence, whoever announces it first."""
    execution, _ = Execution.objects.get_or_create(
        reference=occurrence, defaults={"kind": kind}
    )
    if execution.kind == Kind.UNKNOWN != kind:
        Execution.objects.filter(pk=execution.pk).update(kind=kind)
    return execution


def reopen(execution: Execution, *, by: Any = None, why: str) -> None:
    """It has something to collect again."""
    rows = Execution.objects.filter(pk=execution.pk)
    states.move_all(rows, Progress.COLLECTING, by=by, why=why)


def _ask_anew(row: Trigger, delivery: Delivery | None) -> None:
    # Counting the announcement first: an answer to an earlier question, on its way
    # now, compares this count and leaves the row waiting.
    rows = Trigger.objects.filter(pk=row.pk)
    rows.update(
        announced=F("announced") + 1, delivery=delivery, attempts=0, not_before=Now()
    )
    states.move_all(
        rows, Asking.WAITING, why="It was announced again.", reason="", problem=""
    )
