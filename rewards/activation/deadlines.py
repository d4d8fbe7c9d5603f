"""Sweeps of the scheduler for rewards whose lease ended or whose deadline passed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Now

from promoportal.db import database_identity, state_machine
from promoportal.db.database_clock import seconds_from_now
from rewards.activation.call_pool import Outcome
from rewards.activation.request_lifetime import PROMPTLY
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt

# Most rows that one statement changes. The next sweep changes further rows.
SWEEP = 5000


def expire() -> int:
    """
    Mark rewards whose lease ended as `UNCERTAIN`; return the number of rewards.

    Such a reward may have been sent, so it does not become `OWED`. If the clock was set
    forward, a worker may have sent it just now. So if `lease_until` is older, it is set
    to `PROMPTLY` seconds ago: "not found" counts only `settle_grace` after this time.
    """
    expired = Assignment.objects.filter(
        state=AssignmentState.ACTIVATING, lease_until__lte=Now()
    ).order_by("lease_until")[:SWEEP]
    with transaction.atomic():
        return lose(
            expired.select_for_update(skip_locked=True),
            why="Its worker died or froze while it may have been sent.",
            deaths=F("deaths") + 1,
            lease_until=Greatest("lease_until", seconds_from_now(-PROMPTLY)),
        )


def lose(rows: QuerySet[Assignment], *, why: str, **changes: Any) -> int:
    """Mark rewards of lost workers as `UNCERTAIN`; return the number of rewards."""
    lost = state_machine.move_all(
        rows,
        AssignmentState.UNCERTAIN,
        why=why,
        doubtful=True,
        token=None,
        not_before=Now(),
        **changes,
    )
    Attempt.objects.filter(assignment__in=lost, outcome="").update(
        outcome=Outcome.LOST, ended_at=Now()
    )
    return len(lost)


def hold_too_late() -> int:
    """Set rewards that have been `OWED` for too long to `HELD`; return their number."""
    late = Assignment.objects.filter(
        state=AssignmentState.OWED,
        owed_since__lte=Now() - settings.ACTIVATE_WITHIN,
    )
    return _hold(late, AssignmentReason.TOO_LATE, "It was not activated in time.")


def hold_unsettled() -> int:
    """
    Set rewards that stay `doubtful` for too long to `HELD`; return their number.

    For `SETTLE_WITHIN` after a restored backup, this function changes nothing: rewards
    that became `doubtful` by the restore may not have been looked up yet.
    """
    if database_identity.was_broken(within=settings.SETTLE_WITHIN):
        return 0
    hours = settings.SETTLE_WITHIN.total_seconds() / 3600
    problem = f"For {hours:g} hours the platform did not say what became of it."
    overdue = Assignment.objects.filter(
        state__in=[AssignmentState.OWED, AssignmentState.UNCERTAIN],
        doubtful=True,
        first_sent_at__lte=Now() - settings.SETTLE_WITHIN,
    )
    return _hold(overdue, AssignmentReason.UNANSWERED, problem, problem=problem)


def _hold(
    rows: QuerySet[Assignment], reason: AssignmentReason, why: str, **changes: Any
) -> int:
    with transaction.atomic():
        free = rows[:SWEEP].select_for_update(skip_locked=True)
        held = AssignmentState.HELD
        return len(
            state_machine.move_all(free, held, why=why, reason=reason, **changes)
        )
