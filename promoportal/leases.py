"""
Work that one process holds for a while.

A lease is a fact in the row, by the database's clock; whoever holds it measures what is
left by its own clock, which runs on while the machine sleeps, from before it asked, so that no two clocks are ever
compared. What is left when a process freezes is less than it thinks, never more.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from promoportal import ending
from promoportal.clocks import clock


@dataclass(frozen=True)
class Lease:
    """A claim on rows: its token, and how long it lasts in seconds."""

    seconds: float
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    taken: float = field(default_factory=clock)

    def left(self) -> float:
        """Seconds for which the rows are still ours."""
        return self.taken + self.seconds - clock()


@dataclass(frozen=True)
class Budget:
    """How long a job may go on taking work, in seconds; no longer than its process."""

    seconds: float
    begun: float = field(default_factory=time.monotonic)

    def is_spent(self) -> bool:
        return ending.is_near() or time.monotonic() - self.begun >= self.seconds


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


def after(seconds: float) -> CombinedExpression:
    """That many seconds from now, by the database's clock."""
    return Now() + timedelta(seconds=seconds)


def database_now() -> datetime:
    """What time it is there, where times are compared."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def wait(
    waits: Sequence[float], failures: int, retry_after: float | None = None
) -> float:
    """
    Seconds to wait after that many failures: the table's, its last for ever after.

    Jitter keeps rows that failed together from coming back together; a far side's own
    `Retry-After` is never undercut.
    """
    planned = waits[max(min(failures, len(waits)), 1) - 1]
    return max(planned * random.uniform(0.8, 1.2), retry_after or 0)  # noqa: S311
