"""
After a restored backup: what was given since it was taken is in doubt, not owed.

Keys are derived, so that the platform knows what is sent again, for as long as it
remembers keys. What it may have forgotten, or where it knows none, is asked about or goes
to a person. Nothing is sent as if for the first time that may have been sent before.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from promoportal import optimove
from promoportal.db import database_identity, state_machine
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.database_identity import Continuity, Gap
from redemptions.models import Redemption, RedemptionReason, RedemptionState
from rewards.activation import deadlines
from rewards.activation.claims import LEASE
from rewards.models import Assignment, AssignmentState

_log = logging.getLogger("promoportal.restoring")

# Seconds; what was sent so shortly before a backup is in doubt without need.
_NOTED_EVERY = 10.0


def detect_restore() -> Gap | None:
    """
    Doubt what may have been sent meanwhile if this is a restored database.

    If it is not, note that the portal works here.

    :returns: the gap that was found, if one was just now
    """
    database = database_identity.here()
    lately = Continuity.objects.filter(
        database=database, seen_at__gt=seconds_from_now(-_NOTED_EVERY)
    )
    if lately.exists():
        return None
    with transaction.atomic():
        row = database_identity.locked()
        if row.database == database:
            Continuity.objects.update(seen_at=Now())
            return None
        return _doubt(row.seen_at)


def restored(since: datetime) -> Gap:
    """
    Doubt what may have been sent since then, because a person says so.

    :raises ValueError: if that time is not over yet
    """
    if since >= database_now():
        raise ValueError(
            f"{since:%Y-%m-%d %H:%M %Z} is not over yet; say when the backup was taken."
        )
    with transaction.atomic():
        database_identity.locked()
        return _doubt(since)


def _doubt(since: datetime) -> Gap:
    deadlines.lose(
        Assignment.objects.filter(state=AssignmentState.ACTIVATING),
        why="A backup was restored: it may have been sent since that was taken.",
    )
    # Whoever held them last, of whom this database knows nothing, may be sending still:
    # from its lease's end on a platform is given time until "not known" counts.
    Assignment.objects.exclude(state=AssignmentState.ACTIVE).update(
        doubtful=True,
        first_sent_at=Coalesce("first_sent_at", since),
        lease_until=seconds_from_now(LEASE),
    )
    if not optimove.current().redemptions.repeat_is_safe:
        _hold_reports()
    Continuity.objects.update(database=database_identity.here(), seen_at=Now())
    _log.warning("database.restored", extra={"since": str(since)})
    return Gap.objects.create(since=since)


def _hold_reports() -> None:
    problem = "A backup was restored: it may have been reported since that was taken."
    state_machine.move_all(
        Redemption.objects.filter(state=RedemptionState.WAITING),
        RedemptionState.HELD,
        why=problem,
        reason=RedemptionReason.UNANSWERED,
        problem=problem,
    )
