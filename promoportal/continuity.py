"""
Whether this database is the one the portal worked in last.

A restored backup knows nothing of what was sent after it was taken. So the portal notes
which database it works in, and when it last did: in a restored one both are of old.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection, models
from django.db.models.functions import Now

from promoportal.leases import after

# The server and its timeline, which a restore to a point in time begins anew; and the
# table's own number, which a restored dump has of its own.
_HERE = """
    SELECT concat_ws(
        '/', system_identifier, timeline_id, 'promoportal_continuity'::regclass::oid)
    FROM pg_control_system(), pg_control_checkpoint()
"""
# For what the vendor's clock differs from ours.
_MARGIN = timedelta(minutes=5)


class Gap(NamedTuple):
    """A time of which our rows know nothing, though the portal worked."""

    since: datetime
    until: datetime


class Continuity(models.Model):
    """One row: which database this is, when the portal was last seen, and its last gap."""

    database = models.CharField(max_length=200)
    seen_at = models.DateTimeField(db_default=Now())
    gap_since = models.DateTimeField(null=True)
    gap_until = models.DateTimeField(null=True)

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
        cursor.execute(_HERE)
        return str(cursor.fetchone()[0])


def locked() -> Continuity:
    """The one row, until the transaction ends; made when it is first needed."""
    Continuity.objects.bulk_create(
        [Continuity(pk=1, database=here())], ignore_conflicts=True
    )
    return Continuity.objects.select_for_update().get()


def gap() -> Gap | None:
    """The last gap, if there ever was one."""
    row = Continuity.objects.exclude(gap_since=None).first()
    if row is None or row.gap_since is None or row.gap_until is None:
        return None
    return Gap(row.gap_since, row.gap_until + _MARGIN)


def was_broken(*, within: timedelta) -> bool:
    """Whether a gap ended in that time, so that what it put in doubt is still new."""
    lately = after(-within.total_seconds())
    return Continuity.objects.filter(gap_until__gt=lately).exists()
