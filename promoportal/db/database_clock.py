from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from promoportal.runtime.monotonic_clock import clock


def seconds_from_now(seconds: float) -> CombinedExpression:
    """Return an expression: the time of the database's clock plus `seconds`."""
    return Now() + timedelta(seconds=seconds)


def database_now() -> datetime:
    """Return the time of the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


@dataclass(frozen=True)
class Moment:
    """A moment by the database's clock, and by this process's clock."""

    database: datetime
    process: float

    @classmethod
    def now(cls) -> Moment:
        return cls(database_now(), clock())

    def earliest(self) -> datetime:
        """
        Return this moment by the database's clock as it is now, or an earlier time.

        If the database's clock was set since, its reading from then cannot be compared
        with the times in the rows. The time that passed by this process's clock can.
        """
        now = database_now()
        return min(self.database, now - timedelta(seconds=clock() - self.process))
