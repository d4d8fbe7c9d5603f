"""Where jobs wait: a table in our own database, and a bell."""

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

# A job was handed to this cluster's workers.
handed = Signal()

# A job that was handed out this often and never concluded takes its worker, or its
# cluster, down with it. It is only a wake-up: the tick wakes again whatever is due,
# and the row it is about has its own limit.
MAX_DELIVERIES = 3

# A delivery is counted by a blank before the payload, which has none of its own. The
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
    The queue in our own database.

    Unlike django-q2's: claims skip what others are claiming, the oldest job comes
    first, a job rings a bell (NOTIFY) when it commits, a lost database is waited for,
    and what can't be run, or kills whoever runs it, is dropped with an error.
    """

    _bell: psycopg.Connection[Any] | None = None
    _is_lost = False

    def enqueue(self, task: str) -> int:
        job = self.get_connection().create(key=self.list_key, payload=task, lock=Now())
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        return int(job.pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Claim what is ready, or wait a second for it."""
        try:
            # The bell first: a job that commits between the two is heard.
            bell = self._hung_up_bell()
            claimed = self._claim()
            if not claimed:
                self._listen(bell)
        except (DatabaseLost, psycopg.Error) as error:
            self._lose(error)
            return []
        self._is_lost = False
        return self._runnable(claimed)

    def acknowledge(self, task_id: int) -> None:
        # Not acknowledged, it comes again, and finds its work done. To raise would
        # end the cluster's monitor.
        try:
            super().acknowledge(task_id)
        except DatabaseLost as error:
            self._lose(error)

    def hang_up(self) -> None:
        """Stop listening for the bell, until the next job is waited for."""
        if self._bell:
            self._bell.close()
            self._bell = None

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
            handed.send(sender=type(self))
        return jobs

    def _hung_up_bell(self) -> psycopg.Connection[Any]:
        if self._bell is None:
            parameters = connections[Conf.ORM].get_connection_params()
            bell = psycopg.connect(**parameters, autocommit=True)
            bell.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._bell = bell
        return self._bell

    def _listen(self, bell: psycopg.Connection[Any]) -> None:
        for _ in bell.notifies(timeout=Conf.POLL, stop_after=1):
            pass

    def _lose(self, error: Exception) -> None:
        if not self._is_lost:
            _log.warning("The queue cannot be reached, and is waited for: %s", error)
        self._is_lost = True
        self.hang_up()
        with suppress(DatabaseLost):
            connections[Conf.ORM].close()
        time.sleep(Conf.POLL)


def _problem(payload: str, deliveries: int) -> str:
    """Why a worker can't run it, or nothing. In a worker it would do damage."""
    try:
        job = SignedPackage.loads(payload)
        path = job["func"]
        is_runnable = isinstance(path, str) and callable(import_string(path))
    except Exception as error:  # noqa: BLE001 a pickle, or a module, may raise anything
        return f"it cannot be read ({type(error).__name__}: {error})."
    if not is_runnable:
        return f"{path!r} is not the path of a function."
    if deliveries > MAX_DELIVERIES:
        return f"{path} was handed out {MAX_DELIVERIES} times and never concluded."
    return ""
