"""
A job's session with the database, which may be lost while its calls are under way.

A restart of PostgreSQL ends it, or whoever takes a job that stood still for dead. What
the platform said by then is in our hands alone, so that it is written down over a new
session before the job ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, connection

from promoportal.runtime.time_budget import TimeBudget

# Seconds between two tries while the database is away.
_PAUSE = 0.5


@dataclass
class Session:
    """Whether it was ever lost, and how; with it went the job's permits."""

    lost: InterfaceError | OperationalError | None = None

    def run_with_reconnect(self, work: Callable[[], None], *, within: float) -> None:
        """
        Do it, and if the session is lost again over a new one, for so many seconds.

        :raises InterfaceError, OperationalError: if the database does not come back
        """
        budget = TimeBudget(within)
        while not self.lasts(work):
            if budget.is_spent():
                self.end()
            time.sleep(_PAUSE)

    def lasts(self, work: Callable[[], None]) -> bool:
        """Do it once; whether it was done, or the session was lost over it."""
        try:
            work()
        except (InterfaceError, OperationalError) as error:
            self.lost = self.lost or error
            connection.close()
            return False
        return True

    def end(self) -> None:
        """
        End the job if its session was lost: others have its permits now.

        :raises InterfaceError, OperationalError: with which it was lost
        """
        if self.lost is not None:
            raise self.lost
