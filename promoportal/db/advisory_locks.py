"""
Termination of database sessions whose suspended process keeps an advisory lock.

A lock lasts as long as its connection. A suspended process, such as one in a paused
container, keeps its connection open. Its session is idle, because it runs no query.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from django.db import connection

_log = logging.getLogger("promoportal.frozen")


class Locks(NamedTuple):
    """A set of advisory locks, as `pg_locks` shows them."""

    name: str
    classid: int
    objid: int | None  # None: any
    objsubid: int


def single(name: str, number: int) -> Locks:
    """Return the lock whose key is one number of eight bytes."""
    return Locks(name, number >> 32, number & 0xFFFFFFFF, 1)


def all_pairs(name: str, first: int) -> Locks:
    """Return all locks whose key is a pair of numbers that begins with `first`."""
    return Locks(name, first, None, 2)


# The session that runs this query is active, so it never terminates itself.
_TERMINATE = """
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
    Terminate the sessions that have these locks and were idle for `seconds`.

    :returns: the number of sessions terminated
    """
    with connection.cursor() as cursor:
        cursor.execute(_TERMINATE, [seconds, *locks[1:]])
        ended = int(cursor.fetchone()[0])
    if ended:
        _log.warning("%s.frozen", locks.name, extra={"ended": ended})
    return ended
