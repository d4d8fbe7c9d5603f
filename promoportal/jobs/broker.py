"""The job queue: a table in the portal's database, with NOTIFY for new jobs."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

import psycopg
from django.db import Error as DatabaseLost
from django.db import connections
from django.db.models.functions import Now
from django.dispatch import Signal
from django.utils.module_loading import import_string
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.signing import SignedPackage
from psycopg import sql

# Sent when jobs were passed to this cluster's workers.
jobs_claimed = Signal()

# A job that was started this many times and never finished crashes its worker or its
# cluster. It can be dropped: the scheduler starts whatever is due again, and the row
# that the job is about has a limit of its own.
MAX_DELIVERIES = 3

# Each delivery is counted by a blank before the payload, which has none of its own. The
# time is the database's: hosts whose clocks differ must not run each other's jobs.
_CLAIM = """
    UPDATE django_q_ormq
    SET lock = statement_timestamp() + make_interval(secs => %(retry)s),
        payload = ' ' || payload
    WHERE id = ANY(ARRAY(
        SELECT id FROM django_q_ormq
        WHERE key = %(key)s AND lock <= statement_timestamp()
        ORDER BY id LIMIT %(bulk)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, payload
"""

_log = logging.getLogger(__name__)


class PortalBroker(ORM):  # type: ignore[misc]
    """
    A django-q2 broker for the queue in the portal's database.

    Unlike django-q2's: claims skip rows that others are claiming, the oldest job is
    first, a job sends a NOTIFY when it commits, a lost database is waited for, and a
    job that cannot run, or that crashes its worker, is dropped with an error.
    """

    _listener: psycopg.Connection[Any] | None = None
    _is_lost = False

    def enqueue(self, task: str) -> int:
        job = self.get_connection().create(key=self.list_key, payload=task, lock=Now())
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        return int(job.pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Claim the jobs that are ready, or wait up to a second for one."""
        try:
            # Listen before the claim, so that no job that commits in between is missed.
            listener = self._open_listener()
            claimed = self._claim()
            if not claimed:
                for _ in listener.notifies(timeout=Conf.POLL, stop_after=1):
                    pass
        except (DatabaseLost, psycopg.Error) as error:
            self._wait_for_database(error)
            return []
        self._is_lost = False
        return self._runnable(claimed)

    def acknowledge(self, task_id: int) -> None:
        # A job that is not acknowledged runs again and finds its work done. An
        # exception would end the cluster's monitor.
        try:
            super().acknowledge(task_id)
        except DatabaseLost as error:
            self._wait_for_database(error)

    @property
    def _channel(self) -> str:
        return f"promoportal_{self.list_key}"

    def _claim(self) -> list[tuple[int, str]]:
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(
                _CLAIM, {"retry": Conf.RETRY, "key": self.list_key, "bulk": Conf.BULK}
            )
            return sorted(cursor.fetchall())

    def _runnable(self, claimed: list[tuple[int, str]]) -> list[tuple[int, str]]:
        jobs = []
        for pk, counted in claimed:
            payload = counted.lstrip(" ")
            deliveries = len(counted) - len(payload)
            if problem := _problem(payload, deliveries):
                _log.error("A job was dropped: %s", problem)
                self.acknowledge(pk)
            else:
                jobs.append((pk, payload))
        if jobs:
            jobs_claimed.send(sender=type(self))
        return jobs

    def _open_listener(self) -> psycopg.Connection[Any]:
        if self._listener is None:
            parameters = connections[Conf.ORM].get_connection_params()
            listener = psycopg.connect(**parameters, autocommit=True)
            listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._listener = listener
        return self._listener

    def _wait_for_database(self, error: Exception) -> None:
        if not self._is_lost:
            _log.warning("The job queue is unavailable. Retrying: %s", error)
        self._is_lost = True
        if self._listener:
            self._listener.close()
            self._listener = None
        with suppress(DatabaseLost):
            connections[Conf.ORM].close()
        time.sleep(Conf.POLL)


def _problem(payload: str, deliveries: int) -> str:
    """Return why a worker must not run the job, or "" if it may."""
    try:
        job = SignedPackage.loads(payload)
        path = job["func"]
        is_runnable = isinstance(path, str) and callable(import_string(path))
    except Exception as error:  # noqa: BLE001 a pickle, or a module, may raise anything
        return f"it cannot be read ({type(error).__name__}: {error})."
    if not is_runnable:
        return f"{path!r} is not the path of a function."
    if deliveries > MAX_DELIVERIES:
        return f"{path} was started {MAX_DELIVERIES} times and never finished."
    return ""
