"""An execution hears that it has work: from the vendor, or from a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from executions import signals
from executions.models import (
    Asking,
    Campaign,
    Delivery,
    Execution,
    Kind,
    Progress,
    Stop,
    Trigger,
)
from promoportal import sets, states


def announce(
    occurrence: str, *, kind: Kind = Kind.SCHEDULED, by: Any = None, why: str = ""
) -> Execution:
    """
    Open or join the execution of that occurrence, and ask for its whole list.

    A cancelled execution is not reopened.
    """
    why = why or "It was announced."
    with transaction.atomic():
        execution = seized(join(occurrence, kind=kind))
        if execution.stop != Stop.CANCELLED:
            collect_again(execution, by=by, why=why)
            signals.announced.send(Execution, row=execution, by=by, why=why)
    return execution


def trigger(
    occurrence: str, customers: Sequence[tuple[str, Delivery | None]]
) -> Execution:
    """Ask for customers of a triggered execution, anew for those asked before."""
    with transaction.atomic():
        execution = seized(join(occurrence, kind=Kind.TRIGGERED))
        named = dict(customers)
        rows = Trigger.objects.filter(execution=execution, customer__in=named)
        known = dict(rows.values_list("customer", "pk"))
        _ask_anew(rows, {pk: named[customer] for customer, pk in known.items()})
        Trigger.objects.bulk_create(
            Trigger(execution=execution, customer=customer, delivery=delivery)
            for customer, delivery in named.items()
            if customer not in known
        )
        collect_again(execution, why="A customer triggered it.")
        signals.triggered.send(Execution, row=execution)
    return execution


def ask_again(row: Trigger, *, by: Any, why: str) -> None:
    """
    Ask for a held customer once more.

    :raises states.IllegalMove: if it is not held
    """
    with transaction.atomic():
        seize(row.execution_id)
        row.move(Asking.WAITING, by=by, why=why, attempts=0, not_before=Now())
        collect_again(row.execution, by=by, why=why)
        signals.triggered.send(Execution, row=row.execution)


def join(occurrence: str, *, kind: Kind) -> Execution:
    """The one execution of that occurrence, whoever announces it first."""
    execution, _ = Execution.objects.get_or_create(
        reference=occurrence, defaults={"kind": kind}
    )
    if execution.kind == Kind.UNKNOWN != kind:
        Execution.objects.filter(pk=execution.pk).update(kind=kind)
    return execution


def name_campaign(execution: Execution, series: str | None) -> None:
    """The first list tells which campaign ran."""
    if series and execution.campaign_id is None:
        campaign, _ = Campaign.objects.get_or_create(reference=series)
        Execution.objects.filter(pk=execution.pk, campaign=None).update(
            campaign=campaign
        )


def reopen(keys: Iterable[int], *, by: Any = None, why: str) -> None:
    """Settled executions have something to do again."""
    settled = Execution.objects.filter(pk__in=list(keys), state=Progress.SETTLED)
    states.move_all(settled, Progress.ACTIVATING, by=by, why=why)


def collect_again(execution: Execution, *, by: Any = None, why: str) -> None:
    """It has something to collect; of a settled execution nothing is collected."""
    rows = Execution.objects.filter(pk=execution.pk)
    states.move_all(rows, Progress.COLLECTING, by=by, why=why)


def share(execution_pk: int) -> Stop:
    """
    Whether the execution is stopped, and keep it so until this transaction ends.

    Whoever gives, owes or voids looks here first, so that a stop that was granted is
    seen by all that begins after it, and nothing is settled over work on its way.
    Executions are locked before any other row.
    """
    return _stop_of(execution_pk, "SHARE")


def seize(execution_pk: int) -> Stop:
    """
    The same for whoever may go on to move the execution itself: two that share it and
    then both want to change it would wait for each other.
    """
    return _stop_of(execution_pk, "NO KEY UPDATE")


def seized(execution: Execution) -> Execution:
    """The execution, seized, and stopped or not as it is by now."""
    execution.stop = seize(execution.pk)
    return execution


def _stop_of(execution_pk: int, lock: str) -> Stop:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT stop FROM executions_execution WHERE id = %s FOR {lock}",  # noqa: S608
            [execution_pk],
        )
        return Stop(cursor.fetchone()[0])


def _ask_anew(
    rows: QuerySet[Trigger], deliveries: Mapping[int, Delivery | None]
) -> None:
    # Counting the announcement first: an answer to an earlier question, on its way
    # now, compares this count and leaves the row waiting.
    sets.set_each(
        Trigger,
        {
            pk: {"delivery": delivery.pk if delivery else None}
            for pk, delivery in deliveries.items()
        },
        announced=F("announced") + 1,
        attempts=0,
        not_before=Now(),
    )
    states.move_all(
        rows, Asking.WAITING, why="It was announced again.", reason="", problem=""
    )
