"""Calls under way at a time: so many over all processes, and none lost with one."""

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

Take = Callable[..., int]


@pytest.fixture
def take() -> Iterator[Take]:
    """Takes permits and keeps them."""
    kept: list[AbstractContextManager[int]] = []

    def take(most: int, *, of: int) -> int:
        kept.append(concurrency_limit.acquire_permits(most, of=of))
        return kept[-1].__enter__()

    yield take
    kept.clear()


def die() -> None:
    """The system closes the sockets of whoever was killed; nobody says goodbye."""
    assert connection.connection is not None
    connection.connection.close()


def ask_for_long() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")


@pytest.mark.django_db(transaction=True)
def test_all_processes_together_get_no_more_than_there_are(take: Take) -> None:
    with elsewhere() as other, concurrency_limit.acquire_permits(3, of=5) as ours:
        assert ours == 3
        assert other.do(lambda: take(8, of=5)) == 2


@pytest.mark.django_db(transaction=True)
def test_what_is_given_back_is_free_at_once_also_after_a_failure(take: Take) -> None:
    with pytest.raises(ZeroDivisionError), concurrency_limit.acquire_permits(5, of=5):
        _ = 1 // 0

    with elsewhere() as other:
        assert other.do(lambda: take(5, of=5)) == 5


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_gone_takes_none_along(take: Take) -> None:
    with elsewhere() as other:
        assert other.do(lambda: take(5, of=5)) == 5
        assert take(5, of=5) == 0

        other.do(die)

        until(lambda: take(1, of=5), "the server noticed")
        assert take(4, of=5) == 4


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_ends_the_work_with_its_own_error() -> None:
    with (
        pytest.raises(RuntimeError, match="the work"),
        concurrency_limit.acquire_permits(1, of=1),
    ):
        connection.close()
        raise RuntimeError("the work")


@pytest.mark.django_db(transaction=True)
def test_who_is_frozen_keeps_them_no_longer_than_a_job_may(take: Take) -> None:
    with elsewhere() as other:
        other.do(lambda: take(5, of=5))
        assert concurrency_limit.end_frozen() == 0
        assert take(1, of=5) == 0

        assert concurrency_limit.end_frozen(seconds=0) == 1

        until(lambda: take(1, of=5), "the server let go")


@pytest.mark.django_db(transaction=True)
def test_who_has_none_may_stand_still_and_who_looks_may_have_some(take: Take) -> None:
    with elsewhere() as other:
        other.do(concurrency_limit.end_frozen)
        assert take(1, of=5) == 1

        assert concurrency_limit.end_frozen(seconds=0) == 0
        assert other.do(lambda: take(1, of=5)) == 1


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_the_database_is_not_frozen(take: Take) -> None:
    with elsewhere() as other:
        other.do(lambda: take(5, of=5))
        asking = other.start(ask_for_long)
        assert waits(asking)

        with later(concurrency_limit.FROZEN * 10):
            assert concurrency_limit.end_frozen() == 0

        patiently(asking)
        assert take(1, of=5) == 0


@pytest.mark.django_db(transaction=True)
def test_the_tick_takes_them_from_who_was_frozen_for_a_minute(take: Take) -> None:
    AssignmentFactory()  # so that the portal is not idle
    with elsewhere() as other:
        other.do(lambda: take(5, of=5))
        with later(concurrency_limit.FROZEN / 3):
            pipeline.tick()
        assert take(1, of=5) == 0

        with later(concurrency_limit.FROZEN + 5):
            pipeline.tick()

        until(lambda: take(1, of=5), "the server let go")


@pytest.mark.django_db(transaction=True)
def test_who_ticks_and_stands_still_has_no_permits_to_lose() -> None:
    ticking = Scheduler(lambda: None)
    with elsewhere() as other:
        other.do(ticking.run)

        assert concurrency_limit.end_frozen(seconds=0) == 0
