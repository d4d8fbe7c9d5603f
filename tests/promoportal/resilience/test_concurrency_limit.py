"""The limit of concurrent calls, shared by all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.db import connection

from promoportal import pipeline
from promoportal.jobs.scheduler import Scheduler
from promoportal.resilience import concurrency_limit
from tests.engine.processes import until
from tests.factories import AssignmentFactory
from tests.promoportal.db.second_connection import elsewhere, later, patiently, waits

Acquire = Callable[..., int]


@pytest.fixture
def acquire() -> Iterator[Acquire]:
    """Return a function that acquires permits and keeps them."""
    acquired: list[AbstractContextManager[int]] = []

    def acquire(most: int, *, of: int) -> int:
        acquired.append(concurrency_limit.acquire_permits(most, of=of))
        return acquired[-1].__enter__()

    yield acquire
    acquired.clear()


def lose_connection() -> None:
    """Close the socket, as the operating system does for a killed process."""
    assert connection.connection is not None
    connection.connection.close()


def run_long_query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")


@pytest.mark.django_db(transaction=True)
def test_all_processes_together_get_at_most_all_permits(acquire: Acquire) -> None:
    with elsewhere() as other, concurrency_limit.acquire_permits(3, of=5) as ours:
        assert ours == 3
        assert other.do(lambda: acquire(8, of=5)) == 2


@pytest.mark.django_db(transaction=True)
def test_permits_are_free_at_once_also_after_a_failure(acquire: Acquire) -> None:
    with pytest.raises(ZeroDivisionError), concurrency_limit.acquire_permits(5, of=5):
        _ = 1 // 0

    with elsewhere() as other:
        assert other.do(lambda: acquire(5, of=5)) == 5


@pytest.mark.django_db(transaction=True)
def test_a_killed_process_loses_no_permits(acquire: Acquire) -> None:
    with elsewhere() as other:
        assert other.do(lambda: acquire(5, of=5)) == 5
        assert acquire(5, of=5) == 0

        other.do(lose_connection)

        until(lambda: acquire(1, of=5), "the server noticed")
        assert acquire(4, of=5) == 4


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_does_not_hide_the_error_of_the_work() -> None:
    with (
        pytest.raises(RuntimeError, match="the work"),
        concurrency_limit.acquire_permits(1, of=1),
    ):
        connection.close()
        raise RuntimeError("the work")


@pytest.mark.django_db(transaction=True)
def test_a_frozen_process_loses_its_permits_after_the_time_limit(
    acquire: Acquire,
) -> None:
    with elsewhere() as other:
        other.do(lambda: acquire(5, of=5))
        assert concurrency_limit.end_frozen() == 0
        assert acquire(1, of=5) == 0

        assert concurrency_limit.end_frozen(seconds=0) == 1

        until(lambda: acquire(1, of=5), "the server let go")


@pytest.mark.django_db(transaction=True)
def test_an_idle_connection_without_permits_is_not_ended(acquire: Acquire) -> None:
    with elsewhere() as other:
        other.do(concurrency_limit.end_frozen)
        assert acquire(1, of=5) == 1

        assert concurrency_limit.end_frozen(seconds=0) == 0
        assert other.do(lambda: acquire(1, of=5)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_process_that_waits_for_the_database_is_not_frozen(acquire: Acquire) -> None:
    with elsewhere() as other:
        other.do(lambda: acquire(5, of=5))
        asking = other.start(run_long_query)
        assert waits(asking)

        with later(concurrency_limit.FROZEN * 10):
            assert concurrency_limit.end_frozen() == 0

        patiently(asking)
        assert acquire(1, of=5) == 0


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_frees_the_permits_of_a_process_frozen_for_a_minute(
    acquire: Acquire,
) -> None:
    AssignmentFactory()  # otherwise the portal is idle
    with elsewhere() as other:
        other.do(lambda: acquire(5, of=5))
        with later(concurrency_limit.FROZEN / 3):
            pipeline.tick()
        assert acquire(1, of=5) == 0

        with later(concurrency_limit.FROZEN + 5):
            pipeline.tick()

        until(lambda: acquire(1, of=5), "the server let go")


@pytest.mark.django_db(transaction=True)
def test_an_idle_scheduler_is_not_ended() -> None:
    ticking = Scheduler(lambda: None)
    with elsewhere() as other:
        other.do(ticking.run)

        assert concurrency_limit.end_frozen(seconds=0) == 0
