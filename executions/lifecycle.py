"""State changes of executions: open, trigger, hold, pause, resume and cancel."""

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
from promoportal.db.row_versions import Seen


def open_execution(
    occurrence: str,
    *,
    kind: ExecutionKind = ExecutionKind.SCHEDULED,
    by: Any = None,
    why: str = "",
) -> Execution:
    """
    Open the execution of this occurrence, or join it, and request its complete list.

    A cancelled execution stays cancelled, and its list is not requested.
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
    """
    Request the assignments of triggered customers; create or reset their rows.

    Nothing of a cancelled execution is given, so its customers are not looked up.
    """
    with transaction.atomic():
        execution = seized(join(occurrence, kind=ExecutionKind.TRIGGERED))
        if execution.stop != ExecutionStop.CANCELLED:
            _add_rows(execution, dict(customers))
            mark_collecting(execution, why="A customer triggered it.")
            signals.triggered.send(Execution, row=execution)
    return execution


def _add_rows(execution: Execution, source: Mapping[str, Delivery | None]) -> None:
    rows = Trigger.objects.filter(execution=execution, customer__in=source)
    known = dict(rows.values_list("customer", "pk"))
    _request_again(rows, {pk: source[customer] for customer, pk in known.items()})
    Trigger.objects.bulk_create(
        Trigger(execution=execution, customer=customer, delivery=delivery)
        for customer, delivery in source.items()
        if customer not in known
    )


def ask_again(row: Trigger, *, by: Any, why: str) -> None:
    """
    Request the assignments of a triggered customer again.

    :raises state_machine.IllegalMove: if the customer is still `WAITING`
    """
    with transaction.atomic():
        lock_exclusive(row.execution_id)
        reset: dict[str, Any] = {"attempts": 0, "failures": 0, "not_before": Now()}
        row.move(TriggerState.WAITING, by=by, why=why, **reset)
        mark_collecting(row.execution, by=by, why=why)
        signals.triggered.send(Execution, row=row.execution)


def join(occurrence: str, *, kind: ExecutionKind) -> Execution:
    """Return the execution; create it if missing, or set its kind if it is unknown."""
    execution, _ = Execution.objects.get_or_create(
        reference=occurrence, defaults={"kind": kind}
    )
    if execution.kind == ExecutionKind.UNKNOWN != kind:
        Execution.objects.filter(pk=execution.pk).update(kind=kind)
    return execution


def name_campaign(execution: Execution, series: str | None) -> None:
    """Set the campaign of an execution that has none; create the campaign if new."""
    if series and execution.campaign_id is None:
        campaign, _ = Campaign.objects.get_or_create(reference=series)
        Execution.objects.filter(pk=execution.pk, campaign=None).update(
            campaign=campaign
        )


def reopen(keys: Iterable[int], *, by: Any = None, why: str) -> None:
    """Move the executions that are `SETTLED` back to `ACTIVATING`; skip the others."""
    settled = Execution.objects.filter(
        pk__in=list(keys), state=ExecutionProgress.SETTLED
    )
    state_machine.move_all(settled, ExecutionProgress.ACTIVATING, by=by, why=why)


def mark_collecting(execution: Execution, *, by: Any = None, why: str) -> None:
    """Move the execution to `COLLECTING`, because nothing fetches `SETTLED` ones."""
    rows = Execution.objects.filter(pk=execution.pk)
    state_machine.move_all(rows, ExecutionProgress.COLLECTING, by=by, why=why)


def _request_again(
    rows: QuerySet[Trigger], delivery_by_key: Mapping[int, Delivery | None]
) -> None:
    # `announced` is incremented first. An earlier lookup may still be in flight. When
    # its response arrives, the count differs, and the row stays `WAITING`.
    bulk.bulk_update(
        Trigger,
        {
            pk: {"delivery": delivery.pk if delivery else None}
            for pk, delivery in delivery_by_key.items()
        },
        announced=F("announced") + 1,
        attempts=0,
        failures=0,
        not_before=Now(),
    )
    state_machine.move_all(
        rows, TriggerState.WAITING, why="It was announced again.", reason="", problem=""
    )


def hold(execution: Execution, *, problem: str) -> bool:
    """
    Stop an execution that is over a limit; return whether its status changed.

    If it was stopped for this before, only the sentence `problem` is replaced.
    """
    renew(execution, problem=problem)
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


def renew(execution: Execution, *, problem: str) -> None:
    """Replace the sentence of an execution in `HELD`, because its figures changed."""
    held = Execution.objects.filter(pk=execution.pk, stop=ExecutionStop.HELD)
    held.exclude(problem=problem).update(problem=problem)


def pause(execution: Execution, *, by: Any, why: str) -> None:
    """
    Pause an execution: no more of its rewards are claimed until staff resume it.

    :raises state_machine.IllegalMove: if the execution is not running
    :raises state_machine.LostRace: if another transaction stopped it first
    """
    _stop(execution, ExecutionStop.PAUSED, ExecutionReason.BY_STAFF, by=by, why=why)


def resume(
    execution: Execution, *, by: Any, why: str, seen: Seen | None = None
) -> None:
    """
    Resume an execution, and accept its present totals as approved limits.

    `seen` contains the version of the execution, with its totals, that the user saw.

    :raises state_machine.IllegalMove: if the execution is not stopped, or is cancelled
    :raises state_machine.LostRace: if another transaction changed the execution first,
        or its totals are not those that the user saw
    """
    with transaction.atomic():
        execution.move(
            ExecutionStop.NONE, machine="stop", by=by, why=why, reason="", problem=""
        )
        signals.resumed.send(Execution, row=execution, by=by, seen=seen)


def cancel(execution: Execution, *, by: Any, why: str) -> None:
    """
    Cancel an execution permanently: no more of its rewards are claimed.

    :raises state_machine.IllegalMove: if the execution is cancelled already
    """
    with transaction.atomic():
        reason = ExecutionReason.BY_STAFF if by else ExecutionReason.BY_VENDOR
        _stop(execution, ExecutionStop.CANCELLED, reason, by=by, why=why)
        signals.cancelled.send(Execution, row=execution, by=by)


def _stop(
    execution: Execution, to: str, reason: ExecutionReason, *, by: Any, why: str
) -> None:
    execution.move(to, machine="stop", by=by, why=why, reason=reason, problem=why)


def cancel_by_vendor(occurrence: str) -> Execution:
    """Cancel an execution for Optimove; create it if the cancellation arrives first."""
    with transaction.atomic():
        execution = seized(join(occurrence, kind=ExecutionKind.UNKNOWN))
        if execution.stop != ExecutionStop.CANCELLED:
            cancel(execution, by=None, why="Optimove cancelled it (event 4).")
    return execution
