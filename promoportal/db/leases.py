"""
Leases: rows that one worker may process for a limited time.

The row stores the end of the lease by the database's clock. The worker measures the
time left by its own clock, which also runs while the machine sleeps. It starts to
measure before it requests the lease. So two clocks are never compared. Unless a clock
is set or stops, the lease ends earlier for the worker than in the database.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models.functions import Now

from promoportal.db.database_clock import seconds_from_now
from promoportal.runtime.monotonic_clock import clock

# Columns of a row without a lease.
RELEASED: dict[str, Any] = {"token": None, "lease_until": None}


@dataclass(frozen=True)
class Lease:
    """A lease of rows: its token, its duration in seconds, and its start."""

    seconds: float
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    taken: float = field(default_factory=clock)

    def left(self) -> float:
        """Return the seconds until this lease ends, by this process's clock."""
        return self.taken + self.seconds - clock()


def leased(lease: Lease) -> dict[str, Any]:
    """Return the column values that give a row this lease."""
    return {"token": lease.token, "lease_until": seconds_from_now(lease.seconds)}


class Leased(models.Model):
    """A row that one worker at a time processes, from `not_before` on."""

    not_before = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField(null=True, blank=True)
    token = models.UUIDField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often it was taken up; numbers its attempts."
    )
    failures = models.PositiveIntegerField(
        default=0, help_text="Failures since it last went well; sets the next wait."
    )

    class Meta:
        abstract = True


def due() -> models.Q:
    """Return the condition for rows whose `not_before` has passed."""
    return models.Q(not_before__lte=Now())


def unleased() -> models.Q:
    """Return the condition for rows without a lease that is still valid."""
    return models.Q(lease_until=None) | models.Q(lease_until__lte=Now())
