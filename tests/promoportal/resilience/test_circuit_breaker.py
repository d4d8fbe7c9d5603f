"""The circuit breaker: when it opens, how long it stays open, and what closes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, models
from django.db.models import ExpressionWrapper, F
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from promoportal import wire
from promoportal.db.database_clock import seconds_from_now
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Breaker, BreakerState, Side

EXPIRED = wire.Misconfigured("The platform answered 401: expired", wire.Evidence(401))


SILENT = wire.Unanswered("The platform did not answer.")


def let_pass(time: timedelta) -> None:
    Breaker.objects.update(open_until=F("open_until") - time)


@pytest.mark.django_db
def test_a_closed_breaker_needs_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.CLOSED
    with django_assert_num_queries(1):
        circuit_breaker.record_success(Side.PLATFORM)
    assert not Breaker.objects.exists()


@pytest.mark.django_db
def test_a_401_opens_the_breaker_of_its_integration_at_once() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN
    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN
    assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.CLOSED
    breaker = Breaker.objects.get()
    assert (breaker.failures, breaker.problem) == (1, EXPIRED.problem)
    assert str(breaker) == "Platform: open"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error",
    [
        wire.Unavailable("x"),
        wire.Unanswered("x"),
        wire.Rejected("x"),
        wire.Malformed("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_do_not_trip_the_breaker(error: wire.WireError) -> None:
    circuit_breaker.trip(Side.PLATFORM, error)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.CLOSED


@pytest.mark.django_db
def test_after_the_pause_one_successful_probe_closes_the_breaker() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    let_pass(circuit_breaker.PAUSE)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.PROBE
    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN
    circuit_breaker.record_success(Side.PLATFORM)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.CLOSED
    assert (Breaker.objects.get().failures, Breaker.objects.get().problem) == (0, "")


@pytest.mark.django_db
def test_a_failed_probe_keeps_the_breaker_open_with_its_first_time() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    opened_at = Breaker.objects.get().opened_at
    let_pass(circuit_breaker.PAUSE)
    circuit_breaker.acquire_permission(Side.PLATFORM)
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN
    breaker = Breaker.objects.get()
    assert (breaker.opened_at, breaker.failures) == (opened_at, 2)


@pytest.mark.django_db
def test_a_success_of_an_earlier_call_does_not_close_the_breaker() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    circuit_breaker.record_success(Side.PLATFORM)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN


@pytest.mark.django_db
def test_a_lost_probe_is_followed_by_another() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    let_pass(circuit_breaker.PAUSE)
    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.PROBE
    let_pass(circuit_breaker.PROBE)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.PROBE


def seconds_left() -> float:
    found = Breaker.objects.annotate(
        left=ExpressionWrapper(
            F("open_until") - Now(), output_field=models.DurationField()
        )
    )
    return float(found.get().left.total_seconds())


@pytest.mark.django_db
@pytest.mark.parametrize("side", Side)
def test_consecutive_failures_open_the_breaker(side: Side) -> None:
    most = circuit_breaker.MAX_FAILURES[side]
    circuit_breaker.record_failures(side, SILENT, count=most - 1)
    assert circuit_breaker.acquire_permission(side) is BreakerState.CLOSED

    circuit_breaker.record_failures(side, SILENT)

    assert circuit_breaker.acquire_permission(side) is BreakerState.OPEN
    assert Breaker.objects.get().problem == SILENT.problem


@pytest.mark.django_db
def test_a_success_resets_the_number_of_failures() -> None:
    most = circuit_breaker.MAX_FAILURES[Side.VENDOR]
    circuit_breaker.record_failures(Side.VENDOR, SILENT, count=most - 1)

    circuit_breaker.record_success(Side.VENDOR)
    circuit_breaker.record_failures(Side.VENDOR, SILENT, count=most - 1)

    assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.CLOSED


@pytest.mark.django_db
def test_each_failed_probe_doubles_the_pause_up_to_30_seconds() -> None:
    circuit_breaker.record_failures(
        Side.VENDOR, SILENT, count=circuit_breaker.MAX_FAILURES[Side.VENDOR]
    )
    pauses = [round(seconds_left())]
    for _ in range(5):
        let_pass(circuit_breaker.PAUSE)
        assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.PROBE
        circuit_breaker.record_failures(Side.VENDOR, SILENT)
        pauses.append(round(seconds_left()))

    assert pauses == [2, 4, 8, 16, 30, 30]


@pytest.mark.django_db
def test_the_number_of_pauses_is_limited_in_a_long_outage() -> None:
    circuit_breaker.record_failures(
        Side.VENDOR, SILENT, count=circuit_breaker.MAX_FAILURES[Side.VENDOR]
    )
    Breaker.objects.update(probing=True, pauses=32_767)  # the maximum of the column

    circuit_breaker.record_failures(Side.VENDOR, SILENT)

    assert round(seconds_left()) == 30
    assert Breaker.objects.get().pauses == 10


@pytest.mark.django_db
def test_failures_of_calls_from_before_do_not_extend_the_pause() -> None:
    circuit_breaker.record_failures(
        Side.VENDOR, SILENT, count=circuit_breaker.MAX_FAILURES[Side.VENDOR]
    )

    circuit_breaker.record_failures(Side.VENDOR, SILENT)

    assert seconds_left() <= 2
    assert Breaker.objects.get().pauses == 1


@pytest.mark.django_db
def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    Breaker.objects.update(open_until=seconds_from_now(90))

    circuit_breaker.trip(Side.PLATFORM, EXPIRED)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.OPEN
    assert 80 < seconds_left() <= 90


@pytest.mark.django_db
def test_a_released_probe_is_left_to_the_next_caller() -> None:
    circuit_breaker.trip(Side.PLATFORM, EXPIRED)
    let_pass(circuit_breaker.PAUSE)
    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.PROBE

    circuit_breaker.release_permission(Side.PLATFORM)

    assert circuit_breaker.acquire_permission(Side.PLATFORM) is BreakerState.PROBE


@pytest.mark.django_db(transaction=True)
def test_of_many_callers_at_once_one_gets_the_probe() -> None:
    circuit_breaker.trip(Side.VENDOR, EXPIRED)
    let_pass(circuit_breaker.PAUSE)

    def ask(_: int) -> BreakerState:
        try:
            return circuit_breaker.acquire_permission(Side.VENDOR)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        gates = list(pool.map(ask, range(24)))

    assert gates.count(BreakerState.PROBE) == 1
    assert gates.count(BreakerState.OPEN) == 23
