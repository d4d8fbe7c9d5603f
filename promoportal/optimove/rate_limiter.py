"""
How many calls the vendor's key has left, shared by every process that uses it.

50 requests in any 10 s, counted by the vendor as a sliding window over both of its APIs.
CONFIRMED: developer.optimove.com /reference/understanding-api-rate-limits-at-optimove.
(A token bucket would allow for twice as many: a full one, and its refill.)

Nobody sleeps here: who gets no call is told how long to stay away.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction

# Two calls and half a second less than is allowed: for what arrives later than it was
# granted, and for a person trying the key by hand.
WINDOW = timedelta(seconds=10.5)
# How long a grant is good for: what leaves later may arrive among too many others.
_GOOD_FOR = 0.4


class Priority(enum.IntEnum):
    """Up to how many calls in the window, all kinds together, may be taken for what."""

    PERSON = 48  # someone is waiting at a page: all there are
    COLLECTING = 44  # customers are waiting; leaves some to a person
    REPORTING = 36  # nobody waits for a report; leaves a quarter to what comes before


# Calls of the window that collecting leaves alone, and that reporting may take although
# the rest is taken: a flow of customers that never stops must not keep every report back.
FOR_REPORTS = 4


@dataclass(frozen=True, slots=True)
class Granted:
    """One call may be made, at once."""

    at: float = field(default_factory=time.monotonic)

    @property
    def is_good(self) -> bool:
        """Whether there is still time to begin the call."""
        return time.monotonic() - self.at < _GOOD_FOR


@dataclass(frozen=True, slots=True)
class Wait:
    """No call may be made for some seconds."""

    seconds: float


class Allowance(models.Model):
    """The times of the last calls granted: one row for all processes."""

    granted_at = ArrayField(models.DateTimeField(), default=list)
    reports_at = ArrayField(models.DateTimeField(), default=list)  # of these, reports
    not_before = models.DateTimeField(null=True)  # the vendor said: too many
    refusals = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(pk=1), name="allowance_is_one_row"
            )
        ]

    def __str__(self) -> str:
        return f"{len(self.granted_at)} calls granted lately"


def _lately(column: str) -> str:
    # clock_timestamp(), not now(): what counts is when, not in which transaction. Grants
    # from a future that a clock set back has left behind do not count.
    return f"""
        SELECT at FROM unnest({column}) AS at
        WHERE at > clock_timestamp() - make_interval(secs => %(window)s)
        AND at < clock_timestamp() + make_interval(secs => %(window)s)
    """  # noqa: S608 - a column of ours


_CALLS = f"(SELECT count(*) FROM ({_lately('granted_at')}) AS lately)"  # noqa: S608
_REPORTS = f"(SELECT count(*) FROM ({_lately('reports_at')}) AS lately)"  # noqa: S608
_PAUSED = """
    coalesce(
        not_before > clock_timestamp()
        AND not_before < clock_timestamp() + interval '61 minutes', false)
"""
_FREE = {
    Priority.PERSON: f"{Priority.PERSON} - {_CALLS}",
    Priority.COLLECTING: f"""least(
        {Priority.COLLECTING} - {_CALLS},
        {Priority.COLLECTING - FOR_REPORTS} - ({_CALLS} - {_REPORTS}))""",
    Priority.REPORTING: f"""least(
        {Priority.COLLECTING} - {_CALLS},
        greatest({Priority.REPORTING} - {_CALLS}, {FOR_REPORTS} - {_REPORTS}))""",
}
_NOTED = {
    Priority.REPORTING: f"""
        , reports_at = array_append(
            ARRAY({_lately("reports_at")} ORDER BY at), clock_timestamp())""",
}


def _taking(priority: Priority) -> str:
    # One statement. Where another process was quicker, PostgreSQL waits for it and then
    # asks the WHERE again, of the row as it is now.
    return f"""
        UPDATE promoportal_allowance
        SET granted_at = array_append(
            ARRAY({_lately("granted_at")} ORDER BY at), clock_timestamp())
        {_NOTED.get(priority, "")}
        WHERE id = 1 AND NOT {_PAUSED} AND {_FREE[priority]} > 0
    """  # noqa: S608 - of the constants above


# Until a pause is over, or the oldest call leaves the window: then it is worth a try.
_WAIT = f"""
    SELECT extract(epoch FROM greatest(
        CASE WHEN {_PAUSED} THEN not_before END,
        (SELECT min(at) + make_interval(secs => %(window)s)
         FROM ({_lately("granted_at")}) AS lately)
    ) - clock_timestamp())
    FROM promoportal_allowance WHERE id = 1
"""  # noqa: S608 - of the constants above


def _left(priority: Priority) -> str:
    return f"""
        SELECT CASE WHEN {_PAUSED} THEN 0 ELSE greatest(0, {_FREE[priority]}) END
        FROM promoportal_allowance WHERE id = 1
    """  # noqa: S608 - of the constants above


_BEGIN = """
    INSERT INTO promoportal_allowance (id, granted_at, reports_at, refusals)
    VALUES (1, '{}', '{}', 0) ON CONFLICT DO NOTHING
"""
# Of the calls refused in one moment, the first counts. A minute of peace forgives.
_COUNTED = f"""
    CASE WHEN {_PAUSED} THEN refusals
    WHEN not_before > clock_timestamp() - interval '1 minute'
    THEN least(refusals + 1, 6) ELSE 1 END
"""
_REFUSED = f"""
    UPDATE promoportal_allowance
    SET refusals = {_COUNTED}, not_before = greatest(
        CASE WHEN {_PAUSED} THEN not_before END,
        clock_timestamp() + make_interval(
            secs => coalesce(%(told)s, power(2, {_COUNTED})::float8)))
    WHERE id = 1
"""  # noqa: S608 - of the constants above


def acquire(priority: Priority, *, window: timedelta = WINDOW) -> Granted | Wait:
    """
    Take one call from the window, or learn how long to stay away.

    Never inside a transaction: the row would be locked until its end.
    """
    values = {"window": window.total_seconds()}
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_taking(priority), values)
        if cursor.rowcount:
            return Granted()
        cursor.execute(_WAIT, values)
        found = cursor.fetchone()
        if found is None:
            cursor.execute(_BEGIN)
    if found is None:
        return acquire(priority, window=window)
    # It may have become free since; then at once, but not in a tight circle.
    return Wait(max(float(found[0] or 0), 0.01))


def remaining(
    priority: Priority = Priority.PERSON, *, window: timedelta = WINDOW
) -> int:
    """Say how many calls could be taken now; by the time one is, others may have been."""
    with connection.cursor() as cursor:
        cursor.execute(_left(priority), {"window": window.total_seconds()})
        found = cursor.fetchone()
    return priority.value if found is None else int(found[0])


def refused(retry_after: float | None) -> None:
    """
    Have everybody wait: the vendor said 429.

    As long as it asked for; if it did not say, 2, 4, 8 ... 64 s, as its page asks us to.
    """
    told = None if retry_after is None else min(max(retry_after, 0.0), 3600.0)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_REFUSED, {"told": told})
