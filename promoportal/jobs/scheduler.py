"""The scheduler, which runs every second in one process over all hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError, connections
from django_q.conf import Conf

from promoportal.db import advisory_locks

_log = logging.getLogger("promoportal.jobs.ticker")


@dataclass
class Scheduler:
    """
    The scheduler of one process. It calls `tick` if no other process does.

    The process with the scheduler's lock keeps it until its database connection closes,
    so that the other processes query little. If this process is suspended, no process
    would run the scheduler. So the other processes end its connection.
    """

    # `tick` in ASCII; it only has to differ from the portal's other lock numbers.
    LOCK = 0x7469636B
    # Seconds without a query after which a process counts as suspended. Otherwise, its
    # scheduler sends queries about every second.
    FROZEN = 30.0

    tick: Callable[[], None]
    patience: float = FROZEN
    _locked_on: Any = None
    _is_lost: bool = False

    def run(self) -> None:
        """Run once. Errors are only logged, because the next run is a second later."""
        try:
            if self._has_lock():
                self.tick()
            else:
                advisory_locks.terminate_idle_holders(
                    advisory_locks.single("tick", self.LOCK), seconds=self.patience
                )
            self._is_lost = False
        except (InterfaceError, OperationalError) as error:
            self._release_after(error)
        except Exception:  # noqa: BLE001 the scheduler must continue
            _log.exception("The scheduler run failed. The next run will retry.")
            self.release()

    def release(self) -> None:
        """Close the connection, which releases the lock and rolls back."""
        self._locked_on = None
        connections[Conf.ORM].close()

    def _has_lock(self) -> bool:
        database = connections[Conf.ORM]
        if database.connection and self._locked_on is database.connection:
            return True
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [self.LOCK])
            is_locked = bool(cursor.fetchone()[0])
        self._locked_on = database.connection if is_locked else None
        return is_locked

    def _release_after(self, error: Exception) -> None:
        if not self._is_lost:
            _log.warning("The scheduler is waiting for the database: %s", error)
        self._is_lost = True
        self.release()
