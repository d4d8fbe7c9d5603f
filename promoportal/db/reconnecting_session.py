"""
A job's database session, which may be lost while its calls run.

A restart of PostgreSQL ends it, or a worker that takes a suspended job for crashed. By
then only this process has the platform's responses, so they are saved over a new
session before the job ends.
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
    """The first loss of a session, if there was one; the job's permits go with it."""

    lost: InterfaceError | OperationalError | None = None

    def run_with_reconnect(self, work: Callable[[], None], *, within: float) -> None:
        """
        Run `work`, again over a new session if it is lost, for `within` seconds.

        :raises InterfaceError, OperationalError: if the database does not come back
        """
        budget = TimeBudget(within)
        while not self.lasts(work):
            if budget.is_spent():
                self.end()
            time.sleep(_PAUSE)

    def lasts(self, work: Callable[[], None]) -> bool:
        """Run `work` once. Return whether it completed, or the session was lost."""
        try:
            work()
        except (InterfaceError, OperationalError) as error:
            self.lost = self.lost or error
            connection.close()
            return False
        return True

    def end(self) -> None:
        """
        End the job if its session was lost: other jobs have its permits now.

        :raises InterfaceError, OperationalError: the error that lost the session
        """
        if self.lost is not None:
            raise self.lost
