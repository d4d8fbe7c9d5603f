"""
Detection of a database other than the one that the portal last ran on.

A restored backup does not show what was sent after it was taken. But the
stored identity then differs from the real one, except in a file-level copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models.functions import Now

# The server, its timeline and the OID of the table. The timeline changes with each
# failover or point-in-time restore; the OID differs in a restored dump. The timeline is
# read from the current WAL file: the one in the last checkpoint may be minutes old.
_HERE = """
    concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        'promoportal_continuity'::regclass::oid
    )
"""
# A time in the future by more than this shows that the clock was set back.
CLOCK_TOLERANCE = timedelta(seconds=2)
_ELSEWHERE = f"""
    SELECT EXISTS (
        SELECT 1 FROM promoportal_continuity
        WHERE database <> {_HERE}
           OR seen_at > statement_timestamp() + make_interval(secs => %s)
    )
"""  # noqa: S608 - no input in it
# Allowance for calls that were running when a gap ended.
_MARGIN = timedelta(minutes=5)
# The largest difference of two time zones. A time of Optimove may be in another zone
# than the contract says, and the webhooks of one execution may arrive within a day.
ZONES = timedelta(hours=26)


# The number of the advisory lock of the gaps: "gaps" in ASCII.
_GAPS = 0x67617073


class Gap(models.Model):
    """A period in which the portal ran, and which is missing from this database."""

    since = models.DateTimeField()
    until = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Continuity(models.Model):
    """One row: the identity of the database, and when the portal last ran on it."""

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
    """Return this database's identity. Only its file-level copies share it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_HERE}")
        return str(cursor.fetchone()[0])


def has_changed() -> bool:
    """
    Return whether the database was replaced, and the scheduler has not noticed yet.

    It also counts as changed if its clock was set back: rewards then look too young.
    Call this in the transaction that claims rows, which may run before the scheduler.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ELSEWHERE, [CLOCK_TOLERANCE.total_seconds()])
        return bool(cursor.fetchone()[0])


def was_seen(*, within: timedelta) -> bool:
    """Return whether the scheduler ran on this database within this time."""
    return Continuity.objects.filter(seen_at__gt=Now() - within).exists()


def locked() -> Continuity:
    """Return the one row, locked until the transaction ends; create it if missing."""
    Continuity.objects.bulk_create(
        [Continuity(pk=1, database=here())], ignore_conflicts=True
    )
    return Continuity.objects.select_for_update().get()


def lock_gaps(*, shared: bool) -> None:
    """
    Lock the gaps until the transaction ends.

    A transaction that stores new rows takes the shared lock before it reads the gaps.
    The one that records a gap and marks the rows takes the exclusive lock. So each row
    is either marked, or stored by the gaps. Take this lock before all locks of rows.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_GAPS])


def doubtful_since(
    unlisted_at: datetime | None, gaps: Iterable[Gap]
) -> datetime | None:
    """
    Return the start of the first gap in which the reward may have been sent.

    `unlisted_at` is a time at which Optimove did not list the reward yet, or None if no
    such time is known. In a gap that ended before, the reward was not sent.
    """
    lost = [
        gap.since
        for gap in gaps
        if unlisted_at is None or unlisted_at <= gap.until + _MARGIN
    ]
    return min(lost, default=None)


def calls_end(gaps: Iterable[Gap]) -> datetime | None:
    """
    Return the time at which calls from before the last gap have ended; None if no gap.

    A worker may still send rows of a claim that this database does not contain.
    """
    return max((gap.until + _MARGIN for gap in gaps), default=None)


def less_zones(at: datetime | None) -> datetime | None:
    """Return a time before which `at` cannot be, even if its time zone is wrong."""
    return at and at - ZONES


def was_broken(*, within: timedelta) -> bool:
    """Return whether a gap ended within this time."""
    return Gap.objects.filter(until__gt=Now() - within).exists()
