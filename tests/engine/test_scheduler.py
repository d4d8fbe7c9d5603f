"""One process over all hosts runs the scheduler, whatever fails."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from promoportal.jobs.scheduler import Scheduler
from tests.engine.processes import until
from tests.promoportal.db.second_connection import later

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_one_process_runs_the_scheduler() -> None:
    runs: list[str] = []
    scheduler = Scheduler(lambda: runs.append("ours"))
    with OtherProcess() as other:
        assert other.try_lock()
        scheduler.run()
        assert runs == []

    until(lambda: _has_run(scheduler, runs), "the other is gone, and its lock free")
    scheduler.run()

    assert runs == ["ours", "ours"]
    with OtherProcess() as other:
        assert not other.try_lock()
        scheduler.release()
        until(other.try_lock, "our lock is free")


def test_a_suspended_process_blocks_the_scheduler_for_half_a_minute_at_most() -> None:
    runs: list[str] = []
    scheduler = Scheduler(lambda: runs.append("ours"))
    with OtherProcess() as frozen:
        assert frozen.try_lock()
        with later(10):
            scheduler.run()
        assert frozen.try_lock()

        with later(31):
            scheduler.run()

        until(lambda: _has_run(scheduler, runs), "its lock was taken from it")
    scheduler.release()


def test_a_failed_run_is_followed_by_another() -> None:
    runs: list[int] = []

    def fail() -> None:
        runs.append(1)
        raise ZeroDivisionError

    scheduler = Scheduler(fail)
    scheduler.run()
    scheduler.run()

    assert len(runs) == 2


def test_a_run_that_loses_the_database_is_followed_by_another() -> None:
    runs: list[int] = []

    def query() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            runs.append(cursor.fetchone()[0])

    scheduler = Scheduler(query)
    scheduler.run()
    with OtherProcess() as other:
        other.terminate(runs[0])
    scheduler.run()
    scheduler.run()

    assert len(set(runs)) == 2


def _has_run(scheduler: Scheduler, runs: list[str]) -> bool:
    scheduler.run()
    return bool(runs)


class OtherProcess:
    """Another process of the portal, by its connection to the database."""

    def __enter__(self) -> OtherProcess:
        parameters = connection.get_connection_params()
        self._connection = psycopg.connect(**parameters, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def try_lock(self) -> bool:
        """Try to lock the scheduler's lock. Return False if another process has it."""
        key = Scheduler.LOCK
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(%s)", [key]
        ).fetchone()
        return bool(row and row[0])

    def terminate(self, pid: int) -> None:
        self._connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
