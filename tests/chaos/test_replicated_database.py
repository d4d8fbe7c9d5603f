"""Tests of the database of the fault test, with its standby and its faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bench.chaos.database_faults import DatabaseFaults
from bench.chaos.processes import everyone
from bench.chaos.replicated_database import ReplicatedDatabase
from promoportal.db.embedded import binaries

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ReplicatedDatabase]:
    if binaries.find() is None:
        pytest.skip("There is no embedded PostgreSQL for this platform.")
    with ReplicatedDatabase(tmp_path) as database:
        database.rows("CREATE TABLE noted (number int)")
        database.rows("GRANT ALL ON noted TO portal_app")
        yield database


@pytest.fixture
def faults(database: ReplicatedDatabase) -> DatabaseFaults:
    return DatabaseFaults(database, random.Random(1))  # noqa: S311


def _until(condition: Callable[[], object], faults: DatabaseFaults) -> None:
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        faults.step()
        time.sleep(0.05)
    assert condition()


def _note(database: ReplicatedDatabase, number: int) -> None:
    with psycopg.connect(database.url) as session:
        session.execute("INSERT INTO noted VALUES (%s)", [number])


def _noted(database: ReplicatedDatabase) -> list[int]:
    return [number for [number] in database.rows("SELECT * FROM noted ORDER BY 1")]


def test_a_promoted_standby_lacks_the_last_seconds_and_keeps_the_address(
    database: ReplicatedDatabase, faults: DatabaseFaults
) -> None:
    url = database.url
    _until(lambda: database.standby_follows, faults)
    _note(database, 1)
    _until(lambda: _on_standby(database) == [(1,)], faults)

    assert faults.fall_behind()
    _note(database, 2)
    _until(lambda: faults.is_over, faults)

    assert _noted(database) == [1]
    assert database.url == url
    [outage] = faults.outages
    assert outage.failover
    [(since, until)] = faults.lost
    assert since < outage.began < outage.ended == until
    _note(database, 3)
    _until(lambda: database.standby_follows, faults)  # a new standby of the new primary


def _on_standby(database: ReplicatedDatabase) -> list[tuple[int]]:
    assert database.standby is not None
    return database.standby.rows("SELECT * FROM noted", (), "portal")


def test_a_database_that_was_shut_down_keeps_all_that_was_committed(
    database: ReplicatedDatabase, faults: DatabaseFaults
) -> None:
    _note(database, 1)
    pid = database.pid

    assert faults.shut_down()
    assert not faults.shut_down()  # it is down already
    _until(lambda: faults.is_over, faults)

    assert _noted(database) == [1]
    assert database.pid != pid
    assert not faults.outages[0].failover


def test_only_superusers_can_connect_while_all_connections_are_used_up(
    database: ReplicatedDatabase, faults: DatabaseFaults
) -> None:
    assert faults.use_up_connections()

    with pytest.raises(psycopg.OperationalError, match=r"reserved|too many"):
        psycopg.connect(database.url)
    assert database.rows("SELECT 1") == [(1,)]
    _until(lambda: faults.is_over, faults)
    _note(database, 1)


def test_only_backends_of_the_portal_are_killed(
    database: ReplicatedDatabase, faults: DatabaseFaults
) -> None:
    assert not faults.kill_backends()
    with psycopg.connect(database.url) as session:
        session.execute("SELECT 1")  # its transaction is open

        assert faults.kill_backends()

        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


def test_no_server_is_left_over(tmp_path: Path) -> None:
    if binaries.find() is None:
        pytest.skip("There is no embedded PostgreSQL for this platform.")
    with ReplicatedDatabase(tmp_path) as database:
        faults = DatabaseFaults(database, random.Random(1))  # noqa: S311
        _until(lambda: database.standby_follows, faults)
        servers = {
            server.pid for server in (database.primary, database.standby) if server
        }

    assert len(servers) == 2
    assert not servers & everyone().keys()
