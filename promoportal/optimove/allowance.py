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
    """How many of the window's calls may be taken for what."""

    PERSON = 48  # someone is waiting at a page: all there are
    COLLECTING = 44  # customers are waiting; leaves some to a person
    REPORTING = 36  # nobody waits for a report; leaves a quarter to what comes before


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


# clock_timestamp(), not now(): what counts is when, not in which transaction. Grants
# from a future that a clock set back has left behind do not count.
_LATELY = """
    SELECT at FROM unnest(granted_at) AS at
    WHERE at > clock_timestamp() - make_interval(secs => %(window)s)
    AND at < clock_timestamp() + make_interval(secs => %(window)s)
"""
_PAUSED = """
    coalesce(
        not_before > clock_timestamp()
        AND not_before < clock_timestamp() + interval '61 minutes', false)
"""
# One statement. Where another process was quicker, PostgreSQL waits for it and then
# asks the WHERE again, of the row as it is now.
_TAKE = f"""
    UPDATE promoportal_allowance
    SET granted_at = array_append(ARRAY({_LATELY} ORDER BY at), clock_timestamp())
    WHERE id = 1 AND NOT {_PAUSED}
    AND (SELECT count(*) FROM ({_LATELY}) AS lately) < %(limit)s
"""  # noqa: S608 - of the constants above
_WAIT = f"""
    SELECT extract(epoch FROM greatest(
        CASE WHEN {_PAUSED} THEN not_before END,
        (SELECT at + make_interval(secs => %(window)s) FROM ({_LATELY}) AS lately
         ORDER BY at DESC OFFSET %(limit)s - 1 LIMIT 1)
    ) - clock_timestamp())
    FROM promoportal_allowance WHERE id = 1
"""  # noqa: S608 - of the constants above
_LEFT = f"""
    SELECT CASE WHEN {_PAUSED} THEN 0 ELSE greatest(0,
        %(limit)s - (SELECT count(*) FROM ({_LATELY}) AS lately)) END
    FROM promoportal_allowance WHERE id = 1
"""  # noqa: S608 - of the constants above
_BEGIN = """
    INSERT INTO promoportal_allowance (id, granted_at, refusals)
    VALUES (1, '{}', 0) ON CONFLICT DO NOTHING
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


def take(priority: Priority, *, window: timedelta = WINDOW) -> Granted | Wait:
    """
    Take one call from the window, or learn how long to stay away.

    Never inside a transaction: the row would be locked until its end.
    """
    values = {"window": window.total_seconds(), "limit": priority.value}
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        if cursor.rowcount:
            return Granted()
        cursor.execute(_WAIT, values)
        found = cursor.fetchone()
        if found is None:
            cursor.execute(_BEGIN)
    if found is None:
        return take(priority, window=window)
    # It may have become free since; then at once, but not in a tight circle.
    return Wait(max(float(found[0] or 0), 0.01))


def remaining(
    priority: Priority = Priority.PERSON, *, window: timedelta = WINDOW
) -> int:
    """Say how many calls could be taken now; by the time one is, others may have been."""
    values = {"window": window.total_seconds(), "limit": priority.value}
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
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
