"""
Detection of a database other than the one that the portal last ran on.

A restored backup lacks what was sent after it was taken. So the portal stores which
database it runs on, and when it last did: in a restored one both are old.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models.functions import Now

# The server and its timeline, which changes with a failover and a point-in-time
# restore; and the table's OID, which differs in a restored dump. The timeline is that
# of the WAL file now being written: the one in the last checkpoint is minutes old.
_HERE = """
    concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        'promoportal_continuity'::regclass::oid
    )
"""
_ELSEWHERE = (
    f"SELECT EXISTS (SELECT 1 FROM promoportal_continuity WHERE database <> {_HERE})"  # noqa: S608 - no input in it
)
# Allowance for the difference between Optimove's clock and the portal's.
_MARGIN = timedelta(minutes=5)


class Gap(models.Model):
    """A period in which the portal ran, but which is missing from this database."""

    since = models.DateTimeField()
    until = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Continuity(models.Model):
    """One row: the identity of this database, and when the portal last ran on it."""

    database = models.CharField(max_length=200)
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(pk=1), name="continuity_is_one_row"
            )
        ]

    def __str__(self) -> str:
        return f"seen at {self.seen_at:%Y-%m-%d %H:%M}"


def here() -> str:
    """Return an identity that no copy of this database shares."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_HERE}")
        return str(cursor.fetchone()[0])


def has_changed() -> bool:
    """
    Return whether the database was replaced and the scheduler has not seen it yet.

    Call it in the transaction that claims rows: after a failover a worker may be first.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ELSEWHERE)
        return bool(cursor.fetchone()[0])


def was_seen(*, within: timedelta) -> bool:
    """Return whether the scheduler ran here within this time, idle or not."""
    return Continuity.objects.filter(seen_at__gt=Now() - within).exists()


def locked() -> Continuity:
    """Return the one row, locked until the transaction ends; create it if missing."""
    Continuity.objects.bulk_create(
        [Continuity(pk=1, database=here())], ignore_conflicts=True
    )
    return Continuity.objects.select_for_update().get()


def doubtful_since(
    assigned_at: datetime | None, gaps: Iterable[Gap]
) -> datetime | None:
    """Return since when an assignment of that time may have been sent, or None."""
    lost = [
        gap.since
        for gap in gaps
        if assigned_at is None or assigned_at <= gap.until + _MARGIN
    ]
    return min(lost, default=None)


def was_broken(*, within: timedelta) -> bool:
    """Return whether a gap ended within this time, so that its effects are recent."""
    return Gap.objects.filter(until__gt=Now() - within).exists()
