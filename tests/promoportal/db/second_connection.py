"""A second process, as the database sees it: a thread with its own connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from typing import TypeVar

from django.db import connection, connections, transaction

Result = TypeVar("Result")
_PATIENCE = 20.0
_SHORT_WAIT = 0.3


class Elsewhere:
    """Runs functions one after the other; may leave a transaction open."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._open: transaction.Atomic | None = None

    def do(self, function: Callable[[], Result]) -> Result:
        return self.start(function).result(_PATIENCE)

    def start(self, function: Callable[[], Result]) -> Future[Result]:
        return self._thread.submit(function)

    def begin(self) -> None:
        """Open a transaction for all that follows until `commit`."""
        self._open = transaction.atomic()
        self.do(self._open.__enter__)

    def commit(self) -> None:
        opened, self._open = self._open, None
        assert opened is not None
        self.do(lambda: opened.__exit__(None, None, None))

    def end(self) -> None:
        if self._open is not None:
            self.commit()
        self.do(connections.close_all)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    with ThreadPoolExecutor(1) as thread:
        other = Elsewhere(thread)
        try:
            yield other
        finally:
            other.end()


_LATER = """
    CREATE TEMP VIEW pg_stat_activity AS
    SELECT pid, state, state_change - make_interval(secs => %s) AS state_change
    FROM pg_catalog.pg_stat_activity
"""


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """Make other sessions look idle for this many seconds more, on this connection."""
    with connection.cursor() as cursor:
        cursor.execute(_LATER, [seconds])
        try:
            yield
        finally:
            cursor.execute("DROP VIEW pg_temp.pg_stat_activity")


def waits(future: Future[Result]) -> bool:
    """Return whether the result is still missing after a while: it waits for a lock."""
    try:
        future.result(_SHORT_WAIT)
    except NotYet:
        return True
    return False


def patiently(future: Future[Result]) -> Result:
    return future.result(_PATIENCE)
