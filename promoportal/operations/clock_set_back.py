"""
Translation of stored times after the clock of the database was set back.

The times in the rows are by the clock before. Without a translation, a possibly
activated reward looks younger than it is, and would be sent again under a key that the
platform may have forgotten. Rows also wait, and leases last, until the clock has caught
up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Least, Now

from executions.models import Delivery, Trigger, TriggerState
from promoportal.db.database_clock import seconds_from_now
from promoportal.resilience.circuit_breaker import Breaker
from redemptions.models import Redemption, RedemptionState
from rewards.activation.request_lifetime import LEASE
from rewards.models import Assignment, AssignmentState, Collection

_log = logging.getLogger("promoportal.clock")


def translate(step: timedelta) -> None:
    """
    Translate stored times by `step`, by which the clock was set back at least.

    Times since the step are translated too, because the rows do not tell. So a possibly
    activated reward may look older than it is: it then needs review earlier.
    """
    sent = Assignment.objects.exclude(state=AssignmentState.ACTIVE)
    sent.exclude(first_sent_at=None).update(first_sent_at=F("first_sent_at") - step)
    owed = Assignment.objects.filter(state=AssignmentState.OWED)
    owed.filter(owed_since__gt=Now()).update(owed_since=Now())
    for rows in _waiting():
        rows.filter(not_before__gt=Now()).update(
            not_before=Greatest(F("not_before") - step, Now())
        )
    # No lease is longer. A worker that measures its own time may still use the lease.
    latest = seconds_from_now(LEASE)
    for leased in (Assignment, Collection, Redemption, Delivery):
        rows = leased._base_manager.filter(lease_until__gt=latest)
        rows.update(lease_until=Least("lease_until", latest))
    Breaker.objects.filter(open_until__gt=Now()).update(
        open_until=Greatest(F("open_until") - step, Now())
    )
    _log.warning("database.clock_set_back", extra={"seconds": step.total_seconds()})


def _waiting() -> Iterator[QuerySet[Any]]:
    pending = [AssignmentState.OWED, AssignmentState.UNCERTAIN]
    yield Assignment.objects.filter(state__in=pending)
    unsent = [RedemptionState.WAITING, RedemptionState.UNCERTAIN]
    yield Redemption.objects.filter(state__in=unsent)
    yield Trigger.objects.filter(state=TriggerState.WAITING)
    yield Collection.objects.all()
