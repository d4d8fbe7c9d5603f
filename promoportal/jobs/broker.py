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

# Sent when this cluster has claimed jobs, and passes them to its workers.
jobs_claimed = Signal()

# A job that was claimed this many times and never finished is dropped: it probably
# crashes its worker or its cluster. No work is lost, because the scheduler queues a new
# job for rows that are still due. Rows have limits of their own for crashes.
MAX_DELIVERIES = 3

# Each claim adds a blank before the payload; the blanks are the count. The time is the
# database's: hosts whose clocks differ must not claim each other's running jobs.
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

    It differs from django-q2's own broker: a claim skips rows that another claim has
    locked, and takes the oldest jobs first. A new job sends a NOTIFY at its commit. If
    the database is lost, the broker waits for it. A job that cannot run, or crashes its
    worker repeatedly, is dropped, and an error is logged.
    """

    _listener: psycopg.Connection[Any] | None = None
    _is_lost = False

    def enqueue(self, task: str) -> int:
        job = self.get_connection().create(key=self.list_key, payload=task, lock=Now())
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        return int(job.pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Claim jobs that are ready. If there are none, wait up to a second for one."""
        try:
            # Listen before the claim: no NOTIFY of a job that commits later is missed.
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
        # An exception would end the cluster's monitor. A job that is not acknowledged
        # runs again, and usually finds that no rows are due.
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
    except Exception as error:  # noqa: BLE001 pickles and modules may raise anything
        return f"it cannot be read ({type(error).__name__}: {error})."
    if not is_runnable:
        return f"{path!r} is not the path of a function."
    if deliveries > MAX_DELIVERIES:
        return f"{path} was started {MAX_DELIVERIES} times and never finished."
    return ""
