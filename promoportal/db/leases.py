"""
Work that one process holds for a while.

The row stores the end of a lease by the database's clock. The process that holds it
measures what is left by its own clock, which also runs while the machine sleeps, from
before it asked for the lease. No two clocks are ever compared, and a process that was
frozen has less time left than it thinks, never more.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models.functions import Now

from promoportal.db.database_clock import seconds_from_now
from promoportal.runtime.monotonic_clock import clock

# Columns of a row that no process holds.
RELEASED: dict[str, Any] = {"token": None, "lease_until": None}


@dataclass(frozen=True)
class Lease:
    """A claim on rows: its token, and how long it lasts in seconds."""

    seconds: float
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    taken: float = field(default_factory=clock)

    def left(self) -> float:
        """Seconds for which the rows are still ours."""
        return self.taken + self.seconds - clock()


def leased(lease: Lease) -> dict[str, Any]:
    """Return the columns of a row that is held under this lease, from now on."""
    return {"token": lease.token, "lease_until": seconds_from_now(lease.seconds)}


class Leased(models.Model):
    """A row that is worked on by one at a time, tried again, and not before a time."""

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
    """Rows whose time has come."""
    return models.Q(not_before__lte=Now())


def unleased() -> models.Q:
    """Rows nobody holds."""
    return models.Q(lease_until=None) | models.Q(lease_until__lte=Now())
