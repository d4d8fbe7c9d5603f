"""
Recovery after a restored backup: rows may have been sent since the backup was taken.

Idempotency keys are derived from IDs, so a repeated request has the same key. While the
platform remembers the key, it recognises the repeat. Otherwise the portal asks the
platform whether the reward exists, or staff decide. A reward that may have been sent is
never sent as a new reward.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Least, Now

from executions.models import ExecutionStop
from promoportal import optimove
from promoportal.db import database_identity
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.database_identity import CLOCK_TOLERANCE, Continuity, Gap
from promoportal.operations import clock_set_back
from redemptions import in_doubt
from redemptions.models import Redemption, RedemptionState
from rewards.activation import deadlines
from rewards.activation.request_lifetime import LEASE
from rewards.models import Assignment, AssignmentReason, AssignmentState

_log = logging.getLogger("promoportal.restoring")

# Seconds between two updates of `Continuity.seen_at`. So the start of a gap can be too
# early by this time.
_NOTE_INTERVAL = 10.0


def detect_restore() -> Gap | None:
    """
    Mark rows as possibly sent if this database was restored, and return the gap.

    Otherwise, return None, and update `seen_at` every `_NOTE_INTERVAL` seconds. If the
    clock of the database was set back since the last update, translate stored times.
    """
    database = database_identity.here()
    recent = Continuity.objects.filter(
        database=database, seen_at__gt=seconds_from_now(-_NOTE_INTERVAL)
    )
    if recent.exists() and not database_identity.has_changed():
        return None
    with transaction.atomic():
        row = database_identity.locked()
        now = database_now()
        if row.database == database:
            if row.seen_at > now + CLOCK_TOLERANCE:
                clock_set_back.translate(row.seen_at - now)
            Continuity.objects.update(seen_at=Now())
            return None
        # The clock of a standby may be behind: with a time in the future, staff would
        # have to decide about all rewards.
        return _mark_possibly_sent(min(row.seen_at, now))


def restored(since: datetime) -> Gap:
    """
    Mark rows as possibly sent after a backup of the time `since` was restored.

    :raises ValueError: if the time is in the future
    """
    if since >= database_now():
        raise ValueError(
            f"{since:%Y-%m-%d %H:%M %Z} is not over yet; say when the backup was taken."
        )
    with transaction.atomic():
        database_identity.locked()
        return _mark_possibly_sent(since)


def _cannot_change() -> Q:
    """Return the condition for rows whose state was final when the backup was taken."""
    is_final = Q(reason=AssignmentReason.WRITTEN_OFF)
    is_final |= Q(execution__stop=ExecutionStop.CANCELLED)
    is_void = Q(state=AssignmentState.VOID, doubtful=False)
    return Q(state=AssignmentState.ACTIVE) | (is_void & is_final)


def _mark_possibly_sent(since: datetime) -> Gap:
    database_identity.lock_gaps(shared=False)
    deadlines.lose(
        Assignment.objects.filter(state=AssignmentState.ACTIVATING),
        why="A backup was restored: it may have been sent since that was taken.",
    )
    # A worker may still send rows of a claim that this database does not contain. Such
    # a claim ends before the new `lease_until`. The platform's "not found" counts only
    # some time after `lease_until`.
    Assignment.objects.exclude(_cannot_change()).update(
        doubtful=True,
        # PostgreSQL's LEAST ignores null. A key may have been sent before the first
        # request that this database contains.
        first_sent_at=Least("first_sent_at", Value(since)),
        lease_until=seconds_from_now(LEASE),
    )
    if not optimove.current().redemptions.repeat_is_safe:
        in_doubt.hold_unanswered(
            Redemption.objects.filter(state=RedemptionState.WAITING),
            "A backup was restored: it may have been reported since that was taken.",
        )
    Continuity.objects.update(database=database_identity.here(), seen_at=Now())
    _log.warning("database.restored", extra={"since": str(since)})
    return Gap.objects.create(since=since)
