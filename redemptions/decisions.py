"""Decisions of staff about redemptions, each with user and reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from executions.lifecycle import reopen
from executions.locks import lock_exclusive
from promoportal.db import state_machine
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from redemptions import signals
from redemptions.models import Redemption, RedemptionState

_NOT_HELD = SkipReason(SkipKind.WRONG_STATE, "not held")


def report_again(rows: QuerySet[Redemption], *, by: Any, why: str) -> BulkResult:
    """
    Queue redemptions in `HELD` to be reported again, each in its own request.

    The executions are locked first, in the order of their keys: an execution must not
    become `SETTLED` while it has redemptions to report.
    """
    chosen = list(rows.order_by("pk"))
    with transaction.atomic():
        for execution_pk in sorted({row.execution_id for row in _held(chosen)}):
            lock_exclusive(execution_pk)
        moved = _move(
            chosen,
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
            executions = {row.execution_id for row in chosen if row.pk in moved}
            reopen(executions, by=by, why=why)
            signals.waiting.send(Redemption)
    return _result(chosen, moved)


def write_off(rows: QuerySet[Redemption], *, by: Any, why: str) -> BulkResult:
    """Write off redemptions in `HELD`: the portal will not report them."""
    chosen = list(rows.order_by("pk"))
    moved = _move(chosen, RedemptionState.WRITTEN_OFF, by=by, why=why, problem=why)
    return _result(chosen, moved)


def _held(rows: Iterable[Redemption]) -> list[Redemption]:
    return [row for row in rows if row.state == RedemptionState.HELD]


def _move(rows: Iterable[Redemption], to: RedemptionState, **changes: Any) -> set[int]:
    """Move those of the rows that are still in `HELD`; return their keys."""
    keys = [row.pk for row in _held(rows)]
    held = Redemption.objects.filter(pk__in=keys, state=RedemptionState.HELD)
    return set(state_machine.move_all(held, to, **changes))


def _result(rows: Iterable[Redemption], moved: set[int]) -> BulkResult:
    result = BulkResult()
    for row in rows:
        result.record(row, None if row.pk in moved else _NOT_HELD)
    return result
