"""
Optimove's rate limit, which all processes share.

Optimove allows 50 requests in any 10 s: a sliding window over both of its APIs.
CONFIRMED: developer.optimove.com /reference/understanding-api-rate-limits-at-optimove.
(A token bucket could send 100 in 10 s: the full bucket, and the refill of this time.)

No function sleeps: if no call is free, `acquire` returns the time to wait.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction

from promoportal.runtime import monotonic_clock
from promoportal.runtime.monotonic_clock import Machine

# Stricter than Optimove's limit, by two calls and half a second: for calls that arrive
# late, and for engineers who use the key by hand.
WINDOW = timedelta(seconds=10.5)
# Differences up to this are no step of a clock: a query may wait for its lock.
_TOLERANCE = "interval '0.25 seconds'"
# More than the machines in use. At this number, only the asking one is kept.
_MAX_MACHINES = 100
# Seconds for which a grant is valid. A call that is sent later may exceed the limit.
_GOOD_FOR = 0.4


class Priority(enum.IntEnum):
    """Kinds of calls. A kind waits if the window has this many calls of all kinds."""

    PERSON = 48  # staff wait for a page: all calls of the window
    COLLECTING = 44  # customers wait: leaves some calls to staff
    REPORTING = 36  # no one waits: leaves a quarter to the other kinds


# Number of calls that assignment fetches leave to reporting, even above its value 36.
# Otherwise, an endless flow of customers could stop all reports.
FOR_REPORTS = 4


@dataclass(frozen=True, slots=True)
class Granted:
    """Permission for one call, which must begin at once."""

    at: float = field(default_factory=monotonic_clock.awake)

    @property
    def is_good(self) -> bool:
        """Return whether there is still time to begin the call."""
        return monotonic_clock.awake() - self.at < _GOOD_FOR


@dataclass(frozen=True, slots=True)
class Wait:
    """The seconds for which no call is allowed."""

    seconds: float


class Allowance(models.Model):
    """The times of the last granted calls, in one row for all processes."""

    granted_at = ArrayField(models.DateTimeField(), default=list)
    reports_at = ArrayField(models.DateTimeField(), default=list)  # calls of reporting
    not_before = models.DateTimeField(null=True)  # after a 429 of Optimove
    refusals = models.PositiveSmallIntegerField(default=0)
    asked_at = models.DateTimeField(null=True)
    # The database time at which the clock of each machine was zero.
    machines = models.JSONField(default=dict, db_default={})

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(pk=1), name="allowance_is_one_row"
            )
        ]

    def __str__(self) -> str:
        return f"{len(self.granted_at)} recent calls"


# Counts the calls in the window, and the calls that are free for a priority. The clock
# is read after the row is locked, so that the wait for the lock ages no call.
# clock_timestamp() is the present time; now() is the start of the transaction.
_COUNTED = """
    , recent AS MATERIALIZED (
        SELECT *,
            ARRAY(SELECT {stamp} FROM unnest(granted_at) AS at
                  WHERE {stamp} > now - span AND {stamp} <= now ORDER BY 1) AS calls,
            ARRAY(SELECT {stamp} FROM unnest(reports_at) AS at
                  WHERE {stamp} > now - span AND {stamp} <= now ORDER BY 1) AS reports,
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
_REMAINING = f"""
    WITH clocked AS MATERIALIZED (
        SELECT *, clock_timestamp() AS now, make_interval(secs => %(window)s) AS span
        FROM promoportal_allowance WHERE id = 1
    ) {_COUNTED.format(stamp="at")}
    SELECT free FROM counted
"""  # noqa: S608 - of the constant above
# One statement locks, reads and writes the row. So a second process waits, and then
# reads what the first one wrote. If no call is free, the statement returns the time to
# wait: until the pause ends, or until the oldest call leaves the window.
#
# If the database's clock is set, no call gets older. `step` is the time by which this
# clock advanced more than the asking machine's clock since the machine last asked. The
# times of the calls move by `step`, but by no more than the time since any machine last
# asked. For a machine that never asked, they move by all of this time. If the clock was
# set back, calls in the future count as made now. After a step, the other machines are
# removed, because the step may be undone before they ask. A small difference is not
# stored, so that many small steps add up to one step. See ADR 22.
_ACQUIRE = f"""
    WITH held AS MATERIALIZED (
        SELECT * FROM promoportal_allowance WHERE id = 1 FOR UPDATE
    ), timed AS MATERIALIZED (
        SELECT *, clock_timestamp() AS now, make_interval(secs => %(window)s) AS span
        FROM held
    ), compared AS MATERIALIZED (
        SELECT *, now - make_interval(secs => %(clock)s) AS started,
            now - make_interval(secs => %(clock)s)
                - (machines ->> %(machine)s)::timestamptz AS step
        FROM timed
    ), clocked AS MATERIALIZED (
        SELECT *,
            CASE WHEN step <= {_TOLERANCE} THEN interval '0'
            ELSE greatest(interval '0', least(step, now - asked_at)) END AS doubt,
            coalesce(step NOT BETWEEN -{_TOLERANCE} AND {_TOLERANCE}, false)
                OR coalesce(now < asked_at, false) AS is_stepped
        FROM compared
    ) {_COUNTED.format(stamp="least(at + doubt, now)")}, kept AS (
        UPDATE promoportal_allowance AS row
        SET granted_at = CASE WHEN free > 0 THEN calls || now ELSE calls END,
            reports_at = CASE WHEN free > 0 AND %(priority)s = 'REPORTING'
                         THEN reports || now ELSE reports END,
            asked_at = now,
            machines = jsonb_build_object(%(machine)s, CASE
                WHEN step BETWEEN -{_TOLERANCE} AND {_TOLERANCE}
                THEN (counted.machines ->> %(machine)s)::timestamptz ELSE started END) || CASE
                WHEN is_stepped OR {_MAX_MACHINES} <= (
                    SELECT count(*) FROM jsonb_object_keys(counted.machines))
                THEN '{{}}' ELSE counted.machines - %(machine)s END
        FROM counted WHERE row.id = 1
    )
    SELECT free, extract(epoch FROM greatest(
        CASE WHEN is_paused THEN not_before END, calls[1] + span) - now)
    FROM counted
"""  # noqa: S608 - of the constants above
_BEGIN = """
    INSERT INTO promoportal_allowance (id, granted_at, reports_at, refusals)
    VALUES (1, '{}', '{}', 0) ON CONFLICT DO NOTHING
"""
_PAUSED = """coalesce(
    not_before > clock_timestamp()
    AND not_before < clock_timestamp() + interval '61 minutes', false)"""
# During a pause, further 429 do not count. A minute without a pause resets the number.
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


def acquire(
    priority: Priority,
    *,
    window: timedelta = WINDOW,
    machine: Machine | None = None,
) -> Granted | Wait:
    """
    Take one call from the window, or return the time to wait.

    Do not call this in a transaction: the row would stay locked until its end.

    :param machine: the asking machine, if it is not this one (in tests)
    """
    values = _values(priority, window)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        name, clock = machine or monotonic_clock.machine()
        cursor.execute(_ACQUIRE, {**values, "machine": name, "clock": clock})
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_BEGIN)
    if row is None:
        return acquire(priority, window=window, machine=machine)
    free, seconds = row
    # A call may be free by now, so the time may be 0. The least value prevents a tight
    # loop.
    return Granted() if free else Wait(max(float(seconds or 0), 0.01))


def remaining(priority: Priority = Priority.PERSON) -> int:
    """
    Return the number of calls that are free now, if the database's clock made no step.

    The number is a hint: another process may take these calls first.
    """
    with connection.cursor() as cursor:
        cursor.execute(_REMAINING, _values(priority, WINDOW))
        row = cursor.fetchone()
    return priority.value if row is None else int(row[0])


def _values(priority: Priority, window: timedelta) -> dict[str, float | str]:
    return {
        "window": window.total_seconds(),
        "priority": priority.name,
        "for_reports": FOR_REPORTS,
        **{each.name.lower(): each.value for each in Priority},
    }


def refused(retry_after: float | None) -> None:
    """
    Pause all processes after Optimove responded with 429.

    The pause is `retry_after` seconds, but at most an hour. Without `retry_after`, the
    first pause is 2 s. It doubles with each 429 after a pause, up to 64 s, as
    Optimove's documentation asks.
    """
    seconds = None if retry_after is None else min(max(retry_after, 0.0), 3600.0)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_REFUSED, {"told": seconds})
