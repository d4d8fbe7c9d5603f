"""Faults of the database: crashes, a failover, killed backends, used-up connections."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.chaos.replicated_database import ReplicatedDatabase, Server

# Seconds for which the database stays down, and for which a standby is behind.
_DOWN = (0.3, 2.0)
_BEHIND = (2.0, 6.0)
# Seconds for which no connection is left.
_USED_UP = (3.0, 6.0)
# Seconds in which a busy backend is looked for.
_SEARCH = 0.5
_MOST_KILLED = 6

_BUSY = """
    SELECT pid FROM pg_stat_activity
    WHERE usename = 'portal_app' AND state <> 'idle' AND backend_type = 'client backend'
    ORDER BY random() LIMIT %s
"""
_ANY = """
    SELECT pid FROM pg_stat_activity WHERE usename = 'portal_app'
    AND backend_type = 'client backend' ORDER BY random() LIMIT %s
"""


@dataclass(frozen=True)
class Outage:
    """A time without a database, and whether a standby has taken over."""

    began: float  # as `time.time()`
    ended: float
    failover: bool = False


@dataclass
class Lag:
    """The time since which the standby has received nothing."""

    since: float  # as `time.time()`
    due: float  # by the monotonic clock: when the standby takes over


@dataclass
class DatabaseFaults:
    """
    The faults of one database. `step` continues those that take some time.

    `lost` contains the periods whose transactions a promoted standby does not have.
    """

    database: ReplicatedDatabase
    random: random.Random
    outages: list[Outage] = field(default_factory=list)
    lost: list[tuple[float, float]] = field(default_factory=list)
    _down: tuple[float, float] | None = None  # since (time.time()), until (monotonic)
    _lag: Lag | None = None
    _taken: list[psycopg.Connection[Any]] = field(default_factory=list)
    _taken_until: float = 0.0

    @property
    def is_over(self) -> bool:
        """Return whether the database is up, and no fault of it continues."""
        return not (self._down or self._lag or self._taken)

    def shut_down(self) -> str:
        """Make the database stop immediately, without a checkpoint: it must recover."""
        primary = self.database.primary
        if self._down or primary is None or not primary.crash():
            return ""
        self._release()
        until = time.monotonic() + self.random.uniform(*_DOWN)
        self._down = (time.time(), until)
        return "database: immediate shutdown"

    def fall_behind(self) -> str:
        """Cut the standby off. Some seconds later, it takes over without the rest."""
        if self._down or self._lag or not self.database.standby_follows:
            return ""
        self.database.hold_standby_back()
        due = time.monotonic() + self.random.uniform(*_BEHIND)
        self._lag = Lag(time.time(), due)
        return "database: standby takes over, without the last seconds"

    def kill_backends(self) -> str:
        """Terminate some of the portal's backends, if possible while they work."""
        count = self.random.randint(1, _MOST_KILLED)
        until = time.monotonic() + _SEARCH
        killed = 0
        with suppress(psycopg.Error):
            while time.monotonic() < until and killed < count:
                killed += self._terminate(_BUSY, count - killed)
            killed = killed or self._terminate(_ANY, count)
        return "database: some backends killed" if killed else ""

    def use_up_connections(self) -> str:
        """Take all connections that are left, except those reserved for superusers."""
        if self._down or self._taken:
            return ""
        self._taken_until = time.monotonic() + self.random.uniform(*_USED_UP)
        self._take_all()
        return "database: no connection left" if self._taken else ""

    def step(self) -> None:
        """Continue what is due: start the database, let the standby take over, ..."""
        now = time.monotonic()
        if self._down and self._down[1] <= now:
            self.database.restart()
            self._return(self._down[0])
            self._down = None
        if self._lag and self._lag.due <= now and not self._down:
            self._fail_over(self._lag)
        if self._taken:
            self._take_all() if now < self._taken_until else self._release()
        if not (self._down or self._lag):
            self.database.prepare_standby()

    def _fail_over(self, lag: Lag) -> None:
        began = time.time()
        self._release()
        self.database.fail_over()
        self._return(began, failover=True)
        self.lost.append((lag.since, self.outages[-1].ended))
        self._lag = None

    def _return(self, began: float, *, failover: bool = False) -> None:
        self.outages.append(Outage(began, time.time(), failover))

    def _terminate(self, sql: str, count: int) -> int:
        pids = [pid for [pid] in self.database.rows(sql, count)]
        kill = "SELECT pg_terminate_backend(%s)"
        return sum(self.database.rows(kill, pid)[0][0] for pid in pids)

    def _take_all(self) -> None:
        """Also take connections that the portal has closed since the last call."""
        primary: Server | None = self.database.primary
        assert primary is not None
        with suppress(psycopg.OperationalError):  # too many connections
            while True:
                self._taken.append(primary.connect_as_portal())

    def _release(self) -> None:
        for session in self._taken:
            session.close()
        self._taken.clear()
