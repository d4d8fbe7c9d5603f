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


# Count the calls of the window, and those that are free for a priority. The clock is read
# after the row is locked, so that waiting for another process does not age its calls.
# clock_timestamp(), not now(): what counts is when, not in which transaction. Calls from a
# future that a clock set back has left behind do not count.
_COUNTED = """
    WITH held AS MATERIALIZED (
        SELECT granted_at, reports_at, not_before
        FROM promoportal_allowance WHERE id = 1 {lock}
    ), clocked AS MATERIALIZED (
        SELECT *, clock_timestamp() AS now, make_interval(secs => %(window)s) AS span
        FROM held
    ), recent AS MATERIALIZED (
        SELECT *,
            ARRAY(SELECT at FROM unnest(granted_at) AS at
                  WHERE at > now - span AND at < now + span ORDER BY at) AS calls,
            ARRAY(SELECT at FROM unnest(reports_at) AS at
                  WHERE at > now - span AND at < now + span ORDER BY at) AS reports,
            coalesce(not_before > now AND not_before < now + interval '61 minutes', false)
                AS is_paused
        FROM clocked
    ), counted AS MATERIALIZED (
        SELECT *, CASE WHEN is_paused THEN 0 ELSE greatest(0, CASE %(priority)s
            WHEN 'PERSON' THEN %(person)s - cardinality(calls)
            WHEN 'COLLECTING' THEN least(
                %(collecting)s - cardinality(calls),
                %(collecting)s - %(for_reports)s
                    - (cardinality(calls) - cardinality(reports)))
            ELSE least(
                %(collecting)s - cardinality(calls),
                greatest(%(reporting)s - cardinality(calls),
                         %(for_reports)s - cardinality(reports)))
            END) END AS free
        FROM recent
    )
"""
_REMAINING = f"{_COUNTED.format(lock='')} SELECT free FROM counted"  # noqa: S608
# The row is locked, read and written in one statement: who comes second waits, and then
# reads what the first has left. Who gets no call learns when it is worth another try:
# after the pause, or when the oldest call leaves the window.
_ACQUIRE = f"""
    {_COUNTED.format(lock="FOR UPDATE")}, granted AS (
        UPDATE promoportal_allowance AS row
        SET granted_at = calls || now,
            reports_at = CASE WHEN %(priority)s = 'REPORTING' THEN reports || now
                         ELSE row.reports_at END
        FROM counted WHERE row.id = 1 AND free > 0
    )
    SELECT free, extract(epoch FROM greatest(
        CASE WHEN is_paused THEN not_before END, calls[1] + span) - now)
    FROM counted
"""  # noqa: S608 - of the constant above
_BEGIN = """
    INSERT INTO promoportal_allowance (id, granted_at, reports_at, refusals)
    VALUES (1, '{}', '{}', 0) ON CONFLICT DO NOTHING
"""
_PAUSED = """coalesce(
    not_before > clock_timestamp()
    AND not_before < clock_timestamp() + interval '61 minutes', false)"""
# Of the calls refused in one moment, the first counts. A minute of peace forgives.
_REFUSALS = f"""
    CASE WHEN {_PAUSED} THEN refusals
    WHEN not_before > clock_timestamp() - interval '1 minute'
    THEN least(refusals + 1, 6) ELSE 1 END
"""
_REFUSED = f"""
    UPDATE promoportal_allowance
    SET refusals = {_REFUSALS}, not_before = greatest(
        CASE WHEN {_PAUSED} THEN not_before END,
        clock_timestamp() + make_interval(
            secs => coalesce(%(told)s, power(2, {_REFUSALS})::float8)))
    WHERE id = 1
"""  # noqa: S608 - of the constants above


def acquire(priority: Priority, *, window: timedelta = WINDOW) -> Granted | Wait:
    """
    Take one call from the window, or learn how long to stay away.

    Never inside a transaction: the row would be locked until its end.
    """
    values = _values(priority, window)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_ACQUIRE, values)
        found = cursor.fetchone()
        if found is None:
            cursor.execute(_BEGIN)
    if found is None:
        return acquire(priority, window=window)
    free, seconds = found
    # It may have become free since; then at once, but not in a tight circle.
    return Granted() if free else Wait(max(float(seconds or 0), 0.01))


def remaining(
    priority: Priority = Priority.PERSON, *, window: timedelta = WINDOW
) -> int:
    """Return how many calls are free now; others may take them before the caller does."""
    with connection.cursor() as cursor:
        cursor.execute(_REMAINING, _values(priority, window))
        found = cursor.fetchone()
    return priority.value if found is None else int(found[0])


def _values(priority: Priority, window: timedelta) -> dict[str, float | str]:
    return {
        "window": window.total_seconds(),
        "priority": priority.name,
        "for_reports": FOR_REPORTS,
        **{each.name.lower(): each.value for each in Priority},
    }


def refused(retry_after: float | None) -> None:
    """
    Have everybody wait: the vendor said 429.

    As long as it asked for; if it did not say, 2, 4, 8 ... 64 s, as its page asks us to.
    """
    told = None if retry_after is None else min(max(retry_after, 0.0), 3600.0)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_REFUSED, {"told": told})
