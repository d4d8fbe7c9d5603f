"""One process over all hosts does what the clock asks for, whatever befalls it."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from promoportal.jobs.scheduler import Scheduler
from tests.engine.processes import until
from tests.promoportal.db.second_connection import later

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_one_ticks() -> None:
    ticks: list[str] = []
    ours = Scheduler(lambda: ticks.append("ours"))
    with Elsewhere() as elsewhere:
        assert elsewhere.take()
        ours.run()
        assert ticks == []

    until(lambda: _tick(ours, ticks), "the other is gone, and its lock free")
    ours.run()

    assert ticks == ["ours", "ours"]
    with Elsewhere() as elsewhere:
        assert not elsewhere.take()
        ours.release()
        until(elsewhere.take, "our lock is free")


def test_one_that_stands_still_stops_the_clock_for_half_a_minute_at_most() -> None:
    ticks: list[str] = []
    ours = Scheduler(lambda: ticks.append("ours"))
    with Elsewhere() as frozen:
        assert frozen.take()
        with later(10):
            ours.run()
        assert frozen.take()

        with later(31):
            ours.run()

        until(lambda: _tick(ours, ticks), "its lock was taken from it")
    ours.release()


def test_a_tick_that_fails_is_followed_by_another() -> None:
    ticks: list[int] = []

    def fail() -> None:
        ticks.append(1)
        raise ZeroDivisionError

    ticker = Scheduler(fail)
    ticker.run()
    ticker.run()

    assert len(ticks) == 2


def test_a_tick_that_loses_the_database_is_followed_by_another() -> None:
    ticks: list[int] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            ticks.append(cursor.fetchone()[0])

    ticker = Scheduler(ask)
    ticker.run()
    with Elsewhere() as elsewhere:
        elsewhere.throw_out(ticks[0])
    ticker.run()
    ticker.run()

    assert len(set(ticks)) == 2


def _tick(ticker: Scheduler, ticks: list[str]) -> bool:
    ticker.run()
    return bool(ticks)


class Elsewhere:
    """Another process of the portal, by its connection to the database."""

    def __enter__(self) -> Elsewhere:
        parameters = connection.get_connection_params()
        self._connection = psycopg.connect(**parameters, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def take(self) -> bool:
        """The lock of those who tick; false if another has it."""
        key = Scheduler.LOCK
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(%s)", [key]
        ).fetchone()
        return bool(row and row[0])

    def throw_out(self, pid: int) -> None:
        self._connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
