"""Decisions of staff about redemptions, each with user and reason."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from executions.lifecycle import reopen
from executions.locks import lock_exclusive
from promoportal.db import row_versions, state_machine
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.database_clock import database_now
from promoportal.db.row_versions import Seen
from redemptions import signals
from redemptions.models import Redemption, RedemptionState
from rewards.activation.request_lifetime import MIN_GRACE

# Time after the lease until a request has no effect any more, as for an activation.
GRACE = timedelta(seconds=MIN_GRACE)
_NOT_HELD = SkipReason(SkipKind.WRONG_STATE, "not held")


def report_again(
    rows: QuerySet[Redemption], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """
    Queue redemptions in `HELD` to be reported again, each in its own request.

    The executions are locked first, in the order of their keys: an execution must not
    become `SETTLED` while it has redemptions to report. A row that differs from its
    version in `seen` is skipped.
    """
    with transaction.atomic():
        for execution_pk in sorted(set(rows.values_list("execution_id", flat=True))):
            lock_exclusive(execution_pk)
        chosen = _locked(rows, seen)
        chosen.skipped.update(_too_early(chosen.free))
        moved = _move(
            chosen.free,
            RedemptionState.WAITING,
            by=by,
            why=why,
            reason="",
            problem="",
            not_before=Now(),
            failures=0,
            malformed=0,
            batch_limit=1,
            lease_until=None,
        )
        if moved:
            executions = {row.execution_id for row in chosen.free if row.pk in moved}
            reopen(executions, by=by, why=why)
            signals.waiting.send(Redemption)
    return _result(chosen, moved)


def write_off(
    rows: QuerySet[Redemption], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Write off redemptions in `HELD`: the portal will not report them."""
    with transaction.atomic():
        chosen = _locked(rows, seen)
        to = RedemptionState.WRITTEN_OFF
        moved = _move(chosen.free, to, by=by, why=why, problem=why)
    return _result(chosen, moved)


class Chosen(NamedTuple):
    """Locked rows, and the reasons why some of them are skipped, by primary key."""

    rows: list[Redemption]
    skipped: dict[int, SkipReason]

    @property
    def free(self) -> list[Redemption]:
        return [row for row in self.rows if row.pk not in self.skipped]


def _locked(rows: QuerySet[Redemption], seen: Seen | None) -> Chosen:
    """Lock the rows, and skip those that are not as the user saw them."""
    locked = list(rows.order_by("pk").select_for_update(of=["self"]))
    found = {row.pk: row_versions.changed(row, seen) for row in locked}
    return Chosen(locked, {pk: changed for pk, changed in found.items() if changed})


def _too_early(rows: Iterable[Redemption]) -> dict[int, SkipReason]:
    """
    Return why rows cannot be reported again yet: their request may still arrive.

    Otherwise, staff would look in Optimove before it counts the first report, and
    Optimove would count both.
    """
    now = database_now()
    ends = {row.pk: row.lease_until + GRACE for row in _held(rows) if row.lease_until}
    return {pk: _wait_until(end) for pk, end in ends.items() if end > now}


def _wait_until(end: datetime) -> SkipReason:
    time = f"{timezone.localtime(end):%Y-%m-%d %H:%M:%S %Z}"
    sentence = f"its request may still arrive until {time}: look in Optimove then"
    return SkipReason(SkipKind.TOO_EARLY, sentence)


def _held(rows: Iterable[Redemption]) -> list[Redemption]:
    return [row for row in rows if row.state == RedemptionState.HELD]


def _move(rows: Iterable[Redemption], to: RedemptionState, **changes: Any) -> set[int]:
    """Move those of the rows that are still in `HELD`; return their keys."""
    keys = [row.pk for row in _held(rows)]
    held = Redemption.objects.filter(pk__in=keys, state=RedemptionState.HELD)
    return set(state_machine.move_all(held, to, **changes))


def _result(chosen: Chosen, moved: set[int]) -> BulkResult:
    result = BulkResult()
    for row in chosen.rows:
        skipped = chosen.skipped.get(row.pk, _NOT_HELD)
        result.record(row, None if row.pk in moved else skipped)
    return result
