"""What a person may do about a redemption, each with who and why."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from executions.lifecycle import reopen
from executions.locks import lock_exclusive
from promoportal.db import state_machine
from redemptions import signals
from redemptions.models import Redemption, RedemptionState


def report_again(rows: QuerySet[Redemption], *, by: Any, why: str) -> list[int]:
    """Report held redemptions once more; say which."""
    held = rows.filter(state=RedemptionState.HELD)
    with transaction.atomic():
        _seize(held)
        moved = state_machine.move_all(
            held,
            RedemptionState.WAITING,
            by=by,
            why=why,
            reason="",
            problem="",
            not_before=Now(),
            failures=0,
            malformed=0,
            batch_limit=1,
        )
        if moved:
            _reopen(moved, by=by, why=why)
            signals.waiting.send(Redemption)
    return moved


def _seize(rows: QuerySet[Redemption]) -> None:
    """Executions come first, in one order: so none is settled over what is to come."""
    executions = rows.order_by("execution_id").values_list("execution_id", flat=True)
    for execution_pk in executions.distinct():
        lock_exclusive(execution_pk)


def _reopen(moved: list[int], *, by: Any, why: str) -> None:
    chosen = Redemption.objects.filter(pk__in=moved)
    executions = set(chosen.values_list("execution_id", flat=True))
    reopen(executions, by=by, why=why)


def write_off(rows: QuerySet[Redemption], *, by: Any, why: str) -> list[int]:
    """Held redemptions will not be reported; say which."""
    held = rows.filter(state=RedemptionState.HELD)
    return state_machine.move_all(
        held, RedemptionState.WRITTEN_OFF, by=by, why=why, problem=why
    )
