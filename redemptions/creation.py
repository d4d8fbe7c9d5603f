"""A redemption for every activation, in the transaction that made it active."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from executions.lifecycle import reopen
from executions.models import ExecutionKind
from promoportal.db import bulk
from promoportal.db.bulk import Columns
from promoportal.db.database_clock import database_now
from redemptions import signals
from redemptions.models import Redemption, ReportMode
from rewards.idempotency import redemption_reference
from rewards.models import Assignment, Promotion

_MODES: dict[str, ReportMode] = {
    Promotion.Mode.TRIGGERED: ReportMode.TRIGGERED,
    Promotion.Mode.SCHEDULED: ReportMode.SCHEDULED,
}


def create_redemptions(keys: Sequence[int]) -> None:
    """What became active is to be reported, unless its promotion is not reported."""
    now = database_now()
    rows = list(_new(_activated(keys), now))
    # One per assignment: opening twice changes nothing.
    bulk.bulk_insert(Redemption, rows, ignore_conflicts=True)
    reopen({row["execution"] for row in rows}, why="There is something to report.")
    if any(row["mode"] == ReportMode.TRIGGERED for row in rows):
        signals.waiting.send(Redemption)


def mode_of(assignment: Assignment) -> ReportMode | None:
    """How it is reported: as its promotion says, or as the portal is set; or not."""
    promotion = assignment.promotion
    own = promotion.redemption_mode if promotion else ""
    chosen: str = own or settings.REDEMPTION_MODE
    if chosen == "auto":
        is_triggered = assignment.execution.kind == ExecutionKind.TRIGGERED
        return ReportMode.TRIGGERED if is_triggered else ReportMode.SCHEDULED
    return _MODES.get(chosen)


def next_batch(now: datetime, interval: timedelta) -> datetime:
    """When the batch leaves: at whole intervals, so that all of a time leave together."""
    seconds = interval.total_seconds()
    return datetime.fromtimestamp(
        (now.timestamp() // seconds + 1) * seconds, tz=now.tzinfo
    )


def _activated(keys: Sequence[int]) -> Iterable[Assignment]:
    rows = Assignment.objects.filter(pk__in=keys).order_by("pk")
    return rows.select_related("execution", "promotion")


def _new(assignments: Iterable[Assignment], now: datetime) -> Iterable[Columns]:
    due = {
        ReportMode.TRIGGERED: now,
        ReportMode.SCHEDULED: next_batch(now, settings.REDEMPTION_INTERVAL),
    }
    for assignment in assignments:
        mode = mode_of(assignment)
        if mode and assignment.key:
            yield {
                "assignment": assignment.pk,
                "execution": assignment.execution_id,
                "reference": redemption_reference(assignment.key),
                "redeemed_at": assignment.state_since,
                "mode": mode,
                "not_before": due[mode],
            }
