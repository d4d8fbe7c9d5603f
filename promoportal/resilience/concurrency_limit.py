"""
A limit of the calls to an integration that run at the same time, over all hosts.

A permit is an advisory lock of PostgreSQL, taken by the connection of its holder: when
a process ends for any reason, its permits are free at once. If a process is frozen with
calls in progress, its permits are taken from it after longer than any job lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import InterfaceError, OperationalError, connection

from promoportal.db import advisory_locks

# Seconds without a query after which the holder of a permit is frozen: twice a job's
# turn and a call. By then, every request has its response or will never get one.
FROZEN = 60.0

# "call" in ASCII; it must only differ from the first number of other pairs.
_CALLS = 0x63616C6C

# Takes the first free numbers; LIMIT stops before the others are tried.
_TAKE = """
    SELECT number FROM generate_series(1, %s) AS number
    WHERE pg_try_advisory_lock(%s, number) LIMIT %s
"""
_GIVE_BACK = "SELECT pg_advisory_unlock(%s, number) FROM unnest(%s::int[]) AS number"


@contextmanager
def acquire_permits(most: int, *, of: int) -> Iterator[int]:
    """
    Take the free permits, up to `most` of `of` in all, and yield their number.

    Do not call it inside a transaction, or twice at the same time in one process.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [of, _CALLS, most])
        numbers = [number for (number,) in cursor.fetchall()]
    try:
        yield len(numbers)
    finally:
        # With a lost connection, PostgreSQL has released the permits already.
        with suppress(InterfaceError, OperationalError), connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, [_CALLS, numbers])


def end_frozen(seconds: float = FROZEN) -> int:
    """
    End the connections of frozen processes that have permits, and return their number.

    The job of such a process fails if it ever continues; its rows are leased, and
    resolved like those of a process that crashed.
    """
    return advisory_locks.terminate_idle_holders(
        advisory_locks.all_pairs("permits", _CALLS), seconds=seconds
    )
