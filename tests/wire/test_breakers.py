"""While our own configuration is wrong, nothing is sent; then one call tries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

from promoportal import breakers, wire
from promoportal.breakers import Breaker, Gate, Side

EXPIRED = wire.Misconfigured("The platform answered 401: expired", wire.Evidence(401))


def let_pass(time: timedelta) -> None:
    Breaker.objects.update(open_until=F("open_until") - time)


@pytest.mark.django_db
def test_a_breaker_is_closed_and_cheap_to_ask(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        assert breakers.gate(Side.PLATFORM) is Gate.CLOSED
    with django_assert_num_queries(1):
        breakers.passed(Side.PLATFORM)
    assert not Breaker.objects.exists()


@pytest.mark.django_db
def test_one_expired_key_opens_it_at_once_for_that_side_only() -> None:
    breakers.trip(Side.PLATFORM, EXPIRED)

    assert breakers.gate(Side.PLATFORM) is Gate.OPEN
    assert breakers.is_open(Side.PLATFORM)
    assert not breakers.is_open(Side.VENDOR)
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
def test_nothing_else_opens_it(error: wire.WireError) -> None:
    breakers.trip(Side.PLATFORM, error)

    assert breakers.gate(Side.PLATFORM) is Gate.CLOSED


@pytest.mark.django_db
def test_after_the_pause_one_call_tries_and_closes_it() -> None:
    breakers.trip(Side.PLATFORM, EXPIRED)
    let_pass(breakers.PAUSE)

    assert breakers.gate(Side.PLATFORM) is Gate.PROBE
    assert breakers.gate(Side.PLATFORM) is Gate.OPEN
    breakers.passed(Side.PLATFORM)

    assert breakers.gate(Side.PLATFORM) is Gate.CLOSED
    assert (Breaker.objects.get().failures, Breaker.objects.get().problem) == (0, "")


@pytest.mark.django_db
def test_a_call_that_fails_again_keeps_it_open_since_when_it_was() -> None:
    breakers.trip(Side.PLATFORM, EXPIRED)
    opened_at = Breaker.objects.get().opened_at
    let_pass(breakers.PAUSE)
    breakers.gate(Side.PLATFORM)
    breakers.trip(Side.PLATFORM, EXPIRED)

    assert breakers.gate(Side.PLATFORM) is Gate.OPEN
    breaker = Breaker.objects.get()
    assert (breaker.opened_at, breaker.failures) == (opened_at, 2)


@pytest.mark.django_db
def test_a_success_from_before_does_not_close_it() -> None:
    breakers.trip(Side.PLATFORM, EXPIRED)
    breakers.passed(Side.PLATFORM)

    assert breakers.gate(Side.PLATFORM) is Gate.OPEN


@pytest.mark.django_db
def test_a_probe_that_died_is_followed_by_another() -> None:
    breakers.trip(Side.PLATFORM, EXPIRED)
    let_pass(breakers.PAUSE)
    assert breakers.gate(Side.PLATFORM) is Gate.PROBE
    let_pass(breakers.PROBE)

    assert breakers.gate(Side.PLATFORM) is Gate.PROBE


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_let_through() -> None:
    breakers.trip(Side.VENDOR, EXPIRED)
    let_pass(breakers.PAUSE)

    def ask(_: int) -> Gate:
        try:
            return breakers.gate(Side.VENDOR)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        gates = list(pool.map(ask, range(24)))

    assert gates.count(Gate.PROBE) == 1
    assert gates.count(Gate.OPEN) == 23
