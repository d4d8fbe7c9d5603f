"""
A limit for the number of concurrent calls to the platform, over all hosts.

A permit is an advisory lock of PostgreSQL, which belongs to a process's connection. If
the process ends for any reason, the connection closes and its permits become free. If
the process is frozen, `end_frozen` ends its connection after `FROZEN` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import InterfaceError, OperationalError, connection

from promoportal.db import advisory_locks

# Seconds without a query after which the holder of a permit counts as frozen: more than
# twice a job's turn and a call. By then, each request has its response or gets none.
FROZEN = 60.0

# "call" in ASCII; it must only differ from the first number of other pairs.
CALLS = 0x63616C6C

# Takes the first free numbers. LIMIT ends the query, so no further number is locked.
_TAKE = """
    SELECT number FROM generate_series(%s, %s) AS number
    WHERE pg_try_advisory_lock(%s, number) LIMIT %s
"""
_GIVE_BACK = "SELECT pg_advisory_unlock(%s, number) FROM unnest(%s::int[]) AS number"


@contextmanager
def acquire_permits(most: int, *, of: int, first: int = 1) -> Iterator[int]:
    """
    Take up to `most` free permits of the `of` permits in all; yield the number taken.

    Permits with a number below `first` are left to others.

    Do not use it inside a transaction, or twice at the same time in one process.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [first, of, CALLS, most])
        numbers = [number for (number,) in cursor.fetchall()]
    try:
        yield len(numbers)
    finally:
        # If the connection was lost, PostgreSQL has already released the permits.
        with suppress(InterfaceError, OperationalError), connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, [CALLS, numbers])


def end_frozen(seconds: float = FROZEN) -> int:
    """
    End the connections of frozen processes that have permits; return their number.

    If such a process continues, its job fails. When the leases of its rows end, the
    rows are resolved as after a crash.
    """
    return advisory_locks.terminate_idle_holders(
        advisory_locks.all_pairs("permits", CALLS), seconds=seconds
    )
