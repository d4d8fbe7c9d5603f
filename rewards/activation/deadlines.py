"""Sweeps of the scheduler for rewards whose lease ended or whose deadline passed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from promoportal.db import database_identity, state_machine
from rewards.activation.call_pool import Outcome
from rewards.activation.request_lifetime import lease_end_of_doubt
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from rewards.transitions import mark_active

# Most rows that one statement changes. The next sweep changes further rows.
SWEEP = 5000


def expire() -> int:
    """
    Mark rewards whose lease ended as `UNCERTAIN`; return the number of rewards.

    Such a reward may have been sent, so it does not become `OWED`.
    """
    expired = Assignment.objects.filter(
        state=AssignmentState.ACTIVATING, lease_until__lte=Now()
    ).order_by("lease_until")[:SWEEP]
    with transaction.atomic():
        return lose(
            expired.select_for_update(skip_locked=True),
            why="Its worker died or froze while it may have been sent.",
            deaths=F("deaths") + 1,
            lease_until=lease_end_of_doubt(),
        )


def lose(rows: QuerySet[Assignment], *, why: str, **changes: Any) -> int:
    """
    Mark rewards of lost workers as `UNCERTAIN`; return the number of rewards.

    A reward with a receipt of an earlier attempt in `evidence` becomes `ACTIVE`.
    """
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
    proven = Assignment.objects.filter(pk__in=lost).exclude(evidence="")
    receipts = dict(proven.values_list("pk", "evidence"))
    mark_active(
        proven, receipts, why="An earlier response came late: it was activated."
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
        # A row that is listed long after a restore counts as sent before the restore,
        # but it could not be looked up before it was listed.
        created_at__lte=Now() - settings.SETTLE_WITHIN,
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
