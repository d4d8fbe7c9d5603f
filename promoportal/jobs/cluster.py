"""
A django-q2 cluster that exits rather than hangs.

The processes of a cluster share two queues, each with a lock. If a process is killed
while it has a lock, it never releases the lock, and the other processes wait forever.
If this may have happened, the whole cluster exits with EX_SOFTWARE, and its supervisor
restarts it. Its jobs are lost, but no row, because jobs only start work on rows.
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

# The exit code of a cluster that might hang (EX_SOFTWARE of sysexits.h).
GAVE_UP = 70

_IDLE, _TIMED_OUT = -1, 0  # values of a worker's timer
_FLUSH = 2  # seconds in which a worker that timed out can report this
_EVERY = 1.0  # seconds between two scheduler runs


class CrashOnlySentinel(Sentinel):  # type: ignore[misc]
    """A sentinel that replaces workers lost in a job; other crashes end the cluster."""

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
    The workers of one queue, and the parent process, which runs the scheduler.

    The parent process has no open database connection when it forks.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._is_asked_to_stop = False

    def sig_handler(self, signum: int, frame: Any) -> None:
        # django-q2's handler waits until the workers have stopped. A signal can arrive
        # in a scheduler run, whose transaction would stay open for this time.
        self._is_asked_to_stop = True
        shutdown.announce()
        os.write(self._writer, b"!")

    def run(self, tick: Callable[[], None], watchdog: Watchdog) -> int:
        """Run until asked to stop. Return the exit code: 0 if all jobs finished."""
        watchdog.connect()
        connections.close_all()
        self.start()
        scheduler = Scheduler(tick)
        while self.sentinel.is_alive() and not self._is_asked_to_stop:
            scheduler.run()
            with suppress(DatabaseLost):
                if watchdog.is_hung():
                    return self._kill_workers()
            self._wait(_EVERY)
        scheduler.release()
        return self._stop_workers()

    def start(self) -> int:
        context = get_mp_context()
        self.stop_event, self.start_event = context.Event(), context.Event()
        self.sentinel = context.Process(
            target=CrashOnlySentinel,
            args=(self.stop_event, self.start_event, self.cluster_id),
        )
        self.sentinel.start()
        return int(self.pid)

    def _stop_workers(self) -> int:
        """Let the workers finish within `longest_stop()`, and return the exit code."""
        deadline = time.monotonic() + longest_stop()
        # `set` waits for the processes that it notifies: forever, if one was killed.
        threading.Thread(target=self.stop_event.set, daemon=True).start()
        while self.sentinel.is_alive():
            if time.monotonic() > deadline:
                return self._kill_workers()
            self._wait(_EVERY)
        if self._is_asked_to_stop and self.sentinel.exitcode == 0:
            return 0
        # The sentinel was killed (a negative code), or exited without being asked.
        return max(self.sentinel.exitcode or 0, 0) or GAVE_UP

    def _kill_workers(self) -> int:
        """Kill the sentinel; its workers exit with it."""
        _kill(self.sentinel)
        return GAVE_UP

    def _wait(self, seconds: float) -> None:
        """Wait until the time is over, a signal arrives, or the sentinel exits."""
        multiprocessing.connection.wait([self.sentinel.sentinel, self._reader], seconds)
        with suppress(BlockingIOError):
            os.read(self._reader, 100)


def longest_stop() -> float:
    """Return the longest time of a stop, in seconds: if every claimed job times out."""
    rounds = 1 + math.ceil((Conf.QUEUE_LIMIT + Conf.BULK) / Conf.WORKERS)
    return float(Conf.TIMEOUT * rounds + 10)


def run(tick: Callable[[], None], *, patience: float | None = None) -> int:
    """
    Run this process's queue until SIGTERM or SIGINT. Return the exit code.

    :param patience: seconds without progress after which a cluster with work exits
    """
    parent_death.exit_with_parent()
    watchdog = Watchdog(patience) if patience is not None else Watchdog()
    return PortalCluster().run(tick, watchdog)


def _kill(process: BaseProcess | None) -> None:
    if process and process.pid:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
