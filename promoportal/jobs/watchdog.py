"""Detection of a cluster that hangs: it has jobs, but makes no progress."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.sharedctypes import RawArray
from typing import Any

from django.db import connections
from django_q.conf import Conf
from django_q.signals import post_execute, post_execute_in_worker, pre_execute

from promoportal.jobs.broker import jobs_claimed

# Seconds without progress that are allowed beyond a job's timeout, because all workers
# may time out at once. A busy machine forks, or saves a result, in much less time.
LEEWAY = 60

_READY_SINCE = """
    SELECT EXISTS (
        SELECT FROM django_q_ormq WHERE key = %s
        AND lock <= statement_timestamp() - make_interval(secs => %s)
    )
"""
_ASK_EVERY = 10  # seconds


@dataclass
class Watchdog:
    """
    For each step of a job, the last time at which a process of this cluster did it.

    The processes share only these times, each of which is one word of memory. They need
    no lock, which a killed process could keep, and no count, which could become wrong.
    """

    patience: float = field(default_factory=lambda: (Conf.TIMEOUT or 0) + LEEWAY)
    _last: Any = field(default_factory=lambda: RawArray("d", 4))
    _seen: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    _ask_at: float = 0

    def connect(self) -> None:
        """Record the times of all steps from now on. Call this before workers fork."""
        steps = (jobs_claimed, pre_execute, post_execute_in_worker, post_execute)
        for step, taken in enumerate(steps):
            self._record(step)
            taken.connect(partial(self._record, step), weak=False)

    def is_hung(self) -> bool:
        """
        Return whether jobs have made no progress for longer than `patience`.

        Jobs were claimed and none started, or jobs finished and none was acknowledged,
        or jobs are ready and none is claimed.

        :raises django.db.Error: if the database cannot be queried
        """
        claimed, started, finished, acknowledged = range(4)
        return (
            self._is_stuck(claimed, started)
            or self._is_stuck(finished, acknowledged)
            or self._is_not_claiming(claimed)
        )

    def _record(self, step: int, **_: object) -> None:
        self._last[step] = time.monotonic()

    def _is_stuck(self, before: int, after: int) -> bool:
        """Return whether `before` occurred, but `after` not within `patience`."""
        now, taken = time.monotonic(), self._last[after]
        if self._last[before] <= taken:
            self._seen.pop((before, after), None)
            return False
        seen, since = self._seen.get((before, after), (taken, now))
        if seen != taken:
            since = now
        self._seen[before, after] = taken, since
        return bool(now - since > self.patience)

    def _is_not_claiming(self, step: int) -> bool:
        now = time.monotonic()
        if now - self._last[step] <= self.patience or now < self._ask_at:
            return False
        self._ask_at = now + min(_ASK_EVERY, self.patience)
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(_READY_SINCE, [Conf.CLUSTER_NAME, self.patience])
            return bool(cursor.fetchone()[0])
