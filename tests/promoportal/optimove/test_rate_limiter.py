"""Never more calls than the vendor allows, however many of us there are."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction

from promoportal.optimove import rate_limiter
from promoportal.optimove.rate_limiter import Allowance, Granted, Priority, Wait

SHORT = timedelta(seconds=0.5)


pytestmark = pytest.mark.django_db


def take(count: int, priority: Priority) -> int:
    """Take as many as there are, up to `count`."""
    taken = [rate_limiter.acquire(priority) for _ in range(count)]
    return sum(isinstance(each, Granted) for each in taken)


def set_clock_back(by: timedelta) -> None:
    """Have every grant and pause lie that much later than it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE promoportal_allowance SET not_before = not_before + %(by)s,"
            " granted_at = ARRAY(SELECT at + %(by)s FROM unnest(granted_at) AS at),"
            " reports_at = ARRAY(SELECT at + %(by)s FROM unnest(reports_at) AS at)",
            {"by": f"{by.total_seconds()} seconds"},
        )


def test_a_window_holds_48_calls_and_no_more() -> None:
    assert take(60, Priority.PERSON) == 48
    assert rate_limiter.remaining() == 0


def test_each_leaves_some_to_those_who_wait_more() -> None:
    assert take(60, Priority.REPORTING) == 36
    assert take(60, Priority.COLLECTING) == 44 - 36
    assert take(60, Priority.PERSON) == 48 - 44


def test_collecting_that_never_stops_leaves_some_to_reports() -> None:
    assert take(60, Priority.COLLECTING) == 40
    assert take(60, Priority.REPORTING) == 4
    assert take(60, Priority.COLLECTING) == 0
    assert take(60, Priority.PERSON) == 48 - 44


def test_what_remains_depends_on_what_for() -> None:
    assert rate_limiter.remaining(Priority.REPORTING) == 36
    take(10, Priority.COLLECTING)

    assert rate_limiter.remaining(Priority.REPORTING) == 26
    assert rate_limiter.remaining(Priority.COLLECTING) == 30
    assert rate_limiter.remaining() == 38

    take(30, Priority.COLLECTING)
    assert rate_limiter.remaining(Priority.REPORTING) == 4


def test_who_gets_none_is_told_how_long_to_stay_away() -> None:
    take(48, Priority.PERSON)
    wait = rate_limiter.acquire(Priority.PERSON)
    later = rate_limiter.acquire(Priority.REPORTING)

    assert isinstance(wait, Wait)
    assert isinstance(later, Wait)
    # The first one granted is the first to leave.
    assert 9.0 < later.seconds <= wait.seconds < 10.5


def test_a_window_slides() -> None:
    assert all(
        isinstance(rate_limiter.acquire(Priority.PERSON, window=SHORT), Granted)
        for _ in range(48)
    )
    wait = rate_limiter.acquire(Priority.PERSON, window=SHORT)
    assert isinstance(wait, Wait)
    assert wait.seconds <= 0.5

    time.sleep(wait.seconds + 0.001)

    assert isinstance(rate_limiter.acquire(Priority.PERSON, window=SHORT), Granted)


def test_a_grant_is_good_for_a_moment_only() -> None:
    now = time.monotonic()

    assert Granted().is_good
    assert Granted(at=now - 0.3).is_good
    assert not Granted(at=now - 0.5).is_good


def test_a_refusal_makes_everybody_wait_as_long_as_the_vendor_asks() -> None:
    rate_limiter.refused(7.5)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert 7 < wait.seconds <= 7.5
    assert rate_limiter.remaining() == 0
    assert Allowance.objects.get().granted_at == []


def pauses(refusals: int) -> list[int]:
    """Be refused, wait it out, be refused again, and say how long each pause was."""
    found = []
    for _ in range(refusals):
        rate_limiter.refused(None)
        wait = rate_limiter.acquire(Priority.PERSON)
        assert isinstance(wait, Wait)
        found.append(round(wait.seconds))
        set_clock_back(timedelta(seconds=-wait.seconds - 1))
    return found


def test_a_vendor_that_does_not_say_is_left_alone_longer_each_time() -> None:
    assert pauses(8) == [2, 4, 8, 16, 32, 64, 64, 64]


def test_refusals_of_one_moment_count_once() -> None:
    for _ in range(8):
        rate_limiter.refused(None)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert wait.seconds <= 2


def test_a_shorter_pause_never_cuts_a_longer_one() -> None:
    rate_limiter.refused(30)
    rate_limiter.refused(1)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert wait.seconds > 29


def test_a_minute_of_peace_forgives() -> None:
    assert pauses(3) == [2, 4, 8]
    set_clock_back(timedelta(seconds=-61))

    assert pauses(1) == [2]


@pytest.mark.parametrize("told", [-5.0, 0.0, 1e12])
def test_no_answer_stops_us_for_good(told: float) -> None:
    rate_limiter.refused(told)

    found = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(found, Granted) or found.seconds <= 3600


def test_a_database_whose_clock_was_set_back_does_not_stop_us() -> None:
    take(48, Priority.PERSON)
    rate_limiter.refused(3600)
    set_clock_back(timedelta(hours=2))

    assert rate_limiter.remaining() == 48
    wait = rate_limiter.acquire(Priority.PERSON, window=SHORT)
    assert isinstance(wait, Wait)
    assert wait.seconds <= 0.5

    time.sleep(wait.seconds + 0.001)

    assert isinstance(rate_limiter.acquire(Priority.PERSON, window=SHORT), Granted)


@pytest.mark.django_db(transaction=True)
def test_none_is_taken_inside_a_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        rate_limiter.acquire(Priority.PERSON)


def hammered(seconds: float, threads: int, window: timedelta) -> list[datetime]:
    """Take from several connections at once, and return when each grant was given."""
    over = time.monotonic() + seconds
    together = threading.Barrier(threads, timeout=20)
    given: list[datetime] = []

    def hammer(number: int) -> None:
        priority = list(Priority)[number % 3]
        try:
            together.wait()
            while time.monotonic() < over:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT clock_timestamp()")
                    before = cursor.fetchone()[0]
                if isinstance(rate_limiter.acquire(priority, window=window), Granted):
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT clock_timestamp()")
                        given.append(max(before, cursor.fetchone()[0]))
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(hammer, range(threads)))
    return sorted(given)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_take_more_than_the_window_holds() -> None:
    window = timedelta(seconds=1)
    given = hammered(4.5, threads=8, window=window)

    # When it was given is known a little late; that much less than a window is counted.
    seen = window - timedelta(seconds=0.25)
    most = max(sum(start <= at < start + seen for at in given) for start in given)
    assert most <= 48
    # And it is no less than there is: about four windows' worth.
    assert len(given) > 48 * 3
