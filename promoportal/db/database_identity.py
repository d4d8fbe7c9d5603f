"""
Whether this database is the one the portal worked in last.

A restored backup knows nothing of what was sent after it was taken. So the portal notes
which database it works in, and when it last did: in a restored one both are of old.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models.functions import Now

from promoportal.db.database_clock import seconds_from_now

# The server and its timeline, which a failover and a restore to a point in time begin
# anew; and the table's own number, which a restored dump has of its own. The timeline is
# that of the log now being written: what the last checkpoint says of it is minutes old.
_HERE = """
    concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        'promoportal_continuity'::regclass::oid
    )
"""
_ELSEWHERE = (
    f"SELECT EXISTS (SELECT 1 FROM promoportal_continuity WHERE database <> {_HERE})"  # noqa: S608 - no value of anybody's
)
# For what the vendor's clock differs from ours.
_MARGIN = timedelta(minutes=5)


class Gap(models.Model):
    """A time of which our rows know nothing, though the portal worked."""

    since = models.DateTimeField()
    until = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Continuity(models.Model):
    """One row: which database this is, and when the portal was last seen in it."""

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
    """What tells this database from every copy of it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_HERE}")
        return str(cursor.fetchone()[0])


def has_changed() -> bool:
    """
    Whether this is another database than the portal last worked in, as far as anybody
    noticed. Whoever is about to send asks in the transaction that takes the rows: a
    worker that runs on through a failover is quicker than the tick.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ELSEWHERE)
        return bool(cursor.fetchone()[0])


def was_seen(*, within: timedelta) -> bool:
    """Whether the portal worked here lately. The tick notes it, an idle one as well."""
    since = seconds_from_now(-within.total_seconds())
    return Continuity.objects.filter(seen_at__gt=since).exists()


def locked() -> Continuity:
    """The one row, until the transaction ends; made when it is first needed."""
    Continuity.objects.bulk_create(
        [Continuity(pk=1, database=here())], ignore_conflicts=True
    )
    return Continuity.objects.select_for_update().get()


def doubtful_since(
    assigned_at: datetime | None, gaps: Iterable[Gap]
) -> datetime | None:
    """Since when what was assigned then may have been sent; None if it was not."""
    lost = [
        gap.since
        for gap in gaps
        if assigned_at is None or assigned_at <= gap.until + _MARGIN
    ]
    return min(lost, default=None)


def was_broken(*, within: timedelta) -> bool:
    """Whether a gap ended in that time, so that what it put in doubt is still new."""
    return Gap.objects.filter(
        until__gt=seconds_from_now(-within.total_seconds())
    ).exists()
