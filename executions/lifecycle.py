"""An execution hears that it has work: from the vendor, or from a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from executions import signals
from executions.locks import lock_exclusive, seized
from executions.models import (
    Campaign,
    Delivery,
    Execution,
    ExecutionKind,
    ExecutionProgress,
    ExecutionReason,
    ExecutionStop,
    Trigger,
    TriggerState,
)
from promoportal.db import bulk, state_machine


def open_execution(
    occurrence: str,
    *,
    kind: ExecutionKind = ExecutionKind.SCHEDULED,
    by: Any = None,
    why: str = "",
) -> Execution:
    """
    Open or join the execution of that occurrence, and ask for its whole list.

    A cancelled execution is not reopened.
    """
    why = why or "It was announced."
    with transaction.atomic():
        execution = seized(join(occurrence, kind=kind))
        if execution.stop != ExecutionStop.CANCELLED:
            mark_collecting(execution, by=by, why=why)
            signals.announced.send(Execution, row=execution, by=by, why=why)
    return execution


def add_triggers(
    occurrence: str, customers: Sequence[tuple[str, Delivery | None]]
) -> Execution:
    """Ask for customers of a triggered execution, anew for those asked before."""
    with transaction.atomic():
        execution = seized(join(occurrence, kind=ExecutionKind.TRIGGERED))
        named = dict(customers)
        rows = Trigger.objects.filter(execution=execution, customer__in=named)
        known = dict(rows.values_list("customer", "pk"))
        _ask_anew(rows, {pk: named[customer] for customer, pk in known.items()})
        Trigger.objects.bulk_create(
            Trigger(execution=execution, customer=customer, delivery=delivery)
            for customer, delivery in named.items()
            if customer not in known
        )
        mark_collecting(execution, why="A customer triggered it.")
        signals.triggered.send(Execution, row=execution)
    return execution


def ask_again(row: Trigger, *, by: Any, why: str) -> None:
    """
    Ask for a held customer once more.

    :raises states.IllegalMove: if it is not held
    """
    with transaction.atomic():
        lock_exclusive(row.execution_id)
        row.move(TriggerState.WAITING, by=by, why=why, attempts=0, not_before=Now())
        mark_collecting(row.execution, by=by, why=why)
        signals.triggered.send(Execution, row=row.execution)


def join(occurrence: str, *, kind: ExecutionKind) -> Execution:
    """The one execution of that occurrence, whoever announces it first."""
    execution, _ = Execution.objects.get_or_create(
        reference=occurrence, defaults={"kind": kind}
    )
    if execution.kind == ExecutionKind.UNKNOWN != kind:
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
    settled = Execution.objects.filter(
        pk__in=list(keys), state=ExecutionProgress.SETTLED
    )
    state_machine.move_all(settled, ExecutionProgress.ACTIVATING, by=by, why=why)


def mark_collecting(execution: Execution, *, by: Any = None, why: str) -> None:
    """It has something to collect; of a settled execution nothing is collected."""
    rows = Execution.objects.filter(pk=execution.pk)
    state_machine.move_all(rows, ExecutionProgress.COLLECTING, by=by, why=why)


def _ask_anew(
    rows: QuerySet[Trigger], deliveries: Mapping[int, Delivery | None]
) -> None:
    # Counting the announcement first: an answer to an earlier question, on its way
    # now, compares this count and leaves the row waiting.
    bulk.bulk_update(
        Trigger,
        {
            pk: {"delivery": delivery.pk if delivery else None}
            for pk, delivery in deliveries.items()
        },
        announced=F("announced") + 1,
        attempts=0,
        not_before=Now(),
    )
    state_machine.move_all(
        rows, TriggerState.WAITING, why="It was announced again.", reason="", problem=""
    )


def hold(execution: Execution, *, problem: str) -> bool:
    """Stop it until a person lets it go; say whether it was running."""
    rows = Execution.objects.filter(pk=execution.pk)
    moved = state_machine.move_all(
        rows,
        ExecutionStop.HELD,
        machine="stop",
        why=problem,
        reason=ExecutionReason.OVER_LIMIT,
        problem=problem,
    )
    return bool(moved)


def pause(execution: Execution, *, by: Any, why: str) -> None:
    """
    Claim nothing more of it until it is resumed.

    :raises states.IllegalMove: if it is not running
    :raises states.LostRace: if someone else stopped it meanwhile
    """
    execution.move(
        ExecutionStop.PAUSED,
        machine="stop",
        by=by,
        why=why,
        reason=ExecutionReason.BY_STAFF,
        problem=why,
    )


def resume(execution: Execution, *, by: Any, why: str) -> None:
    """
    Let it run again; what held it is let go as it stands now.

    :raises states.IllegalMove: if it is not held or paused
    :raises states.LostRace: if someone else moved it meanwhile
    """
    with transaction.atomic():
        execution.move(
            ExecutionStop.NONE, machine="stop", by=by, why=why, reason="", problem=""
        )
        signals.resumed.send(Execution, row=execution, by=by)


def cancel(execution: Execution, *, by: Any, why: str) -> None:
    """
    Give nothing more of it, for good.

    :raises states.IllegalMove: if it is cancelled already
    """
    with transaction.atomic():
        reason = ExecutionReason.BY_STAFF if by else ExecutionReason.BY_VENDOR
        execution.move(
            ExecutionStop.CANCELLED,
            machine="stop",
            by=by,
            why=why,
            reason=reason,
            problem=why,
        )
        signals.cancelled.send(Execution, row=execution, by=by)


def cancel_by_vendor(occurrence: str) -> Execution:
    """The vendor cancelled it, perhaps before it announced it, perhaps twice."""
    with transaction.atomic():
        execution = seized(join(occurrence, kind=ExecutionKind.UNKNOWN))
        if execution.stop != ExecutionStop.CANCELLED:
            cancel(execution, by=None, why="Optimove cancelled it (event 4).")
    return execution
