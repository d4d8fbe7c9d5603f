"""Creation of redemptions in the transaction that activates their rewards."""

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
    """Create redemptions for activated assignments, unless their mode is "off"."""
    now = database_now()
    rows = list(_new(_activated(keys), now))
    # Each assignment has at most one redemption: a second call inserts none.
    bulk.bulk_insert(Redemption, rows, ignore_conflicts=True)
    reopen({row["execution"] for row in rows}, why="There is something to report.")
    if any(row["mode"] == ReportMode.TRIGGERED for row in rows):
        signals.waiting.send(Redemption)


def mode_of(assignment: Assignment) -> ReportMode | None:
    """Return the mode of the promotion, else of `REDEMPTION_MODE`; None for "off"."""
    promotion = assignment.promotion
    own = promotion.redemption_mode if promotion else ""
    chosen: str = own or settings.REDEMPTION_MODE
    if chosen == "auto":
        is_triggered = assignment.execution.kind == ExecutionKind.TRIGGERED
        return ReportMode.TRIGGERED if is_triggered else ReportMode.SCHEDULED
    return _MODES.get(chosen)


def next_batch(now: datetime, interval: timedelta) -> datetime:
    """Return the end of the current interval, when its redemptions become due."""
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
