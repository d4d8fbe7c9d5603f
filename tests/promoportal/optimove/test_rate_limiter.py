"""Never more calls than Optimove allows, however many processes make them."""

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
    """Take as many calls as there are, up to `count`; return their number."""
    taken = [rate_limiter.acquire(priority) for _ in range(count)]
    return sum(isinstance(each, Granted) for each in taken)


def set_clock_back(by: timedelta) -> None:
    """Move every grant and pause this much later, as if the clock had been set back."""
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


def test_each_priority_leaves_calls_to_higher_ones() -> None:
    assert take(60, Priority.REPORTING) == 36
    assert take(60, Priority.COLLECTING) == 44 - 36
    assert take(60, Priority.PERSON) == 48 - 44


def test_endless_collecting_leaves_calls_to_reports() -> None:
    assert take(60, Priority.COLLECTING) == 40
    assert take(60, Priority.REPORTING) == 4
    assert take(60, Priority.COLLECTING) == 0
    assert take(60, Priority.PERSON) == 48 - 44


def test_the_remaining_calls_depend_on_the_priority() -> None:
    assert rate_limiter.remaining(Priority.REPORTING) == 36
    take(10, Priority.COLLECTING)

    assert rate_limiter.remaining(Priority.REPORTING) == 26
    assert rate_limiter.remaining(Priority.COLLECTING) == 30
    assert rate_limiter.remaining() == 38

    take(30, Priority.COLLECTING)
    assert rate_limiter.remaining(Priority.REPORTING) == 4


def test_a_caller_without_a_grant_gets_the_seconds_to_wait() -> None:
    take(48, Priority.PERSON)
    wait = rate_limiter.acquire(Priority.PERSON)
    later = rate_limiter.acquire(Priority.REPORTING)

    assert isinstance(wait, Wait)
    assert isinstance(later, Wait)
    # The oldest grant is the first to leave the window.
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


def test_a_grant_is_valid_for_a_moment_only() -> None:
    now = time.monotonic()

    assert Granted().is_good
    assert Granted(at=now - 0.3).is_good
    assert not Granted(at=now - 0.5).is_good


def test_a_refusal_pauses_all_callers_as_long_as_optimove_asks() -> None:
    rate_limiter.refused(7.5)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert 7 < wait.seconds <= 7.5
    assert rate_limiter.remaining() == 0
    assert Allowance.objects.get().granted_at == []


def pauses(refusals: int) -> list[int]:
    """Return the seconds of each pause, where each refusal follows the last pause."""
    found = []
    for _ in range(refusals):
        rate_limiter.refused(None)
        wait = rate_limiter.acquire(Priority.PERSON)
        assert isinstance(wait, Wait)
        found.append(round(wait.seconds))
        set_clock_back(timedelta(seconds=-wait.seconds - 1))
    return found


def test_without_retry_after_each_pause_is_longer() -> None:
    assert pauses(8) == [2, 4, 8, 16, 32, 64, 64, 64]


def test_simultaneous_refusals_count_once() -> None:
    for _ in range(8):
        rate_limiter.refused(None)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert wait.seconds <= 2


def test_a_shorter_pause_never_shortens_a_longer_one() -> None:
    rate_limiter.refused(30)
    rate_limiter.refused(1)

    wait = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(wait, Wait)
    assert wait.seconds > 29


def test_a_minute_without_refusals_resets_the_pauses() -> None:
    assert pauses(3) == [2, 4, 8]
    set_clock_back(timedelta(seconds=-61))

    assert pauses(1) == [2]


@pytest.mark.parametrize("told", [-5.0, 0.0, 1e12])
def test_no_retry_after_stops_calls_forever(told: float) -> None:
    rate_limiter.refused(told)

    found = rate_limiter.acquire(Priority.PERSON)
    assert isinstance(found, Granted) or found.seconds <= 3600


def test_a_clock_that_is_set_back_does_not_stop_calls() -> None:
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
def test_no_call_is_taken_inside_a_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        rate_limiter.acquire(Priority.PERSON)


def hammered(seconds: float, threads: int, window: timedelta) -> list[datetime]:
    """Take calls from several connections at once; return the time of each grant."""
    end = time.monotonic() + seconds
    barrier = threading.Barrier(threads, timeout=20)
    granted: list[datetime] = []

    def hammer(number: int) -> None:
        priority = list(Priority)[number % 3]
        try:
            barrier.wait()
            while time.monotonic() < end:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT clock_timestamp()")
                    before = cursor.fetchone()[0]
                if isinstance(rate_limiter.acquire(priority, window=window), Granted):
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT clock_timestamp()")
                        granted.append(max(before, cursor.fetchone()[0]))
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(hammer, range(threads)))
    return sorted(granted)


@pytest.mark.django_db(transaction=True)
def test_concurrent_callers_never_take_more_than_the_window_holds() -> None:
    window = timedelta(seconds=1)
    granted = hammered(4.5, threads=8, window=window)

    # Grants are measured slightly late, so a slightly shorter window is counted.
    counted = window - timedelta(seconds=0.25)
    most = max(
        sum(start <= at < start + counted for at in granted) for start in granted
    )
    assert most <= 48
    # Nearly all calls of about four windows are granted.
    assert len(granted) > 48 * 3
