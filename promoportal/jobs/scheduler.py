"""What is to be done every second, by one process over all hosts."""

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
    Ticks if no one else does.

    The lock belongs to a connection to the database. Who has it keeps it, so that the
    others ask little; it is free as soon as its holder is gone. One that is frozen is not
    gone, and would stop the clock of all hosts: the others end its connection.
    """

    # "tick"; it only has to be unlike the numbers of the portal's other locks.
    LOCK = 0x7469636B
    # Seconds for which nobody who ticks asks the database nothing: a tick is a second
    # away from the last, and is made of nothing but questions.
    FROZEN = 30.0

    tick: Callable[[], None]
    patience: float = FROZEN
    _ours_on: Any = None
    _is_lost: bool = False

    def run(self) -> None:
        """Tick once. A failure is logged: the next tick is a second away."""
        try:
            if self._is_ours():
                self.tick()
            else:
                advisory_locks.terminate_idle_holders(
                    advisory_locks.the_one("tick", self.LOCK), seconds=self.patience
                )
            self._is_lost = False
        except (InterfaceError, OperationalError) as error:
            self._lose(error)
        except Exception:  # noqa: BLE001 whatever it is, the clock goes on
            _log.exception("The tick failed; the next one tries again.")
            self.let_go()

    def let_go(self) -> None:
        """End the connection and with it the lock, and whatever was left unfinished."""
        self._ours_on = None
        connections[Conf.ORM].close()

    def _is_ours(self) -> bool:
        database = connections[Conf.ORM]
        if database.connection and self._ours_on is database.connection:
            return True
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [self.LOCK])
            is_ours = bool(cursor.fetchone()[0])
        self._ours_on = database.connection if is_ours else None
        return is_ours

    def _lose(self, error: Exception) -> None:
        if not self._is_lost:
            _log.warning("The tick waits for the database: %s", error)
        self._is_lost = True
        self.let_go()
