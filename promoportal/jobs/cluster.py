"""
django-q2's cluster, started so that it ends rather than hangs.

Its processes share two queues, each with a lock. A process that is killed while it holds
one takes it along, and the others then wait for ever. So whenever that is possible the
whole cluster ends, with EX_SOFTWARE, for its supervisor to start it again: jobs are
wake-ups, and no row is lost with them.
"""

from __future__ import annotations

import math
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from django.db import Error as DatabaseLost
from django.db import connections
from django_q.cluster import Cluster, Sentinel, get_mp_context
from django_q.conf import Conf

from promoportal.jobs.scheduler import Scheduler
from promoportal.jobs.watchdog import Watchdog
from promoportal.runtime import parent_death, shutdown

# Exit code of a cluster that gave itself up (EX_SOFTWARE of sysexits.h).
GAVE_UP = 70

_IDLE, _TIMED_OUT = -1, 0  # what a worker's timer says of it
_FLUSH = 2  # seconds a worker that timed out has to deliver that it did
_EVERY = 1.0  # seconds between two ticks


class CrashOnlySentinel(Sentinel):  # type: ignore[misc]
    """Replaces workers that died busy; for any other death the cluster ends."""

    def reincarnate(self, process: Any) -> None:
        if process in (self.monitor, self.pusher):
            self._give_up()
        if not process.is_alive() and int(process.timer.value) == _IDLE:
            self._give_up()
        if process.timer.value == _TIMED_OUT:
            process.join(_FLUSH)
        super().reincarnate(process)

    def _give_up(self) -> NoReturn:
        for process in [*self.pool, self.monitor, self.pusher]:
            _kill(process)
        os._exit(GAVE_UP)


class PortalCluster(Cluster):  # type: ignore[misc]
    """
    One queue's workers, and this process, their parent, which ticks.

    It opens no connection to the database before the others are forked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        self._is_asked_to_stop = False

    def sig_handler(self, signum: int, frame: Any) -> None:
        # django-q2 would wait for the whole stop in here, in the middle of a tick and
        # of its transaction.
        self._is_asked_to_stop = True
        shutdown.announce()
        os.write(self._ring, b"!")

    def run(self, tick: Callable[[], None], *, watchdog: Watchdog | None = None) -> int:
        """Work until asked to stop; the exit code, 0 only if all jobs begun are done."""
        watchdog = watchdog or Watchdog()
        watchdog.connect()
        connections.close_all()
        self.start()
        ticker = Scheduler(tick)
        while self.sentinel.is_alive() and not self._is_asked_to_stop:
            ticker.run()
            if _is_hung(watchdog):
                return self._cut()
            self._wait(_EVERY)
        ticker.let_go()
        return self._end()

    def start(self) -> int:
        context = get_mp_context()
        self.stop_event, self.start_event = context.Event(), context.Event()
        self.sentinel = context.Process(
            target=CrashOnlySentinel,
            args=(self.stop_event, self.start_event, self.cluster_id),
        )
        self.sentinel.start()
        return int(self.pid)

    def _end(self) -> int:
        """Let the workers finish what they began; not for ever."""
        deadline = time.monotonic() + longest_stop()
        # It waits for whom it wakes, and would for ever if that one was just killed.
        threading.Thread(target=self.stop_event.set, daemon=True).start()
        while self.sentinel.is_alive():
            if time.monotonic() > deadline:
                return self._cut()
            self._wait(_EVERY)
        if self._is_asked_to_stop and self.sentinel.exitcode == 0:
            return 0
        # Killed (negative), or gone without being asked.
        return max(self.sentinel.exitcode or 0, 0) or GAVE_UP

    def _cut(self) -> int:
        """The workers end with their parent, the sentinel."""
        _kill(self.sentinel)
        return GAVE_UP

    def _wait(self, seconds: float) -> None:
        """Until then, or until there is a signal, or the sentinel ends."""
        multiprocessing.connection.wait([self.sentinel.sentinel, self._bell], seconds)
        with suppress(BlockingIOError):
            os.read(self._bell, 100)


def longest_stop() -> float:
    """Seconds that finishing all that was fetched may take, if every job times out."""
    rounds = 1 + math.ceil((Conf.QUEUE_LIMIT + Conf.BULK) / Conf.WORKERS)
    return float(Conf.TIMEOUT * rounds + 10)


def run(tick: Callable[[], None], *, patience: float | None = None) -> int:
    """
    Run this process's queue until SIGTERM or SIGINT; the exit code.

    :param patience: seconds after which a cluster with work that does not move gives up
    """
    parent_death.exit_with_parent()
    watchdog = Watchdog(patience) if patience is not None else Watchdog()
    return PortalCluster().run(tick, watchdog=watchdog)


def _is_hung(watchdog: Watchdog) -> bool:
    with suppress(DatabaseLost):
        return watchdog.is_hung()
    return False


def _kill(process: BaseProcess | None) -> None:
    if process and process.pid:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
