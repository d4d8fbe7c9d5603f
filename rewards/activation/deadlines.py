from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Now

from promoportal.db import database_identity, state_machine
from promoportal.db.database_clock import seconds_from_now
from rewards.activation.call_pool import Outcome
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt

# How many rows a statement of a sweep moves: the rest comes a second later.
SWEEP = 5000
# Seconds after a lease's end in which it is seen to be over, unless nobody looked or the
# database's clock was set forward.
PROMPTLY = 5.0


def expire() -> int:
    """
    What a lease ran out on may have been sent: uncertain, never owed.

    If its end is long past, by a clock that may have been set forward, whoever holds it
    may have sent it just now: "not known there" counts only some time after this.

    :returns: how many rows that were
    """
    over = Assignment.objects.filter(
        state=AssignmentState.ACTIVATING, lease_until__lte=Now()
    ).order_by("lease_until")[:SWEEP]
    with transaction.atomic():
        return lose(
            over.select_for_update(skip_locked=True),
            why="Its worker died or froze while it may have been sent.",
            deaths=F("deaths") + 1,
            lease_until=Greatest("lease_until", seconds_from_now(-PROMPTLY)),
        )


def lose(rows: QuerySet[Assignment], *, why: str, **changes: Any) -> int:
    """What is being activated by nobody who could tell is uncertain; say how many."""
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
    """What is owed for too long is not given any more without a person's word."""
    late = Assignment.objects.filter(
        state=AssignmentState.OWED,
        owed_since__lte=seconds_from_now(-settings.ACTIVATE_WITHIN.total_seconds()),
    )
    return _hold(late, AssignmentReason.TOO_LATE, "It was not activated in time.")


def hold_unsettled() -> int:
    """
    What was in doubt for too long is for a person, with all that is known of it.

    After a restored backup the time begins anew: what the gap put in doubt was not asked
    about yet.
    """
    if database_identity.was_broken(within=settings.SETTLE_WITHIN):
        return 0
    hours = settings.SETTLE_WITHIN.total_seconds() / 3600
    problem = f"For {hours:g} hours the platform did not say what became of it."
    overdue = Assignment.objects.filter(
        state__in=[AssignmentState.OWED, AssignmentState.UNCERTAIN],
        doubtful=True,
        first_sent_at__lte=seconds_from_now(-settings.SETTLE_WITHIN.total_seconds()),
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
