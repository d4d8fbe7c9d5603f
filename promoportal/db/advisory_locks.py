"""
Who holds an advisory lock of ours and stands still: a paused container, a machine asleep.

Such a lock lasts as long as its connection, and a frozen process keeps that open. What it
has asked for, the database is busy with; what counts is how long it asked for nothing.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from django.db import connection

_log = logging.getLogger("promoportal.frozen")


class Locks(NamedTuple):
    """Advisory locks, as `pg_locks` has them."""

    name: str
    classid: int
    objid: int | None  # None: whichever
    objsubid: int


def the_one(name: str, number: int) -> Locks:
    """The lock of one number of eight bytes."""
    return Locks(name, number >> 32, number & 0xFFFFFFFF, 1)


def all_pairs(name: str, first: int) -> Locks:
    """The locks of all pairs of numbers that begin with this one."""
    return Locks(name, first, None, 2)


# Who asks this is busy, so that it never ends itself.
_END = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE state LIKE 'idle%%'
        AND state_change < statement_timestamp() - make_interval(secs => %s)
        AND pid IN (
            SELECT pid FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND classid = %s
                AND objid = coalesce(%s, objid) AND objsubid = %s
                AND database = (
                    SELECT oid FROM pg_database WHERE datname = current_database()
                )
        )
"""


def terminate_idle_holders(locks: Locks, *, seconds: float) -> int:
    """
    End the connections that hold such locks and asked for nothing for so long.

    :returns: how many that were
    """
    with connection.cursor() as cursor:
        cursor.execute(_END, [seconds, *locks[1:]])
        ended = int(cursor.fetchone()[0])
    if ended:
        _log.warning("%s.frozen", locks.name, extra={"ended": ended})
    return ended
