"""
A job's database session, which may be lost while the job's calls run.

A restart of PostgreSQL ends the session. The scheduler also ends it, if the process was
suspended and counts as frozen. Only this process has the platform's responses, so it
saves them over a new session before the job ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, connection

from promoportal.runtime.time_budget import TimeBudget

# Seconds between two attempts while the database is unavailable.
_PAUSE = 0.5


@dataclass
class Session:
    """A job's session. `lost` is the first error that ended it and its permits."""

    lost: InterfaceError | OperationalError | None = None

    def run_with_reconnect(self, work: Callable[[], None], *, within: float) -> None:
        """
        Run `work`. If the session is lost, retry over a new one, for `within` seconds.

        :raises InterfaceError, OperationalError: if the database stays unavailable
        """
        budget = TimeBudget(within)
        while not self.lasts(work):
            if budget.is_spent():
                self.end()
            time.sleep(_PAUSE)

    def lasts(self, work: Callable[[], None]) -> bool:
        """Run `work` once. Return False if the session was lost, otherwise True."""
        try:
            work()
        except (InterfaceError, OperationalError) as error:
            self.lost = self.lost or error
            connection.close()
            return False
        return True

    def end(self) -> None:
        """
        Raise an error if the session was lost: other jobs may have its permits now.

        :raises InterfaceError, OperationalError: the error of the first loss
        """
        if self.lost is not None:
            raise self.lost
