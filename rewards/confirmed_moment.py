"""The moment whose rows a user saw in the preview of a bulk retry, and confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from promoportal.db.bulk_result import SkipKind, SkipReason
from rewards.models import Assignment

LISTED_LATER = SkipReason(SkipKind.CHANGED, "it was listed after you confirmed")
CHANGED_LATER = SkipReason(
    SkipKind.CHANGED, "it changed after you confirmed: look at it again"
)


@dataclass(frozen=True)
class ConfirmedMoment:
    """The last moment whose rows the user saw: the highest key, and the time."""

    newest: int
    at: datetime

    def obstacle(self, row: Assignment) -> SkipReason | None:
        """Return why the row is not what the user confirmed, or None."""
        if row.pk > self.newest:
            return LISTED_LATER
        times = (row.state_since, row.changed_at)
        return CHANGED_LATER if any(at and at >= self.at for at in times) else None

    def obstacles(self, rows: Iterable[Assignment]) -> dict[int, SkipReason]:
        """Return the reasons for the rows that the user did not confirm, by key."""
        found = {row.pk: self.obstacle(row) for row in rows}
        return {pk: obstacle for pk, obstacle in found.items() if obstacle}


def this_moment() -> ConfirmedMoment:
    """
    Return the moment before a preview is read: later rows and changes count as new.

    A transaction may have changed a row already, but commit after the preview was read.
    So the time is the one at which the oldest such transaction can have changed a row.
    """
    newest = Assignment.objects.order_by("-pk").values_list("pk", flat=True).first()
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST_CHANGE)
        return ConfirmedMoment(newest or 0, cursor.fetchone()[0])


# A transaction with an ID has changed rows. Without an ID, only its statement can. A
# backup or VACUUM may run for hours, but never changes an assignment.
_OLDEST_CHANGE = r"""
    SELECT least(statement_timestamp(), min(CASE
        WHEN backend_xid IS NOT NULL THEN xact_start
        WHEN state = 'active' AND query !~* '^\s*(copy|vacuum|analyze)' THEN query_start
    END))
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
