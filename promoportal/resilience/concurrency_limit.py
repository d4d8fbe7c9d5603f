"""
How many calls to a far side may be under way at a time, over all processes and hosts.

A permit is an advisory lock of the database, held by the connection of whoever has it:
when a process dies, however it dies, its permits are free at once. While one is frozen
with calls under way they are not; after longer than any job lasts, they are taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import InterfaceError, OperationalError, connection

from promoportal.db import advisory_locks

# Seconds for which nobody who works keeps a permit and asks the database nothing: a job's
# turn and a call, twice over. What was sent is answered by then, or never.
FROZEN = 60.0

# "call"; it only has to be unlike the first number of other pairs.
_CALLS = 0x63616C6C

# The first that are free: what is behind them is not asked for.
_TAKE = """
    SELECT number FROM generate_series(1, %s) AS number
    WHERE pg_try_advisory_lock(%s, number) LIMIT %s
"""
_GIVE_BACK = "SELECT pg_advisory_unlock(%s, number) FROM unnest(%s::int[]) AS number"


@contextmanager
def acquire_permits(most: int, *, of: int) -> Iterator[int]:
    """
    Hold as many permits as are free, up to `most` of `of` in all; say how many, if any.

    Not inside a transaction, nor more than once at a time in a process.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [of, _CALLS, most])
        numbers = [number for (number,) in cursor.fetchall()]
    try:
        yield len(numbers)
    finally:
        # Where the connection is lost, they went with it.
        with suppress(InterfaceError, OperationalError), connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, [_CALLS, numbers])


def end_frozen(seconds: float = FROZEN) -> int:
    """
    Whoever has permits and stands still keeps the others waiting no longer.

    Its connection ends, and so will its job if it ever goes on; its rows are leased, and
    settled like those of a process that died.

    :returns: how many that were
    """
    return advisory_locks.terminate_idle_holders(
        advisory_locks.all_pairs("permits", _CALLS), seconds=seconds
    )
